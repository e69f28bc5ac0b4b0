"""The emulator against those who try it: open redirects, script in names, odd bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import pytest

from emulator.relying_party import CALLBACK, Entra
from entrada.emulator.protocol.redirect_uris import is_registered
from entrada.emulator.seed import CLIENT_ID, POST_LOGOUT_PATHS, REDIRECT_PATHS

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
OWN = ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "http://localhost@evil/",
       "http://localhost:5000/oauth\r\nX: y", "http://localhost:5000\\@evil/oauth", "http://localhost:5000/oauth#x",
       "http://localhost:5000/oauth/../..//evil", "http://localhost:5000/oauth\t", " http://localhost:5000/oauth",
       "http://localhost:5000:80/oauth", "http://localhost:/oauth", "http://localhost%2eevil/oauth",
       "http://[::1]/oauth", "http://127.0.0.1:5000/oauth", "http://ⓛocalhost/oauth")  # fmt: skip


def _payloads(vectors: Path) -> list[str]:
    listed: list[str] = json.loads((vectors / "open-redirects.json").read_text("utf-8"))
    return sorted({form for one in [*OWN, *listed] for form in (one, unquote(one), unquote(unquote(one)))})


def test_no_payload_is_a_registered_redirect_uri(vectors_directory: Path) -> None:
    """I4: raw, decoded once and twice, none passes the comparison."""
    registered = tuple(f"http://localhost{path}" for path in (*REDIRECT_PATHS, *POST_LOGOUT_PATHS))
    for payload in _payloads(vectors_directory):
        assert not is_registered(payload, registered), payload
        assert not is_registered(f"http://localhost:5000{payload}", registered), payload


def test_no_payload_moves_a_browser(entra: Entra, vectors_directory: Path) -> None:
    """I4: authorize and sign-out never answer with a Location for an unregistered address."""
    payloads = [p for p in _payloads(vectors_directory) if "\x00" not in p][::3] + list(OWN)
    for payload in payloads:
        page = entra.authorize(redirect_uri=payload, login_hint="ada@contoso.test", _emulator_approve="1")
        assert "location" not in page.headers, payload
        assert page.status_code == 200
        url = entra.url("oauth2/v2.0/logout", secure=False)
        page = entra.http.get(f"{url}?post_logout_redirect_uri={quote(payload)}")
        assert "location" not in page.headers, payload
        assert 'id="go-on"' not in page.text


def test_names_are_text_everywhere(entra: Entra) -> None:
    """I4: script in names, titles, groups and applications shows as text on every page."""
    emulator = entra.emulator
    emulator.add_person("xss@contoso.test", display_name=SCRIPT, job_title=SCRIPT, conditional_access="mfa")
    emulator.change_app(CLIENT_ID, display_name=SCRIPT)
    picker = entra.authorize(login_hint=SCRIPT)
    pages = [picker, entra.http.get(f"{emulator.http_url}/_emulator/")]
    reference = re.search(r'name="ctx" value="([^"]+)"', picker.text)
    assert reference
    form = {"ctx": reference[1], "pick": emulator.person("xss@contoso.test").object_id}
    login = f"{emulator.http_url}/contoso.test/login"
    pages.append(entra.http.post(login, data=form))
    pages.append(entra.http.post(login, data={"ctx": reference[1], "action": "otp", "otp": "123456"}))
    emulator.change_person("xss@contoso.test", enabled=False)
    pages.append(entra.authorize(login_hint="xss@contoso.test", _emulator_approve="1"))
    pages.append(entra.authorize(client_id=SCRIPT))
    pages.append(entra.authorize(state=SCRIPT, response_mode="form_post", prompt="none"))
    pages.append(entra.http.get(f"{emulator.http_url}/{quote(SCRIPT)}/oauth2/v2.0/authorize"))
    pages.append(entra.http.get(f"{emulator.http_url}/error", params={"code": SCRIPT}))
    pages.append(entra.http.get(f"{emulator.http_url}/devicelogin", params={"otc": SCRIPT}))
    for page in pages:
        if page.headers["content-type"].startswith("text/html"):
            _harmless(page)


def _harmless(page: httpx.Response) -> None:
    assert "<script>" not in page.text
    assert "<img" not in page.text
    assert re.search(r" on\w+=\"?[^&]*alert", page.text) is None or "&lt;img" in page.text
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


def test_state_cannot_split_a_header(entra: Entra) -> None:
    """CR, LF and other bytes in state come back encoded."""
    response = entra.authorize(state="a\r\nSet-Cookie: x=y\x00é", prompt="none")
    assert response.status_code == 302
    assert "\r" not in response.headers["location"]
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "path",
    ["/%00", "/%ff%fe/oauth2/v2.0/authorize", "/a/b/c", "/../etc/passwd", "/contoso.test/oauth2/v2.0/token/x",
     "/v1.0", "/v1.0/%00", "/_emulator/assets/../../x", "/_emulator/people/%00", "/" + "a" * 5000],
)  # fmt: skip
def test_odd_paths_are_no_defects(entra: Entra, path: str) -> None:
    """Nothing anybody asks for makes a 500."""
    response = entra.http.get(entra.emulator.http_url + path)
    assert response.status_code < 500


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"grant_type=%00", b"a=b&" * 300,
     b"grant_type=authorization_code&code=" + b"1.A" + b"x" * 30000,
     b"grant_type=refresh_token&refresh_token=1.A%00",
     b"client_assertion=a.b.c&client_id=" + CLIENT_ID.encode()],
)  # fmt: skip
def test_odd_bodies_are_no_defects(entra: Entra, body: bytes) -> None:
    """The token endpoint answers 400 or 401 to whatever comes."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = entra.http.post(entra.url("oauth2/v2.0/token"), content=body, headers=headers)
    assert response.status_code in (400, 401)
    assert response.json()["error"]


def test_a_large_body_is_refused(entra: Entra) -> None:
    """A megabyte is the limit."""
    response = entra.http.post(entra.url("oauth2/v2.0/token"), content=b"a" * 1_100_000)
    assert response.status_code == 413


def test_a_page_cannot_be_framed_and_is_not_kept(entra: Entra) -> None:
    """The picker says no-store, no framing, no referrer."""
    page = entra.authorize(redirect_uri=CALLBACK)
    assert page.headers["cache-control"].startswith("no-store")
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
