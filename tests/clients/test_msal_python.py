"""MSAL for Python as PyPI has it: every way in that it knows, over the emulator's own pages."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import jwt
import msal
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter

from clients.conftest import APPLICATION, ClientCertificate
from clients.plain_browser import Page, PlainBrowser
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID, FABRIKAM_ID

CALLBACK = f"{APPLICATION}/auth/entra/callback"
OWN_SCOPE = f"api://{CLIENT_ID}/access_as_user"
OWN_DEFAULT = [f"api://{CLIENT_ID}/.default"]

NewApp = Callable[..., Any]


@pytest.fixture
def confidential(emulator: RunningEmulator, trusting_session: requests.Session) -> NewApp:
    """`confidential(client_credential=…)`: MSAL's confidential client, with the seeded secret by default."""

    def new(credential: Any = CLIENT_SECRET, **more: Any) -> Any:
        settings = {
            "authority": f"{emulator.https_url}/{CONTOSO_ID}",
            "instance_discovery": False,
            "http_client": trusting_session,
            **more,
        }
        return msal.ConfidentialClientApplication(CLIENT_ID, client_credential=credential, **settings)

    return new


@pytest.fixture
def public(emulator: RunningEmulator, trusting_session: requests.Session) -> Any:
    """MSAL's public client of an application registered for desktop and devices."""
    registered = emulator.add_app(
        "A tool for desks",
        tenant_id=CONTOSO_ID,
        public_client=True,
        public_redirect_uris=["http://localhost"],
    )
    return msal.PublicClientApplication(
        registered.client_id,
        authority=f"{emulator.https_url}/{CONTOSO_ID}",
        instance_discovery=False,
        http_client=trusting_session,
    )


def sign_in(app: Any, person: PlainBrowser, who: str, scopes: list[str], **more: Any) -> Any:
    """The code flow, the person signing in on the emulator's page; MSAL's result."""
    flow = app.initiate_auth_code_flow(scopes, redirect_uri=CALLBACK, **more)
    back = person.sign_in(flow["auth_uri"], who)
    return app.acquire_token_by_auth_code_flow(flow, back.parameters)


