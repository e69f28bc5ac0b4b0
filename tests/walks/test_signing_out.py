"""Signing out, here and at Entra, by the person and by Entra: cases E7 to E15."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from entrada.emulator import RunningEmulator
from walks.conftest import NewVisitor, Serve
from walks.refusals import text_of
from walks.site import Site
from walks.visitor import Visitor, query_of

FRONT_CHANNEL = "/auth/entra/logout"
FRAME = re.compile(r'<iframe[^>]*src="([^"]+)"')


def session_ids(site: Site, person: Any) -> list[str]:
    """Entra's `sid` of each session the person has here."""
    rows = site.rows()["entrada_session"]
    return [row[9] for row in rows if row[4] == person.object_id]


def test_E6_every_redirect_is_a_303(visitor: Visitor, pat: Any) -> None:
    """After a POST and after a GET, the next request is a GET without a body."""
    visitor.open("/reports")
    assert visitor.open("/reports").status_code == 303
    assert visitor.open("/auth/entra/start").status_code == 303
    assert visitor.sign_in_as(pat).status_code == 303
    assert visitor.sign_out().status_code == 303


@pytest.mark.parametrize("site_of_origin", ["none", "same-origin", "cross-site"])
def test_E7_a_link_only_asks(site_of_origin: str, visitor: Visitor, pat: Any) -> None:
    """Signing out by a link, from here or elsewhere, asks first and ends nothing."""
    visitor.sign_in_as(pat)
    page = visitor.open("/auth/logout", sec_fetch_site=site_of_origin)
    assert page.status_code == 200
    assert 'method="post"' in page.text
    assert visitor.open("/auth/logout", sec_fetch_dest="image", sec_fetch_mode="no-cors").status_code == 200
    assert visitor.whoami() is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test", "sec_fetch_site": "cross-site"},
        {"origin": "http://localhost:1", "sec_fetch_site": "same-site"},
        {"origin": "null", "sec_fetch_site": "cross-site"},
        {"origin": "null", "sec_fetch_site": "same-site"},
        {"origin": "http://localhost.evil.test", "sec_fetch_site": "cross-site"},
    ],
)
def test_E7_another_site_cannot_sign_out(headers: dict[str, str], visitor: Visitor, pat: Any) -> None:
    """A form of another site changes nothing, though the session cookie came along."""
    visitor.sign_in_as(pat)
    answer = visitor.post("/auth/logout", {"csrf_token": "guess"}, **headers)
    assert answer.status_code == 403
    assert "Another site sent your browser here" in text_of(answer)
    assert visitor.whoami() is not None


def test_E7_old_browser_with_another_sites_origin(visitor: Visitor, pat: Any) -> None:
    """A browser without Fetch Metadata is believed about its Origin only."""
    visitor.sign_in_as(pat)
    foreign = visitor.send("POST", "/auth/logout", {"origin": "https://evil.test", "accept": "text/html"})
    assert foreign.status_code == 403
    assert visitor.whoami() is not None
    own = visitor.send("POST", "/auth/logout", {"origin": visitor.site.public_url, "accept": "text/html"})
    assert own.status_code == 303
    assert visitor.whoami() is None


def test_E7_hidden_origin_with_the_forms_token(visitor: Visitor, pat: Any) -> None:
    """Where a browser hides its origin, the token of our own form does."""
    visitor.sign_in_as(pat)
    page = visitor.open("/auth/logout").text
    token = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
    assert token is not None
    headers = {"origin": "null", "accept": "text/html"}
    wrong = visitor.send("POST", "/auth/logout", headers, data={"csrf_token": "0" * 64})
    assert wrong.status_code == 403
    assert visitor.send("POST", "/auth/logout", headers, data={"csrf_token": token[1]}).status_code == 303
    assert visitor.whoami() is None


def test_E8_signed_out_here_and_at_entra(visitor: Visitor, pat: Any) -> None:
    """Signing out ends the session here at once, then at Entra, and comes back to a page that stays."""
    visitor.sign_in_as(pat)
    cookie = visitor.session_cookie
    leaving = visitor.sign_out()
    assert visitor.session_cookie is None
    assert cookie is not None
    visitor.present(cookie.value)
    assert visitor.whoami() is None
    assert visitor.fetch("/anything").status_code == 401
    visitor.jar.cookies.pop(("localhost", visitor.cookie_name("entrada_session")))
    asked = query_of(leaving.headers["location"])
    assert asked["post_logout_redirect_uri"] == f"{visitor.site.public_url}/auth/signed-out"
    assert asked["logout_hint"]
    assert "id_token_hint" not in asked
    at_entra = visitor.open(leaving.headers["location"], sec_fetch_site="cross-site")
    assert at_entra.status_code in (200, 302, 303)
    back = visitor.open("/auth/signed-out")
    assert back.status_code == 200
    assert "location" not in back.headers


