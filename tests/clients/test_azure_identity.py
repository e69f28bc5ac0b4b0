"""azure-identity as PyPI has it: the credentials of services, and a call to Graph with what they bring."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    DeviceCodeCredential,
    EnvironmentCredential,
    OnBehalfOfCredential,
    WorkloadIdentityCredential,
)
from cryptography.hazmat.primitives.asymmetric import rsa

from clients.conftest import ClientCertificate
from clients.plain_browser import PlainBrowser
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID

GRAPH = "https://graph.microsoft.com/.default"
RUNNER = "https://cluster.example/oidc"
WORKLOAD = "system:serviceaccount:reports:nightly"


@pytest.fixture
def emulator(emulator: RunningEmulator) -> RunningEmulator:
    """The application may read everybody."""
    emulator.change_app(CLIENT_ID, application_permissions=["User.Read.All"])
    return emulator


@pytest.fixture
def options(emulator: RunningEmulator) -> dict[str, Any]:
    """What every credential is told: the login host, not to ask Microsoft about it, and whom to trust."""
    return {
        "authority": emulator.https_url,
        "disable_instance_discovery": True,
        "connection_verify": str(emulator.ca_file),
    }


def everybody(emulator: RunningEmulator, token: str) -> list[str]:
    """The names Graph tells the bearer of an application's token."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{emulator.https_url}/v1.0/users?$select=userPrincipalName",
            headers={"Authorization": f"Bearer {token}"},
            verify=str(emulator.ca_file),
            timeout=10,
        )
    return [one["userPrincipalName"] for one in answer.json()["value"]]


def test_a_secret(emulator: RunningEmulator, options: dict[str, Any]) -> None:
    """ClientSecretCredential brings a token with which Graph lists the people, and keeps it."""
    with ClientSecretCredential(CONTOSO_ID, CLIENT_ID, CLIENT_SECRET, **options) as credential:
        token = credential.get_token(GRAPH)
        assert "ada@contoso.test" in everybody(emulator, token.token)
        assert token.expires_on > time.time() + 3000
        assert credential.get_token(GRAPH).token == token.token


def test_a_wrong_secret(options: dict[str, Any]) -> None:
    """The refusal reaches the caller with its AADSTS code."""
    with (
        ClientSecretCredential(CONTOSO_ID, CLIENT_ID, "wrong", **options) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        credential.get_token(GRAPH)


def test_an_expired_secret(emulator: RunningEmulator, options: dict[str, Any]) -> None:
    """An expired secret has a code of its own."""
    emulator.change_app(CLIENT_ID, secrets=[{"value": "old", "expires": time.time() - 60}])
    with (
        ClientSecretCredential(CONTOSO_ID, CLIENT_ID, "old", **options) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000222"),
    ):
        credential.get_token(GRAPH)


@pytest.mark.parametrize("chain", [False, True], ids=["thumbprint alone", "with the certificate in x5c"])
def test_a_certificate(
    emulator: RunningEmulator,
    options: dict[str, Any],
    client_certificate: ClientCertificate,
    tmp_path: Path,
    chain: bool,
) -> None:
    """CertificateCredential's assertion is accepted once the certificate is registered."""
    file = client_certificate.written(tmp_path)
    emulator.change_app(CLIENT_ID, certificates=[{"pem": client_certificate.certificate}])
    with CertificateCredential(
        CONTOSO_ID, CLIENT_ID, str(file), send_certificate_chain=chain, **options
    ) as credential:
        assert "ada@contoso.test" in everybody(emulator, credential.get_token(GRAPH).token)


def test_a_workload_without_a_secret(
    emulator: RunningEmulator, options: dict[str, Any], tmp_path: Path
) -> None:
    """WorkloadIdentityCredential trades the token in its file; another workload's is turned away."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    entry = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "cluster"}
    emulator.change_app(
        CLIENT_ID,
        federated_credentials=[
            {"issuer": RUNNER, "subject": WORKLOAD, "jwks": json.dumps({"keys": [entry]})}
        ],
    )
    file = tmp_path / "token"

    def project(subject: str) -> None:
        now = int(time.time())
        claims = {"iss": RUNNER, "sub": subject, "aud": "api://AzureADTokenExchange",
                  "iat": now, "exp": now + 600}  # fmt: skip
        file.write_text(jwt.encode(claims, key, algorithm="RS256", headers={"kid": "cluster"}), "utf-8")

    project(WORKLOAD)
    with WorkloadIdentityCredential(
        tenant_id=CONTOSO_ID, client_id=CLIENT_ID, token_file_path=str(file), **options
    ) as credential:
        assert "ada@contoso.test" in everybody(emulator, credential.get_token(GRAPH).token)
    project("system:serviceaccount:reports:somebody-else")
    with (
        ClientAssertionCredential(CONTOSO_ID, CLIENT_ID, lambda: file.read_text("utf-8"), **options) as other,
        pytest.raises(ClientAuthenticationError, match="AADSTS700213"),
    ):
        other.get_token(GRAPH)


def called_by(emulator: RunningEmulator, who: str) -> str:
    """The token with which somebody calls the application's own API."""
    tenant, callback = f"{emulator.http_url}/{CONTOSO_ID}/oauth2/v2.0", "http://localhost/oauth"
    asked = {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "redirect_uri": callback,
        "scope": f"api://{CLIENT_ID}/access_as_user",
    }
    back = emulator.answer(f"{tenant}/authorize?{urlencode(asked)}", as_=who)
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "code": dict(parse_qsl(urlsplit(back).query))["code"],
        "redirect_uri": callback,
    }
    return str(requests.post(f"{tenant}/token", data=form, timeout=10).json()["access_token"])


def test_on_behalf_of(emulator: RunningEmulator, options: dict[str, Any]) -> None:
    """OnBehalfOfCredential trades a caller's token for Graph's, until policy asks for more."""
    caller = called_by(emulator, "ed@contoso.test")

    def traded() -> str:
        with OnBehalfOfCredential(
            CONTOSO_ID, CLIENT_ID, client_secret=CLIENT_SECRET, user_assertion=caller, **options
        ) as credential:
            return credential.get_token("https://graph.microsoft.com/User.Read").token

    headers = {"Authorization": f"Bearer {traded()}"}
    me = requests.get(f"{emulator.http_url}/v1.0/me", headers=headers, timeout=10).json()
    assert me["userPrincipalName"] == "ed@contoso.test"
    emulator.change_person("ed@contoso.test", conditional_access="mfa")
    with pytest.raises(ClientAuthenticationError, match="AADSTS50076"):
        traded()


def test_a_device_code(emulator: RunningEmulator, options: dict[str, Any], person: PlainBrowser) -> None:
    """DeviceCodeCredential shows address and code, and has a token when the person has signed in."""
    emulator.change_app(CLIENT_ID, public_client=True)

    def on_another_screen(address: str, user_code: str, _expires: object) -> None:
        person.open(address)
        person.press("Next", otc=user_code)
        person.press("Next", name="vi@contoso.test")

    with DeviceCodeCredential(
        CLIENT_ID, tenant_id=CONTOSO_ID, prompt_callback=on_another_screen, **options
    ) as credential:
        assert credential.authenticate(scopes=["User.Read"]).username == "vi@contoso.test"


def test_the_printed_environment_is_all_it_needs(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what `entrada emulator env azure` prints, EnvironmentCredential reaches the emulator by itself."""
    for name, value in emulator.env("azure").items():
        monkeypatch.setenv(name, value)
    with EnvironmentCredential(disable_instance_discovery=True) as credential:
        assert "ada@contoso.test" in everybody(emulator, credential.get_token(GRAPH).token)