def me(emulator: RunningEmulator, session: requests.Session, token: str) -> str:
    """Whom Graph takes the bearer of this token for."""
    answer = session.get(
        f"{emulator.https_url}/v1.0/me", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    return str(answer.json()["userPrincipalName"])


# --- a web application ---


def test_a_web_application_signs_somebody_in(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser, trusting_session: requests.Session
) -> None:
    """MSAL takes the code, accepts nonce and client_info, and its token opens Graph."""
    app = confidential()
    answer = sign_in(app, person, "ada@contoso.test", ["User.Read"])
    assert answer["id_token_claims"]["roles"] == ["Admin"]
    assert answer["id_token_claims"]["tid"] == CONTOSO_ID
    (account,) = app.get_accounts()
    assert account["username"] == "ada@contoso.test"
    assert account["home_account_id"] == f"{emulator.person('ada@contoso.test').object_id}.{CONTOSO_ID}"
    assert me(emulator, trusting_session, answer["access_token"]) == "ada@contoso.test"


def test_silence_comes_from_the_cache_then_from_the_refresh_token(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser
) -> None:
    """A cached token costs no request; a forced refresh costs one, and the old refresh token stays good."""
    app = confidential()
    answer = sign_in(app, person, "ed@contoso.test", ["User.Read"])
    (account,) = app.get_accounts()
    emulator.clear_requests()
    cached = app.acquire_token_silent(["User.Read"], account=account)
    assert cached["access_token"] == answer["access_token"]
    assert emulator.requests == []
    fresh = app.acquire_token_silent(["User.Read"], account=account, force_refresh=True)
    assert fresh["access_token"] != answer["access_token"]
    again = app.acquire_token_by_refresh_token(answer["refresh_token"], ["User.Read"])
    assert again["access_token"] not in (answer["access_token"], fresh["access_token"])


def test_one_sign_in_serves_several_resources(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser
) -> None:
    """The refresh token of a sign-in for Graph also fetches a token for another API."""
    app = confidential()
    sign_in(app, person, "ed@contoso.test", ["User.Read"])
    answer = app.acquire_token_silent([OWN_SCOPE], account=app.get_accounts()[0])
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["aud"] == CLIENT_ID
    assert claims["scp"] == "access_as_user"


@pytest.mark.parametrize("kind", ["PS256, SHA-256 thumbprint", "RS256, SHA-1 thumbprint"])
def test_a_certificate_stands_in_for_the_secret(
    emulator: RunningEmulator,
    confidential: NewApp,
    person: PlainBrowser,
    client_certificate: ClientCertificate,
    kind: str,
) -> None:
    """Both forms in which MSAL signs its assertion redeem a code; without the registration neither does."""
    credential = {"private_key": client_certificate.private_key}
    if kind.startswith("PS256"):
        credential["public_certificate"] = client_certificate.certificate
    else:
        credential["thumbprint"] = client_certificate.sha1_thumbprint
    refused = sign_in(confidential(credential), person, "vi@contoso.test", ["User.Read"])
    assert refused["error"] == "invalid_client"
    assert refused["error_codes"] == [700027]
    emulator.change_app(CLIENT_ID, certificates=[{"pem": client_certificate.certificate}])
    app = confidential(credential)
    flow = app.initiate_auth_code_flow(["User.Read"], redirect_uri=CALLBACK)
    answer = app.acquire_token_by_auth_code_flow(flow, person.open(flow["auth_uri"]).parameters)
    assert answer["id_token_claims"]["preferred_username"] == "vi@contoso.test"


def test_an_assertion_is_asked_for_when_it_is_needed(emulator: RunningEmulator, confidential: NewApp) -> None:
    """A callable's token of a trusted issuer proves the application, a fresh one for each request."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public_key = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "workload"}
    emulator.change_app(
        CLIENT_ID,
        federated_credentials=[
            {
                "issuer": "https://runner.example",
                "subject": "repo:one",
                "jwks": json.dumps({"keys": [public_key]}),
            }
        ],
    )
    made: list[str] = []

    def assertion() -> str:
        now = int(time.time())
        claims = {"iss": "https://runner.example", "sub": "repo:one", "aud": "api://AzureADTokenExchange",
                  "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}  # fmt: skip
        made.append(jwt.encode(claims, key, algorithm="RS256", headers={"kid": "workload"}))
        return made[-1]

    app = confidential({"client_assertion": assertion})
    assert "access_token" in app.acquire_token_for_client(OWN_DEFAULT)
    assert "access_token" in app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert len(set(made)) == 2


def test_an_application_in_its_own_name(emulator: RunningEmulator, confidential: NewApp) -> None:
    """Client credentials bring a token with the granted permissions, once: MSAL keeps it."""
    emulator.change_app(CLIENT_ID, application_permissions=["User.Read.All"])
    app = confidential()
    scope = ["https://graph.microsoft.com/.default"]
    answer = app.acquire_token_for_client(scope)
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["roles"] == ["User.Read.All"]
    emulator.clear_requests()
    assert app.acquire_token_for_client(scope)["access_token"] == answer["access_token"]
    assert emulator.requests == []


def test_a_wrong_secret_is_told_as_the_service_tells_it(confidential: NewApp) -> None:
    """MSAL hands on error, description, codes, time and ids."""
    refused = confidential("not the secret").acquire_token_for_client(OWN_DEFAULT)
    assert refused["error"] == "invalid_client"
    assert refused["error_codes"] == [7000215]
    assert refused["error_description"].startswith("AADSTS7000215: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} <= set(refused)


# --- in somebody's name ---


def test_on_behalf_of(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser, trusting_session: requests.Session
) -> None:
    """An API trades the token it was called with for one of Graph, in the same person's name."""
    called_with = sign_in(confidential(), person, "ed@contoso.test", [OWN_SCOPE])["access_token"]
    api = confidential()
    answer = api.acquire_token_on_behalf_of(called_with, ["https://graph.microsoft.com/User.Read"])
    assert me(emulator, trusting_session, answer["access_token"]) == "ed@contoso.test"
    (account,) = api.get_accounts()
    assert account["username"] == "ed@contoso.test"


def test_a_claims_challenge_leads_to_a_second_factor(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser, trusting_session: requests.Session
) -> None:
    """interaction_required carries claims; signing in with them asks for the factor and lifts the refusal."""
    app = confidential()
    token = sign_in(app, person, "ed@contoso.test", [OWN_SCOPE])["access_token"]
    emulator.change_person("ed@contoso.test", conditional_access="mfa")
    refused = app.acquire_token_on_behalf_of(token, ["User.Read"])
    assert refused["error"] == "interaction_required"
    assert json.loads(refused["claims"])["access_token"]["capolids"]["essential"] is True
    flow = app.initiate_auth_code_flow(
        [OWN_SCOPE], redirect_uri=CALLBACK, claims_challenge=refused["claims"], login_hint="ed@contoso.test"
    )
    page = person.open(flow["auth_uri"])
    assert "second factor" in page.text
    back = person.press("Verify", otp="123456")
    stronger = app.acquire_token_by_auth_code_flow(flow, back.parameters)
    answer = app.acquire_token_on_behalf_of(stronger["access_token"], ["User.Read"])
    assert me(emulator, trusting_session, answer["access_token"]) == "ed@contoso.test"


def test_continuous_access_asks_for_a_new_sign_in(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser, trusting_session: requests.Session
) -> None:
    """A revoked long-lived token is answered with a challenge that MSAL can act on."""
    app = confidential(client_capabilities=["cp1"])
    answer = sign_in(app, person, "ed@contoso.test", ["User.Read"])
    assert answer["expires_in"] >= 72_000
    emulator.revoke_sessions("ed@contoso.test")
    called = trusting_session.get(
        f"{emulator.https_url}/v1.0/me",
        headers={"Authorization": f"Bearer {answer['access_token']}"},
        timeout=10,
    )
    assert called.status_code == 401
    assert 'error="insufficient_claims"' in called.headers["www-authenticate"]
    (account,) = app.get_accounts()
    refused = app.acquire_token_silent_with_error(["User.Read"], account=account, force_refresh=True)
    assert refused["error"] == "invalid_grant"
    assert refused["error_codes"] == [50173]


def test_the_day_somebody_is_disabled(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser
) -> None:
    """A refresh fails as invalid_grant, and the sign-in page says so and sends nothing back."""
    app = confidential()
    sign_in(app, person, "vi@contoso.test", ["User.Read"])
    emulator.change_person("vi@contoso.test", enabled=False)
    (account,) = app.get_accounts()
    refused = app.acquire_token_silent_with_error(["User.Read"], account=account, force_refresh=True)
    assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [50057])
    flow = app.initiate_auth_code_flow(["User.Read"], redirect_uri=CALLBACK)
    assert "AADSTS50057" in person.open(flow["auth_uri"]).text