def test_E8_does_not_sign_in_again_by_itself(visitor: Visitor, pat: Any) -> None:
    """After signing out, neither this site nor Entra lets the browser in without the person."""
    visitor.sign_in_as(pat)
    visitor.open(visitor.sign_out().headers["location"])
    asked = visitor.open("/reports")
    assert urlsplit(asked.headers["location"]).path == "/auth/login"
    assert visitor.open(asked.headers["location"]).status_code == 200
    visitor.begin(prompt="none")
    visitor.answer_at_entra()
    assert query_of(visitor.coming_back)["error"] == "login_required"


def test_E8_signing_out_twice(visitor: Visitor, pat: Any) -> None:
    """Signing out without a session ends on the same page, without going to Entra."""
    visitor.sign_in_as(pat)
    visitor.sign_out()
    again = visitor.sign_out()
    assert (again.status_code, again.headers["location"]) == (303, "/auth/signed-out")
    assert visitor.open("/auth/logout").headers["location"] == "/auth/signed-out"


@pytest.mark.parametrize("value", ["", "x", "a" * 22 + "." + "b" * 43, '"quoted"', "é"])
def test_E9_login_page_clears_a_dead_cookie(value: str, visitor: Visitor) -> None:
    """The sign-in page shown to a browser with a cookie that opens nothing takes the cookie away."""
    name = visitor.cookie_name("entrada_session")
    sent = {"cookie": f"{name}={value}", "accept": "text/html", "sec-fetch-mode": "navigate"}
    answer = visitor.send("GET", "/auth/login", {key: text.encode() for key, text in sent.items()})
    assert answer.status_code == 200
    assert f"{name}=; Path=/; HttpOnly; Max-Age=0; SameSite=Lax" in answer.headers["set-cookie"]


def test_E9_login_page_with_a_session(visitor: Visitor, pat: Any) -> None:
    """Who is signed in is not asked again: the sign-in page leads on, and the cookie stays."""
    visitor.sign_in_as(pat)
    answer = visitor.open("/auth/login?next=/reports")
    assert (answer.status_code, answer.headers["location"]) == (303, "/reports")
    assert "set-cookie" not in answer.headers


def test_E10_entra_ends_exactly_that_session(new_visitor: NewVisitor, site: Site, pat: Any, kim: Any) -> None:
    """Entra's frame names a sid, without cookie and iss: those sessions end, and no others."""
    here, elsewhere, other, frame = new_visitor(), new_visitor(), new_visitor(), new_visitor()
    here.sign_in_as(pat)
    (sid,) = session_ids(site, pat)
    elsewhere.sign_in_as(pat)
    other.sign_in_as(kim)
    answer = frame.open(f"{FRONT_CHANNEL}?sid={sid}", sec_fetch_dest="iframe", sec_fetch_site="cross-site")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert "x-frame-options" not in answer.headers
    assert here.whoami() is None
    assert elsewhere.whoami() is not None
    assert other.whoami() is not None


def test_E10_framable_by_the_login_host_only(visitor: Visitor, emulator: RunningEmulator) -> None:
    """The answer may be framed by Entra's login host, and by nobody else."""
    policy = visitor.open(f"{FRONT_CHANNEL}?sid=x").headers["content-security-policy"]
    (ancestors,) = re.findall(r"frame-ancestors ([^;]+)", policy)
    assert set(ancestors.split()) == {emulator.https_url, emulator.http_url}


def test_E10_through_entras_own_page(
    new_visitor: NewVisitor, emulator: RunningEmulator, site: Site, pat: Any
) -> None:
    """Signing out at Entra itself loads our front channel in a frame, and that ends the session here."""
    visitor, frame = new_visitor(), new_visitor()
    visitor.sign_in_as(pat)
    page = visitor.open(f"{emulator.http_url}/{pat.tenant_id}/oauth2/v2.0/logout")
    frames = [html.unescape(address) for address in FRAME.findall(page.text)]
    assert [
        address for address in frames if address.startswith(f"{site.public_url}{FRONT_CHANNEL}?")
    ] == frames
    assert len(frames) == 1
    assert set(query_of(frames[0])) <= {"sid", "iss"}
    assert frame.open(frames[0], sec_fetch_dest="iframe").status_code == 200
    assert visitor.whoami() is None


