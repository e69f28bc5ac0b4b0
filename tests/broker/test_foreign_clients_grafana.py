"""Grafana's generic OAuth at the broker: its requests, byte for byte.

Recorded on 2026-11-27 from golang.org/x/oauth2 0.38.0 (Go 1.26), called as Grafana's sources call it
(pkg/services/authn/clients/oauth.go: state, S256 with `use_pkce`, code exchange, userinfo at `api_url`). Put
in since are host, code, token and the length that follows from them.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from broker.client import Client, listed_client
from broker.conftest import BehindBroker
from clients.plain_browser import PlainBrowser
from entrada.broker.grants import hash_of
from entrada.emulator import RunningEmulator

CALLBACK = "https://grafana.example.com/login/generic_oauth"
SECRET = "s3cret+%&=:~ü"
STATE = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMDA="
AUTHORIZE = (
    "/auth/broker/authorize?client_id=grafana"
    "{pkce}"
    "&redirect_uri=https%3A%2F%2Fgrafana.example.com%2Flogin%2Fgeneric_oauth&response_type=code"
    "&scope=openid+profile+email+offline_access"
    "&state=Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMDA%3D"
)
WITH_PKCE = "&code_challenge=2fg163orV16mNEJIV2ZOofT-GzVJN5qnoGaAjqRUEKM&code_challenge_method=S256"
TOKEN = (
    "POST /auth/broker/token HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: {length}\r\n"
    "Authorization: Basic Z3JhZmFuYTpzM2NyZXQlMkIlMjUlMjYlM0QlM0F+JUMzJUJD\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\n"
    "Accept-Encoding: gzip\r\n"
    "\r\n"
)
FORM = (
    "code={code}{verifier}&grant_type=authorization_code"
    "&redirect_uri=https%3A%2F%2Fgrafana.example.com%2Flogin%2Fgeneric_oauth"
)
USERINFO = (
    "GET /auth/broker/userinfo HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Authorization: Bearer {token}\r\n"
    "Accept-Encoding: gzip\r\n"
    "\r\n"
)


def answered(broker: BehindBroker, request: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the response to exactly these bytes."""
    parts = urlsplit(broker.url)
    assert parts.hostname is not None
    assert parts.port is not None
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(request.encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(body) < int(fields["content-length"]):
            body += connection.recv(65536)
    assert "content-encoding" not in fields
    told: dict[str, Any] = json.loads(body)
    return int(head.split()[1]), told


def token_request(broker: BehindBroker, code: str, *, verifier: str) -> tuple[int, dict[str, Any]]:
    form = FORM.format(code=code, verifier=verifier)
    head = TOKEN.format(host=urlsplit(broker.url).netloc, length=len(form))
    return answered(broker, head + form)


def listed(broker: BehindBroker, **changes: Any) -> Client:
    return listed_client(
        broker, "grafana", redirect_uris=(CALLBACK,), secret_hashes=(hash_of(SECRET),), **changes
    )


@pytest.fixture
def browser(running_entra: RunningEmulator, new_browser: Callable[[], PlainBrowser]) -> PlainBrowser:
    browser = new_browser()
    browser.stop_at = (CALLBACK,)
    return browser


@pytest.mark.parametrize("with_pkce", [True, False], ids=["use_pkce", "without"])
def test_grafanas_requests(behind_broker: BehindBroker, browser: PlainBrowser, with_pkce: bool) -> None:
    """Authorize, token with its secret in the header (A31), userinfo with e-mail, name and roles.

    Without `use_pkce` the installation has to be listed for it.
    """
    listed(behind_broker, insecure_without_pkce=not with_pkce)
    asked = AUTHORIZE.format(pkce=WITH_PKCE if with_pkce else "")
    back = browser.sign_in(behind_broker.url + asked, "ada@contoso.test").parameters
    assert back["state"] == STATE
    verifier = f"&code_verifier={'v' * 128}" if with_pkce else ""
    status, tokens = token_request(behind_broker, back["code"], verifier=verifier)
    assert status == 200, tokens
    assert tokens["token_type"] == "Bearer"
    host = urlsplit(behind_broker.url).netloc
    status, person = answered(behind_broker, USERINFO.format(host=host, token=tokens["access_token"]))
    assert status == 200
    assert (person["email"], person["name"]) == ("ada@contoso.test", "Ada Lovelace")
    assert person["roles"] == ["Admin"]  # for role_attribute_path


def test_grafana_without_pkce_is_told_to_use_it(behind_broker: BehindBroker, browser: PlainBrowser) -> None:
    """A19: as it comes from its defaults, and listed as everybody is."""
    listed(behind_broker)
    back = browser.open(behind_broker.url + AUTHORIZE.format(pkce="")).parameters
    assert (back["error"], back["state"]) == ("invalid_request", STATE)
    assert "PKCE is required" in back["error_description"]


def test_grafana_with_another_secret(behind_broker: BehindBroker, browser: PlainBrowser) -> None:
    """CVE-2026-135300: a wrong secret in the header gets a challenge and no token."""
    client = listed_client(behind_broker, "grafana", redirect_uris=(CALLBACK,))
    assert client.name == "grafana"
    back = browser.sign_in(behind_broker.url + AUTHORIZE.format(pkce=WITH_PKCE), "ada@contoso.test")
    status, told = token_request(
        behind_broker, back.parameters["code"], verifier=f"&code_verifier={'v' * 128}"
    )
    assert (status, told["error"]) == (401, "invalid_client")