def test_name_and_password_when_they_are_switched_on(
    emulator: RunningEmulator, trusting_session: requests.Session
) -> None:
    """MSAL asks the realm, then sends name and password: refused by default, wrong ones always."""
    app = _in_a_national_cloud(emulator, trusting_session)
    refused = app.acquire_token_by_username_password("ed@contoso.test", "Emulated-1", ["User.Read"])
    assert refused["error"] == "unsupported_grant_type"
    emulator.allow_password_grant()
    # MSAL answers a repeated question from memory for a minute when the first was refused: ask anew.
    app = _in_a_national_cloud(emulator, trusting_session)
    answer = app.acquire_token_by_username_password("ed@contoso.test", "Emulated-1", ["User.Read"])
    assert answer["id_token_claims"]["name"] == "Ed Codd"
    wrong = app.acquire_token_by_username_password("ed@contoso.test", "guessed", ["User.Read"])
    assert (wrong["error"], wrong["error_codes"]) == ("invalid_grant", [50126])


# --- desks and devices ---


def test_a_public_client_proves_itself_by_pkce(public: Any, person: PlainBrowser) -> None:
    """The code is redeemed with its verifier and no secret; another verifier is refused."""
    flow = public.initiate_auth_code_flow(["User.Read"], redirect_uri=APPLICATION)
    assert "code_challenge_method=S256" in flow["auth_uri"]
    page = person.sign_in(flow["auth_uri"], "ada@contoso.test")
    assert page.title.startswith("Permissions requested")
    back = person.press("Accept")
    refused = public.acquire_token_by_auth_code_flow({**flow, "code_verifier": "x" * 43}, back.parameters)
    assert refused["error_codes"] == [501481]
    answer = public.acquire_token_by_auth_code_flow(flow, back.parameters)
    assert answer["id_token_claims"]["name"] == "Ada Lovelace"


