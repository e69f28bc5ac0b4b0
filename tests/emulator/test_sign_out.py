"""Signing out: sessions end, applications are told, browsers go back only to registered addresses."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from emulator.relying_party import CALLBACK, Entra, answered, payload
from entrada.emulator.seed import CLIENT_ID

BACK = "http://localhost:5000/auth/signed-out"


def _sign_out(entra: Entra, **parameters: str) -> httpx.Response:
    return entra.http.get(entra.url("oauth2/v2.0/logout", secure=False), params=parameters)


def _frames(page: httpx.Response) -> list[str]:
    return [html.unescape(url) for url in re.findall(r'<iframe[^>]* src="([^"]+)"', page.text)]


def test_the_front_channel_gets_sid_and_nothing_else(entra: Entra) -> None:
    """The sign-out page frames the registered address, on the port in use, with `sid` alone."""
    claims = entra.claims()
    page = _sign_out(entra, post_logout_redirect_uri=BACK, state="s")
    assert page.status_code == 200
    assert _frames(page) == [f"http://localhost:5000/auth/entra/logout?sid={claims['sid']}"]
    assert "frame-src http://localhost:5000/auth/entra/logout;" in page.headers["content-security-policy"]
    link = re.search(r'id="go-on" href="([^"]+)"', page.text)
    assert link
    assert html.unescape(link[1]) == f"{BACK}?state=s"


def test_afterwards_nobody_is_signed_in(entra: Entra) -> None:
    """Silent sign-in fails after signing out, and a new sign-in has another sid."""
    before = entra.claims()["sid"]
    _sign_out(entra)
    assert answered(entra.authorize(prompt="none"))["error"] == "login_required"
    assert entra.claims()["sid"] != before


def test_without_a_session_the_browser_goes_straight_back(entra: Entra) -> None:
    """Nobody to tell: a redirect to the registered address with the state."""
    response = _sign_out(entra, post_logout_redirect_uri=BACK, state="a b")
    assert response.headers["location"] == f"{BACK}?state=a%20b"


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/", "http://localhost:5000/elsewhere", "//evil.example", "javascript:alert(1)",
     "http://localhost:5000@evil.example/auth/signed-out"],
)  # fmt: skip
def test_an_unregistered_address_is_not_followed(entra: Entra, address: str) -> None:
    """The page says that the session ended and names no way on."""
    response = _sign_out(entra, post_logout_redirect_uri=address)
    assert response.status_code == 200
    assert "evil" not in response.text
    assert 'id="go-on"' not in response.text


def test_the_hint_chooses_the_account(entra: Entra) -> None:
    """logout_hint ends one of two accounts; without a hint the page asks."""
    ada = entra.claims("ada@contoso.test")
    entra.claims("ed@contoso.test")
    assert "Which account" in _sign_out(entra).text
    page = _sign_out(entra, logout_hint=ada["login_hint"])
    assert _frames(page) == [f"http://localhost:5000/auth/entra/logout?sid={ada['sid']}"]
    assert payload(entra.redeem(answered(entra.authorize(prompt="none"))["code"]).json()["id_token"])[
        "name"
    ].startswith("Ed")


def test_an_application_without_an_address_is_not_told(entra: Entra) -> None:
    """No logout URL registered: no frame."""
    entra.emulator.change_app(CLIENT_ID, logout_url="")
    entra.claims()
    assert _frames(_sign_out(entra)) == []


def test_state_may_come_back_wrong(entra: Entra) -> None:
    """oidcc-client-test-rp-init-logout-no-state and -other-state."""
    entra.emulator.fail("oidcc-client-test-rp-init-logout-no-state")
    assert _sign_out(entra, post_logout_redirect_uri=BACK, state="s").headers["location"] == BACK
    entra.emulator.fail("oidcc-client-test-rp-init-logout-other-state")
    other = _sign_out(entra, post_logout_redirect_uri=BACK, state="s").headers["location"]
    assert other == f"{BACK}?state=s1"


def test_the_redirect_uris_query_survives(entra: Entra) -> None:
    """A registered address with a query keeps it."""
    entra.emulator.change_app(CLIENT_ID, web_redirect_uris=[CALLBACK, "https://app.example/out?x=1"])
    response = _sign_out(entra, post_logout_redirect_uri="https://app.example/out?x=1", state="s")
    assert response.headers["location"] == "https://app.example/out?x=1&state=s"
