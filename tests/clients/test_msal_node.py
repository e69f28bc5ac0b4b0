"""MSAL for Node as npm has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
import requests

from clients.conftest import APPLICATION, ClientCertificate
from clients.javascript import JavaScriptClient, JavaScriptRefusal, javascript_client
from clients.plain_browser import PlainBrowser
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID

pytestmark = pytest.mark.heavy

CALLBACK = f"{APPLICATION}/auth/entra/callback"
OWN_SCOPE = f"api://{CLIENT_ID}/access_as_user"
GRAPH_DEFAULT = ["https://graph.microsoft.com/.default"]


@pytest.fixture(scope="module")
def running_script(node_path: str, started_emulator: RunningEmulator) -> Iterator[JavaScriptClient]:
    with javascript_client(node_path, "msal_node.mjs", ca_file=started_emulator.ca_file) as client:
        yield client


@pytest.fixture
def settings(emulator: RunningEmulator) -> dict[str, Any]:
    """MSAL's `auth` block; the host is named as known, so that no other service is asked about it."""
    return {
        "clientId": CLIENT_ID,
        "clientSecret": CLIENT_SECRET,
        "authority": f"{emulator.https_url}/{CONTOSO_ID}",
        "knownAuthorities": [urlsplit(emulator.https_url).netloc],
    }


@pytest.fixture
def msal(running_script: JavaScriptClient, settings: dict[str, Any]) -> JavaScriptClient:
    """A confidential client with an empty cache."""
    running_script.ask("open", auth=settings, confidential=True)
    return running_script


def sign_in(msal: JavaScriptClient, person: PlainBrowser, who: str, *scopes: str) -> Any:
    address = msal.ask("begin", scopes=list(scopes), redirectUri=CALLBACK)
    return msal.ask("complete", parameters=person.sign_in(address, who).parameters)


def me(emulator: RunningEmulator, token: str) -> str:
    answer = httpx.get(f"{emulator.http_url}/v1.0/me", headers={"Authorization": f"Bearer {token}"})
    return str(answer.json()["userPrincipalName"])


def test_a_web_application_signs_somebody_in(
    emulator: RunningEmulator, msal: JavaScriptClient, person: PlainBrowser
) -> None:
    """The code flow with PKCE, state and nonce ends in an account, an ID token and a Graph token."""
    answer = sign_in(msal, person, "ada@contoso.test", "User.Read")
    assert answer["claims"]["roles"] == ["Admin"]
    assert answer["account"]["username"] == "ada@contoso.test"
    assert answer["account"]["tenantId"] == CONTOSO_ID
    assert me(emulator, answer["accessToken"]) == "ada@contoso.test"


def test_silence_comes_from_the_cache_then_from_the_refresh_token(
    emulator: RunningEmulator, msal: JavaScriptClient, person: PlainBrowser
) -> None:
    """A cached token costs no token request; a forced refresh costs one."""
    answer = sign_in(msal, person, "ed@contoso.test", "User.Read")
    emulator.clear_requests()
    cached = msal.ask("silent", scopes=["User.Read"])
    assert cached["fromCache"]
    assert cached["accessToken"] == answer["accessToken"]
    assert "token" not in {one.endpoint for one in emulator.requests}
    fresh = msal.ask("silent", scopes=["User.Read"], forceRefresh=True)
    assert not fresh["fromCache"]
    assert fresh["accessToken"] != answer["accessToken"]


def test_another_verifier_is_refused(msal: JavaScriptClient, person: PlainBrowser) -> None:
    """A stolen code is worth nothing without the verifier."""
    address = msal.ask("begin", scopes=["User.Read"], redirectUri=CALLBACK)
    back = person.sign_in(address, "ada@contoso.test")
    with pytest.raises(JavaScriptRefusal, match="AADSTS501481"):
        msal.ask("complete", parameters=back.parameters, verifier="x" * 43)


def test_another_nonce_is_noticed_by_the_client(msal: JavaScriptClient, person: PlainBrowser) -> None:
    """The nonce of the request stands in the ID token, and MSAL compares it."""
    address = msal.ask("begin", scopes=["User.Read"], redirectUri=CALLBACK)
    back = person.sign_in(address, "ada@contoso.test")
    with pytest.raises(JavaScriptRefusal) as refused:
        msal.ask("complete", parameters=back.parameters, nonce="another")
    assert "nonce" in str(refused.value)