def test_a_desktop_listens_for_its_own_answer(emulator: RunningEmulator, public: Any) -> None:
    """MSAL opens a port of its own on localhost and a browser brings the answer there."""
    seen: list[Page] = []

    def browse(address: str) -> None:
        with PlainBrowser(emulator.ca_file) as browser:
            browser.sign_in(address, "ed@contoso.test")
            page = browser.press("Accept")
            seen.append(browser.press("Continue") if page.forms else page)

    threads: list[threading.Thread] = []

    def open_browser(address: str) -> None:
        threads.append(threading.Thread(target=browse, args=(address,)))
        threads[0].start()

    answer = public.acquire_token_interactive(["User.Read"], timeout=30, auth_uri_callback=open_browser)
    threads[0].join(timeout=30)
    assert answer["id_token_claims"]["preferred_username"] == "ed@contoso.test"
    assert urlsplit(seen[0].url).hostname == "localhost"
    assert seen[0].status == 200


def test_a_device_without_a_keyboard(emulator: RunningEmulator, public: Any, person: PlainBrowser) -> None:
    """The person types the device's code on another screen and signs in there; the device was waiting."""
    flow = public.initiate_device_flow(["User.Read"])
    assert flow["verification_uri"] in flow["message"]
    assert flow["user_code"] in flow["message"]
    assert _asked_once(public, flow)["error"] == "authorization_pending"
    person.open(flow["verification_uri"])
    person.press("Next", otc=flow["user_code"])
    person.press("Next", name="vi@contoso.test")
    page = person.press("Accept")
    assert "signed in" in page.title
    answer = public.acquire_token_by_device_flow(flow)
    assert answer["id_token_claims"]["name"] == "Vi Hart"


def test_a_device_that_is_turned_down(public: Any, person: PlainBrowser) -> None:
    """Cancelling on the page ends the device's waiting."""
    flow = public.initiate_device_flow(["User.Read"])
    person.open(flow["verification_uri"])
    person.press("Next", otc=flow["user_code"])
    person.press("Cancel")
    assert public.acquire_token_by_device_flow(flow)["error"] == "authorization_declined"


def _asked_once(app: Any, flow: dict[str, Any]) -> Any:
    """MSAL's answer to one question, without waiting for the next."""
    return app.acquire_token_by_device_flow({**flow, "expires_at": 0})


# --- authorities ---


class _AsIfResolved(HTTPAdapter):
    """Takes what is sent to a host to the emulator, as a company's name server and proxy could."""

    def __init__(self, emulator: RunningEmulator) -> None:
        super().__init__()
        self._url = emulator.https_url

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:  # type: ignore[override]
        request.url = self._url + request.path_url
        return super().send(request, **how)