@pytest.mark.parametrize(
    "query",
    ["", "sid=", "sid=unknown", "sid={sid}&sid=other", "sid[]={sid}", "sid=%00", "sid={sid}%00", "SID={sid}"],
)
def test_E11_a_sid_of_nobody(query: str, new_visitor: NewVisitor, site: Site, pat: Any) -> None:
    """A missing, unknown, doubled or odd sid is answered alike and ends nothing."""
    visitor = new_visitor()
    visitor.sign_in_as(pat)
    (sid,) = session_ids(site, pat)
    answer = visitor.open(f"{FRONT_CHANNEL}?{query.format(sid=sid)}", sec_fetch_dest="iframe")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert visitor.whoami() is not None


def test_E11_does_not_end_the_visitors_own_session(
    new_visitor: NewVisitor, site: Site, pat: Any, kim: Any
) -> None:
    """A frame that comes with the cookie of another session leaves that session alone."""
    one, other = new_visitor(), new_visitor()
    one.sign_in_as(pat)
    other.sign_in_as(kim)
    (sid,) = session_ids(site, pat)
    other.open(f"{FRONT_CHANNEL}?sid={sid}", sec_fetch_dest="iframe")
    assert one.whoami() is None
    assert other.whoami() is not None


@pytest.mark.parametrize(
    "module",
    [
        "oidcc-client-test-rp-init-logout",
        "oidcc-client-test-rp-init-logout-no-state",
        "oidcc-client-test-rp-init-logout-other-state",
        "oidcc-client-test-rp-frontchannel-rpinitlogout",
        "oidcc-client-test-rp-frontchannel-opinitlogout",
    ],
)
def test_E13_coming_back_from_entra(
    module: str, visitor: Visitor, emulator: RunningEmulator, pat: Any
) -> None:
    """With our state, none, or another: the page after signing out is the same safe one."""
    visitor.sign_in_as(pat)
    emulator.fail(module)
    leaving = visitor.sign_out().headers["location"]
    at_entra = visitor.open(leaving, sec_fetch_site="cross-site")
    if "location" in at_entra.headers:
        back = at_entra.headers["location"]
    else:
        # Entra shows its frames first; its page then leads on.
        found = re.search(rf'{re.escape(visitor.site.public_url)}/auth/signed-out[^"\s]*', at_entra.text)
        assert found is not None, at_entra.text
        back = html.unescape(found[0])
        for address in FRAME.findall(at_entra.text):
            assert visitor.open(html.unescape(address), sec_fetch_dest="iframe").status_code == 200
    answer = visitor.open(back, sec_fetch_site="cross-site")
    assert answer.status_code == 200
    assert "signed out" in text_of(answer).lower()
    assert visitor.whoami() is None


@pytest.mark.parametrize("state", ["", "//evil.test", "https://evil.test", "x" * 5_000, "%00", "<script>"])
def test_E13_odd_state_on_the_way_back(state: str, visitor: Visitor) -> None:
    """Whatever comes along to the page after signing out, nothing hangs on it and nothing of it is shown."""
    answer = visitor.open(f"/auth/signed-out?state={state}&next=//evil.test")
    assert answer.status_code == 200
    assert "evil" not in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("fault", ["drop", "server_error"])
def test_E14_entra_is_down(
    fault: str, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """With Entra down the session here ends all the same, also when it is not even known where Entra is."""
    first = serve(database=None)
    visitor = new_visitor(first)
    visitor.sign_in_as(pat)
    emulator.fail(fault, times=None)
    assert visitor.sign_out().status_code == 303
    assert visitor.whoami() is None


def test_E14_restarted_while_entra_is_down(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A site restarted in Entra's outage knows its sessions and ends them; the person stays here."""
    visitor = new_visitor(serve())
    visitor.sign_in_as(pat)
    emulator.fail("server_error", endpoint="discovery", times=None)
    restarted = new_visitor(serve(public_url=visitor.site.public_url))
    restarted.jar = visitor.jar
    assert restarted.whoami() is not None
    answer = restarted.sign_out()
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/signed-out")
    assert restarted.whoami() is None


def test_E15_everywhere(new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """Signing out everywhere ends all sessions of this person, and nobody else's."""
    browsers = [new_visitor() for _ in range(4)]
    for browser in browsers:
        browser.sign_in_as(pat)
    other = new_visitor()
    other.sign_in_as(kim)
    browsers[0].sign_out(everywhere="1")
    assert [browser.whoami() for browser in browsers] == [None] * 4
    assert other.whoami() is not None
