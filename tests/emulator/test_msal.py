"""MSAL Python, unmodified, against the https listener."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from emulator.relying_party import CALLBACK, Entra
from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID


@pytest.fixture
def session(emulator: RunningEmulator) -> Iterator[requests.Session]:
    with requests.Session() as session:
        # The environment's REQUESTS_CA_BUNDLE would silently win over `verify`.
        session.trust_env = False
        session.verify = str(emulator.ca_file)
        yield session


def _confidential(emulator: RunningEmulator, session: requests.Session, **more: Any) -> Any:
    arguments: dict[str, Any] = {
        "client_credential": CLIENT_SECRET,
        "authority": f"{emulator.https_url}/{CONTOSO_ID}",
        "instance_discovery": False,
        "http_client": session,
        **more,
    }
    return msal.ConfidentialClientApplication(CLIENT_ID, **arguments)


def _sign_in(app: Any, emulator: RunningEmulator, who: str, scopes: list[str], **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        flow = app.initiate_auth_code_flow(scopes, redirect_uri=CALLBACK, **more)
    location = emulator.answer(flow["auth_uri"], as_=who)
    return app.acquire_token_by_auth_code_flow(flow, dict(parse_qsl(urlsplit(location).query)))


def test_a_confidential_client_signs_in_and_refreshes(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    """The code flow, then a silent token from the cache's refresh token."""
    app = _confidential(emulator, session)
    answer = _sign_in(app, emulator, "ada@contoso.test", ["User.Read"])
    assert answer["id_token_claims"]["preferred_username"] == "ada@contoso.test"
    account = app.get_accounts()[0]
    assert account["username"] == "ada@contoso.test"
    again = app.acquire_token_silent(["User.Read"], account=account, force_refresh=True)
    assert again["access_token"] != answer["access_token"]
    emulator.revoke_sessions("ada@contoso.test")
    failed = app.acquire_token_silent_with_error(["User.Read"], account=account, force_refresh=True)
    assert failed["error"] == "invalid_grant"
    assert failed["error_codes"] == [50173]