def _in_a_national_cloud(emulator: RunningEmulator, session: requests.Session, **more: Any) -> Any:
    host = "https://login.microsoftonline.us"
    session.mount(f"{host}/", _AsIfResolved(emulator))
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential=CLIENT_SECRET,
        authority=f"{host}/contoso.test",
        http_client=session,
        **more,
    )


def test_a_national_cloud_with_instance_discovery_as_it_comes(
    emulator: RunningEmulator, trusting_session: requests.Session, person: PlainBrowser
) -> None:
    """With MSAL's own instance discovery a sign-in completes and silence works, aliases asked for."""
    app = _in_a_national_cloud(emulator, trusting_session)
    assert app.get_accounts() == []
    answer = sign_in(app, person, "ada@contoso.test", ["User.Read"])
    assert answer["id_token_claims"]["iss"] == f"{emulator.https_url}/{CONTOSO_ID}/v2.0"
    (account,) = app.get_accounts()
    again = app.acquire_token_silent(["User.Read"], account=account, force_refresh=True)
    assert again["access_token"] != answer["access_token"]
    assert "instance" in {one.endpoint for one in emulator.requests}


def test_instance_discovery_can_be_asked_of_the_emulator(
    emulator: RunningEmulator, trusting_session: requests.Session, confidential: NewApp
) -> None:
    """The address given as MSAL's instance discovery endpoint names the tenant's metadata."""
    endpoint = f"{emulator.https_url}/common/discovery/instance"
    app = confidential(instance_discovery=endpoint)
    assert [one.endpoint for one in emulator.requests] == ["instance", "discovery"]
    assert "access_token" in app.acquire_token_for_client(OWN_DEFAULT)


def test_an_authority_named_as_an_openid_provider(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser
) -> None:
    """MSAL's `oidc_authority` compares the issuer with the address it was given, and is content."""
    app = confidential(authority=None, oidc_authority=f"{emulator.https_url}/{CONTOSO_ID}/v2.0")
    assert (
        sign_in(app, person, "ada@contoso.test", ["User.Read"])["id_token_claims"]["name"] == "Ada Lovelace"
    )
    emulator.fail("wrong_issuer", issuer="https://elsewhere.example/v2.0")
    with pytest.raises(ValueError, match="does not match"):
        confidential(authority=None, oidc_authority=f"{emulator.https_url}/{CONTOSO_ID}/v2.0")


def test_a_tenant_that_does_not_exist(emulator: RunningEmulator, confidential: NewApp) -> None:
    """MSAL refuses the authority with the emulator's own words."""
    with pytest.raises(ValueError, match="tenant name"):
        confidential(authority=f"{emulator.https_url}/nowhere.test")


@pytest.mark.parametrize("segment", ["common", "organizations"])
def test_people_of_another_organisation(
    emulator: RunningEmulator, confidential: NewApp, person: PlainBrowser, segment: str
) -> None:
    """At a shared endpoint a multi-tenant application signs in people of any tenant, by their own issuer."""
    emulator.change_app(CLIENT_ID, audience="AzureADMultipleOrgs")
    app = confidential(authority=f"{emulator.https_url}/{segment}")
    flow = app.initiate_auth_code_flow(["User.Read"], redirect_uri=CALLBACK)
    person.sign_in(flow["auth_uri"], "mallory@fabrikam.test")
    back = person.press("Accept")
    answer = app.acquire_token_by_auth_code_flow(flow, back.parameters)
    assert answer["id_token_claims"]["tid"] == FABRIKAM_ID
    assert answer["id_token_claims"]["iss"] == f"{emulator.https_url}/{FABRIKAM_ID}/v2.0"
    (account,) = app.get_accounts()
    assert "access_token" in app.acquire_token_silent(["User.Read"], account=account, force_refresh=True)
