"""Clients nobody here wrote, behind the broker: openid-client (npm) and Authlib (PyPI)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from broker.conftest import BehindBroker
from clients.javascript import JavaScriptClient, JavaScriptRefusal, javascript_client
from clients.plain_browser import PlainBrowser
from clients.products import installed
from entrada.broker.grants import hash_of
from entrada.broker.installations import ClientId, Installation, Proof
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId

pytestmark = pytest.mark.heavy

NewBrowser = Callable[[], PlainBrowser]
CALLBACK = "http://localhost:9/callback"
"""Nobody serves it: the browser stops there, with the answer in its address."""

AUTHLIB = """
import json, sys
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
import requests

issuer, redirect_uri = sys.argv[1:3]
metadata = requests.get(issuer + "/.well-known/openid-configuration").json()
session = OAuth2Session("authlib", "authlib-secret", scope="openid profile email offline_access",
    redirect_uri=redirect_uri, code_challenge_method="S256",
    token_endpoint_auth_method="client_secret_basic")
verifier = "v" * 64
url, state = session.create_authorization_url(metadata["authorization_endpoint"],
    code_verifier=verifier, nonce="n-1")
print(url, flush=True)
back = sys.stdin.readline().strip()
token = session.fetch_token(metadata["token_endpoint"], authorization_response=back, code_verifier=verifier)
keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"]).json())
claims = jwt.decode(token["id_token"], keys)
refreshed = session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
userinfo = session.get(metadata["userinfo_endpoint"]).json()
print(json.dumps({"claims": claims, "userinfo": userinfo, "refreshed": "id_token" in refreshed}))
"""


def client(name: str, secret: str | None) -> Installation:
    made = Installation(client_id=ClientId(name), tenant_id=TenantId(CONTOSO_ID), redirect_uris=(CALLBACK,))
    if secret is None:
        return made
    return replace(made, proof=Proof.SECRET, secret_hashes=(hash_of(secret),))


@pytest.fixture
def script(node_path: str, running_entra: RunningEmulator) -> Iterator[JavaScriptClient]:
    with javascript_client(
        node_path, "openid_client.mjs", ca_file=Path(running_entra.ca_file)
    ) as relying_party:
        yield relying_party


def back_from(behind_broker: BehindBroker, browser: PlainBrowser, address: str) -> str:
    """Where the browser ends: at the client's callback, with the answer."""
    browser.stop_at = (CALLBACK,)
    return browser.sign_in(address, "ada@contoso.test").url


@pytest.mark.parametrize(
    ("name", "proof"),
    [
        ("public", {}),
        ("post", {"secret": "s3cret"}),
        ("basic", {"secret": "s3cret", "basic": True}),
    ],
)
def test_openid_client(
    behind_broker: BehindBroker,
    new_browser: NewBrowser,
    script: JavaScriptClient,
    name: str,
    proof: dict[str, str],
) -> None:
    """A certified client signs in with everything checked, RFC 9207's iss too, refreshes, asks userinfo."""
    behind_broker.broker.broker.provider.store.save_installation(client(name, proof.get("secret")))
    script.ask("open", issuer=behind_broker.url, clientId=name, insecure=True, **proof)
    address = script.ask("begin", redirectUri=CALLBACK, scope="openid profile email offline_access")
    answer = script.ask("complete", url=back_from(behind_broker, new_browser(), address))
    claims = answer["claims"]
    assert (claims["iss"], claims["aud"]) == (behind_broker.url, name)
    assert claims["preferred_username"] == "ada@contoso.test"
    assert claims["roles"] == ["Admin"]
    refreshed = script.ask("refresh", refreshToken=answer["refresh_token"])
    assert refreshed["claims"]["sub"] == claims["sub"]
    userinfo = script.ask("userInfo", accessToken=answer["access_token"], subject=claims["sub"])
    assert userinfo["email"] == "ada@contoso.test"


def test_openid_client_with_a_wrong_secret(
    behind_broker: BehindBroker, new_browser: NewBrowser, script: JavaScriptClient
) -> None:
    """It is told so with a challenge, as the specification says it (RFC 6749, 5.2)."""
    behind_broker.broker.broker.provider.store.save_installation(client("post", "s3cret"))
    script.ask("open", issuer=behind_broker.url, clientId="post", insecure=True, secret="wrong")
    address = script.ask("begin", redirectUri=CALLBACK, scope="openid")
    back = back_from(behind_broker, new_browser(), address)
    with pytest.raises(JavaScriptRefusal, match="WWWAuthenticateChallenge"):
        script.ask("complete", url=back)


def test_a_silent_request_is_answered_and_never_asks(
    behind_broker: BehindBroker, new_browser: NewBrowser, script: JavaScriptClient
) -> None:
    """prompt=none with nobody signed in at Entra: the installation is told login_required."""
    behind_broker.broker.broker.provider.store.save_installation(client("public", None))
    script.ask("open", issuer=behind_broker.url, clientId="public", insecure=True)
    address = script.ask("begin", redirectUri=CALLBACK, scope="openid", prompt="none")
    browser = new_browser()
    browser.stop_at = (CALLBACK,)
    page = browser.open(address)
    assert urlsplit(page.url).netloc == urlsplit(CALLBACK).netloc
    assert page.parameters["error"] == "login_required"
    assert page.parameters["iss"] == behind_broker.url


def test_authlib(behind_broker: BehindBroker, new_browser: NewBrowser) -> None:
    """The code flow with a secret in the header, a refresh and userinfo; the signature holds."""
    behind_broker.broker.broker.provider.store.save_installation(client("authlib", "authlib-secret"))
    python = installed("authlib", beside=("requests",)) / "python"
    with subprocess.Popen(
        [python, "-c", AUTHLIB, behind_broker.url, CALLBACK],
        env={"AUTHLIB_INSECURE_TRANSPORT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        back = back_from(behind_broker, new_browser(), address)
        told, _ = process.communicate(back + "\n", timeout=60)
    answer = json.loads(told)
    assert answer["claims"]["nonce"] == "n-1"
    assert answer["claims"]["aud"] == "authlib"
    assert answer["userinfo"]["sub"] == answer["claims"]["sub"]
    assert answer["refreshed"]