def test_client_capabilities_and_a_claims_challenge(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    """With cp1 the token is long-lived; a challenge handed back asks for a new sign-in."""
    app = _confidential(emulator, session, client_capabilities=["cp1"])
    answer = _sign_in(app, emulator, "ed@contoso.test", ["User.Read"])
    assert answer["expires_in"] > 70_000
    challenge = '{"access_token":{"nbf":{"essential":true,"value":"99999999999"}}}'
    account = app.get_accounts()[0]
    failed = app.acquire_token_silent_with_error(["User.Read"], account=account, claims_challenge=challenge)
    assert failed["error"] == "invalid_grant"


def test_application_tokens(emulator: RunningEmulator, session: requests.Session) -> None:
    """Client credentials, and the error for a wrong secret."""
    app = _confidential(emulator, session)
    assert "access_token" in app.acquire_token_for_client([f"api://{CLIENT_ID}/.default"])
    wrong = _confidential(emulator, session, client_credential="wrong")
    assert wrong.acquire_token_for_client([f"api://{CLIENT_ID}/.default"])["error_codes"] == [7000215]


def _certificate() -> tuple[str, str, str]:
    """A private key, its certificate, and the SHA-1 thumbprint in hexadecimal."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return pem.decode(), public, certificate.fingerprint(hashes.SHA1()).hex()


@pytest.mark.parametrize("kind", ["RS256 and x5t", "PS256 and x5t#S256"])
def test_certificates(emulator: RunningEmulator, session: requests.Session, kind: str) -> None:
    """A registered certificate signs in both ways MSAL knows; an unregistered one is 700027."""
    key, public, thumbprint = _certificate()
    credential = {"private_key": key, "thumbprint": thumbprint}
    if kind.startswith("PS256"):
        credential = {"private_key": key, "public_certificate": public}
    app = _confidential(emulator, session, client_credential=credential)
    scope = [f"api://{CLIENT_ID}/.default"]
    assert app.acquire_token_for_client(scope)["error_codes"] == [700027]
    emulator.change_app(CLIENT_ID, certificates=[{"pem": public}])
    app = _confidential(emulator, session, client_credential=credential)
    assert "access_token" in app.acquire_token_for_client(scope)
    other, _, _ = _certificate()
    app = _confidential(emulator, session, client_credential={"private_key": other, "thumbprint": thumbprint})
    assert app.acquire_token_for_client(scope)["error_codes"] == [700027]


def _poll(app: Any, flow: dict[str, Any]) -> Any:
    """Ask once; MSAL warns that nobody waited."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return app.acquire_token_by_device_flow(flow)


def test_device_code(entra: Entra, session: requests.Session) -> None:
    """A public client waits, the person types the code, the client has its tokens; or the person declines."""
    emulator = entra.emulator
    emulator.change_app(CLIENT_ID, public_client=True)
    app = msal.PublicClientApplication(
        CLIENT_ID,
        authority=f"{emulator.https_url}/{CONTOSO_ID}",
        instance_discovery=False,
        http_client=session,
    )
    flow = app.initiate_device_flow(["User.Read"])
    assert "user_code" in flow
    flow["expires_at"] = 0  # one attempt, no waiting
    assert _poll(app, flow)["error"] == "authorization_pending"
    page = entra.http.get(flow["verification_uri"])
    assert "Code shown on your device" in page.text
    wrong = entra.http.post(flow["verification_uri"], data={"otc": "WRONG"})
    assert "did not work" in wrong.text
    picker = entra.http.post(flow["verification_uri"], data={"otc": flow["user_code"].lower()})
    assert "Pick an account" in picker.text
    done = entra.http.get(
        flow["verification_uri"],
        params={"otc": flow["user_code"], "login_hint": "vi@contoso.test", "_emulator_approve": "1"},
    )
    assert "You&#x27;re signed in" in done.text
    answer = _poll(app, flow)
    assert answer["id_token_claims"]["name"] == "Vi Hart"
    flow = app.initiate_device_flow(["User.Read"])
    flow["expires_at"] = 0
    entra.http.get(
        flow["verification_uri"],
        params={"otc": flow["user_code"], "_emulator_decline": "1", "_emulator_approve": "1"},
    )
    assert _poll(app, flow)["error"] == "authorization_declined"


def test_on_behalf_of(emulator: RunningEmulator, session: requests.Session) -> None:
    """An API trades the token it received for Graph's, in the person's name; policy may ask for more."""
    app = _confidential(emulator, session)
    received = _sign_in(app, emulator, "ed@contoso.test", [f"api://{CLIENT_ID}/access_as_user"])
    api = _confidential(emulator, session)
    answer = api.acquire_token_on_behalf_of(
        received["access_token"], ["https://graph.microsoft.com/User.Read"]
    )
    me = session.get(
        f"{emulator.https_url}/v1.0/me",
        headers={"Authorization": f"Bearer {answer['access_token']}"},
        timeout=10,
    )
    assert me.json()["userPrincipalName"] == "ed@contoso.test"
    assert api.acquire_token_on_behalf_of(answer["access_token"], ["User.Read"])["error_codes"] == [50013]
    emulator.change_person("ed@contoso.test", conditional_access="mfa")
    fresh = _confidential(emulator, session)
    failed = fresh.acquire_token_on_behalf_of(received["access_token"], ["User.Read"])
    assert failed["error"] == "interaction_required"
    assert "capolids" in failed["claims"]


def test_a_federated_assertion(emulator: RunningEmulator, session: requests.Session) -> None:
    """A token of a trusted issuer stands in for the secret; another subject's does not."""
    scope = [f"api://{CLIENT_ID}/.default"]
    workload = emulator.add_app("Workload", identifier_uris=["api://AzureADTokenExchange"],
                                secrets=[{"value": "w"}], access_token_version=1)  # fmt: skip
    form = {"grant_type": "client_credentials", "client_id": workload.client_id, "client_secret": "w",
            "scope": "api://AzureADTokenExchange/.default"}  # fmt: skip
    url = f"{emulator.https_url}/{CONTOSO_ID}/oauth2/v2.0/token"
    token = session.post(url, data=form, timeout=10).json()["access_token"]
    app = _confidential(emulator, session, client_credential={"client_assertion": lambda: token})
    assert app.acquire_token_for_client(scope)["error_codes"] == [700211]
    trusted = {"issuer": f"{emulator.https_url}/{CONTOSO_ID}/", "subject": workload.service_principal_id}
    emulator.change_app(CLIENT_ID, federated_credentials=[{**trusted, "subject": "somebody else"}])
    app = _confidential(emulator, session, client_credential={"client_assertion": lambda: token})
    assert app.acquire_token_for_client(scope)["error_codes"] == [700213]
    emulator.change_app(CLIENT_ID, federated_credentials=[trusted])
    app = _confidential(emulator, session, client_credential={"client_assertion": lambda: token})
    assert "access_token" in app.acquire_token_for_client(scope)