def test_an_application_in_its_own_name(emulator: RunningEmulator, msal: JavaScriptClient) -> None:
    """Client credentials bring the granted permissions."""
    emulator.change_app(CLIENT_ID, application_permissions=["User.Read.All"])
    answer = msal.ask("inOwnName", scopes=GRAPH_DEFAULT)
    claims = jwt.decode(answer["accessToken"], options={"verify_signature": False})
    assert claims["roles"] == ["User.Read.All"]


def test_a_certificate_with_its_sha_256_thumbprint(
    emulator: RunningEmulator,
    running_script: JavaScriptClient,
    settings: dict[str, Any],
    client_certificate: ClientCertificate,
) -> None:
    """MSAL Node's PS256 assertion is accepted once the certificate is registered."""
    del settings["clientSecret"]
    settings["clientCertificate"] = {
        "thumbprintSha256": client_certificate.sha256_thumbprint,
        "privateKey": client_certificate.private_key,
    }
    running_script.ask("open", auth=settings, confidential=True)
    with pytest.raises(JavaScriptRefusal, match="AADSTS700027"):
        running_script.ask("inOwnName", scopes=GRAPH_DEFAULT)
    emulator.change_app(CLIENT_ID, certificates=[{"pem": client_certificate.certificate}])
    running_script.ask("open", auth=settings, confidential=True)
    assert running_script.ask("inOwnName", scopes=GRAPH_DEFAULT)["accessToken"]


def test_the_cloud_is_described_by_the_emulator(
    emulator: RunningEmulator,
    running_script: JavaScriptClient,
    settings: dict[str, Any],
    trusting_session: requests.Session,
) -> None:
    """What the emulator answers to instance discovery is what MSAL takes as `cloudDiscoveryMetadata`."""
    del settings["knownAuthorities"]
    described = trusting_session.get(
        f"{emulator.https_url}/common/discovery/instance",
        params={
            "api-version": "1.1",
            "authorization_endpoint": f"{settings['authority']}/oauth2/v2.0/authorize",
        },
        timeout=10,
    ).text
    settings["cloudDiscoveryMetadata"] = described
    running_script.ask("open", auth=settings, confidential=True)
    assert running_script.ask("inOwnName", scopes=GRAPH_DEFAULT)["accessToken"]


def test_on_behalf_of(emulator: RunningEmulator, msal: JavaScriptClient, person: PlainBrowser) -> None:
    """An API trades its caller's token for Graph's; a policy's refusal arrives with its claims."""
    token = sign_in(msal, person, "ed@contoso.test", OWN_SCOPE)["accessToken"]
    answer = msal.ask("onBehalfOf", token=token, scopes=["https://graph.microsoft.com/User.Read"])
    assert me(emulator, answer["accessToken"]) == "ed@contoso.test"
    emulator.change_person("ed@contoso.test", conditional_access="mfa")
    with pytest.raises(JavaScriptRefusal) as refused:
        msal.ask("onBehalfOf", token=token, scopes=["https://graph.microsoft.com/Group.Read.All"])
    assert refused.value.fields["name"] == "InteractionRequiredAuthError"
    assert "capolids" in refused.value.fields["claims"]


def test_a_device_without_a_keyboard(
    emulator: RunningEmulator,
    running_script: JavaScriptClient,
    settings: dict[str, Any],
    person: PlainBrowser,
) -> None:
    """MSAL waits, the person types its code on another screen, and MSAL has the tokens."""
    del settings["clientSecret"]
    emulator.change_app(CLIENT_ID, public_client=True)
    running_script.ask("open", auth=settings, confidential=False)
    shown = running_script.ask("beginDevice", scopes=["User.Read"])
    person.open(shown["verificationUri"])
    person.press("Next", otc=shown["userCode"])
    assert "signed in" in person.press("Next", name="vi@contoso.test").title
    assert running_script.ask("completeDevice")["claims"]["name"] == "Vi Hart"


def test_the_day_somebody_is_disabled(
    emulator: RunningEmulator, msal: JavaScriptClient, person: PlainBrowser
) -> None:
    """A refresh fails as invalid_grant, which MSAL reports with the service's words."""
    sign_in(msal, person, "vi@contoso.test", "User.Read")
    emulator.change_person("vi@contoso.test", enabled=False)
    with pytest.raises(JavaScriptRefusal, match="AADSTS50057") as refused:
        msal.ask("silent", scopes=["User.Read"], forceRefresh=True)
    assert refused.value.fields["errorCode"] == "invalid_grant"
