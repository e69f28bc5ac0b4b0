"""Every address under /auth: whatever a visitor sends, never a 500 and never a wrong session."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrada.entra.clouds import PUBLIC
from entrada.errors import StoreUnavailable
from entrada.sessions.revocation import LogPosition, Revocations
from entrada.sessions.session import Session
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.web.messages import WebRequest
from flows.world import (
    LOGIN,
    PAGE_VISIT,
    PUBLIC_URL,
    SCRIPT,
    SECRET,
    TENANT,
    Browser,
    FakeEntra,
    answer,
    headers_of,
    location_of,
    new_browser,
)

SESSION = "__Host-entrada_session"
OTHER_PERSON = "ffffffff-ffff-4fff-8fff-ffffffffffff"
OURS = {"sec-fetch-site": "same-origin", "origin": PUBLIC_URL}
THEIRS = {"sec-fetch-site": "cross-site", "origin": "https://evil.test"}


@pytest.fixture
def browser() -> Browser:
    return new_browser()


@pytest.fixture
def ada() -> Browser:
    """Ada's browser, signed in as Admin."""
    browser = new_browser()
    browser.sign_in(roles=["Admin"], login_hint="O.CiQ-hint", sid="the-sid")
    return browser


def later(browser: Browser) -> None:
    """Revocations anywhere are known by now."""
    browser.entra.clock.advance(seconds=1)


def me(browser: Browser) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(browser.me().body)
    return document


# --- the sign-in page ---


def test_the_sign_in_page_has_the_button(browser: Browser) -> None:
    """Its label is the configured one, and it leads on to where the person was going."""
    got = browser.visit("/auth/login?next=/reports")
    assert got.status == 200
    assert b"Sign in with Microsoft Entra ID" in got.body
    assert b"/auth/entra/start?next=/reports" in got.body


def test_somebody_signed_in_needs_no_sign_in_page(ada: Browser) -> None:
    """With a session the page leads straight on."""
    assert location_of(ada.visit("/auth/login?next=/reports")) == "/reports"


def test_E9_a_session_cookie_that_opens_nothing_is_cleared_at_the_sign_in_page(browser: Browser) -> None:
    """Somebody who must sign in again does not carry the old cookie along."""
    browser.cookies[SESSION] = "x" * 66
    got = browser.visit("/auth/login")
    assert any(line.startswith(f"{SESSION}=; ") for line in headers_of(got, "set-cookie"))
    assert browser.session_cookie is None


@pytest.mark.parametrize("planted", ["", "x", "é", f"{'a' * 22}.{'b' * 43}", "a" * 4_000])
@pytest.mark.parametrize("first", [False, True], ids=["planted last", "planted first"])
def test_K3_a_second_cookie_that_cannot_be_ours_locks_nobody_out(
    ada: Browser, planted: str, first: bool
) -> None:
    """Which of two cookies of our name is ours is decided by what verifies, wherever it stands."""
    pairs = [f"{SESSION}={planted}", ada.cookie_header]
    doubled = "; ".join(pairs if first else pairs[::-1])
    assert ada.request("GET", "/auth/me", **SCRIPT, cookie=doubled).status == 200
    assert ada.visit("/auth/login", cookie=doubled).status == 303


def test_F4_K3_two_sessions_at_once_say_nothing(ada: Browser) -> None:
    """Two cookies that both open a session open none: nobody is taken for somebody else."""
    mallory = Browser(auth=ada.auth, entra=ada.entra)
    mallory.sign_in(oid=OTHER_PERSON, name="Mallory")
    for cookie in (
        f"{ada.cookie_header}; {mallory.cookie_header}",
        f"{mallory.cookie_header}; {ada.cookie_header}",
    ):
        assert ada.request("GET", "/auth/me", **SCRIPT, cookie=cookie).status == 401


@pytest.mark.parametrize("before", ["\xa0", "\x85", "\u3000", "\x1f", "\x0b", '"', "é"])
def test_K3_a_name_outside_the_alphabet_is_nobodys(ada: Browser, before: str) -> None:
    """A neighbour's cookie whose name only looks like ours is not ours: neither alone nor beside it."""
    mallory = Browser(auth=ada.auth, entra=ada.entra)
    mallory.sign_in(oid=OTHER_PERSON, name="Mallory")
    tossed = before + mallory.cookie_header
    assert ada.request("GET", "/auth/me", **SCRIPT, cookie=tossed).status == 401
    both = ada.request("GET", "/auth/me", **SCRIPT, cookie=f"{tossed}; {ada.cookie_header}")
    assert json.loads(both.body)["name"] == "Ada Lovelace"


# --- the start ---


@pytest.mark.parametrize(
    "query",
    [
        "code_challenge_method=plain&code_challenge=x",
        "scope=https://graph.microsoft.com/Mail.Read",
        "redirect_uri=https://evil.test/",
        "client_id=another",
        "response_mode=fragment&response_type=token",
        "state=chosen&nonce=chosen",
        "prompt=none&prompt=login",
        "prompt=admin_consent",
    ],
)
def test_A20_no_parameter_of_the_visitor_reaches_entra(browser: Browser, query: str) -> None:
    """The request to Entra is ours, whatever stands in the address of the start; nothing stands twice."""
    plain = parse_qs(urlsplit(browser.start()).query)
    asked = parse_qs(urlsplit(location_of(browser.visit(f"/auth/entra/start?{query}"))).query)
    assert all(len(values) == 1 for values in asked.values())
    assert asked.keys() - plain.keys() <= {"prompt"}
    for name in ("scope", "redirect_uri", "client_id", "response_mode", "response_type"):
        assert asked[name] == plain[name]
    assert asked["code_challenge_method"] == ["S256"]
    assert "chosen" not in {*asked["state"], *asked["nonce"]}


@pytest.mark.parametrize("prompt", ["login", "select_account", "none"])
def test_a_known_prompt_is_passed_on(browser: Browser, prompt: str) -> None:
    """The prompts that a page may ask for reach Entra."""
    url = location_of(browser.visit(f"/auth/entra/start?prompt={prompt}"))
    assert parse_qs(urlsplit(url).query)["prompt"] == [prompt]


@pytest.mark.parametrize("name", ["login_hint", "domain_hint"])
@pytest.mark.parametrize("hint", ["a\r\nX: y", "a" * 10_000, "\x00", "a\u2028b", ""])
def test_A21_an_odd_hint_is_dropped(browser: Browser, name: str, hint: str) -> None:
    """Line ends, control characters and long hints do not reach Entra; the sign-in goes on without."""
    url = location_of(browser.visit("/auth/entra/start?" + urlencode({name: hint})))
    assert name not in parse_qs(urlsplit(url).query)


def test_A21_a_hint_cannot_add_a_parameter(browser: Browser) -> None:
    """An ampersand in a hint is part of the hint."""
    url = location_of(browser.visit("/auth/entra/start?" + urlencode({"login_hint": "a&prompt=none"})))
    asked = parse_qs(urlsplit(url).query)
    assert asked["login_hint"] == ["a&prompt=none"]
    assert "prompt" not in asked


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "evil.test"},
        {"x-forwarded-proto": "http"},
        {"forwarded": "host=evil.test"},
        {"x-original-url": "/evil"},
    ],
    ids=str,
)
def test_A22_the_redirect_uri_is_the_configured_one(browser: Browser, headers: dict[str, str]) -> None:
    """No header of the visitor changes where Entra sends people."""
    url = location_of(browser.visit("/auth/entra/start", **headers))
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == [f"{PUBLIC_URL}/auth/entra/callback"]


# --- the callback ---


def refused(browser: Browser, query: str, status: int = 400) -> bytes:
    """The page of a refused callback: no session, no account, no token request."""
    got = browser.visit(f"/auth/entra/callback?{query}")
    assert got.status == status, got.body
    assert browser.session_cookie is None
    assert browser.auth.relying_party.accounts.list_users() == []
    assert browser.entra.token_requests() == []
    assert ("cache-control", "no-store") in got.headers
    return got.body


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=x",
        "state=x",
        "code=x&state=",
        "code=x&state=unknown",
        "error=access_denied",
        "error=access_denied&state=unknown",
        "code=x&state=" + "s" * 600,
        "code=%00&state=unknown",
        "id_token=eyJ&state=unknown",
        "&".join(["a=b"] * 40) + "&code=x&state=unknown",
    ],
    ids=lambda query: query[:30],
)
def test_A1_A2_A10_a_callback_that_nobody_asked_for_is_refused(browser: Browser, query: str) -> None:
    """No state, an unknown state, neither code nor error: a page, and no token request leaves."""
    refused(browser, query)


def test_a_callback_with_too_many_parameters_is_refused(browser: Browser) -> None:
    """Thousands of parameters are not taken apart."""
    refused(browser, "&".join(["a=b"] * 3000), status=403)


@pytest.mark.parametrize("name", ["state", "code", "error", "iss", "id_token"])
def test_A8_a_doubled_parameter_is_400(browser: Browser, name: str) -> None:
    """A doubled parameter is refused though the rest is right."""
    brought = browser.entra.approve(browser.start())
    doubled = [*brought.items(), (name, brought.get(name, "x")), (name, "x")]
    refused(browser, urlencode(doubled))


def test_A9_code_and_error_together_redeem_nothing(browser: Browser) -> None:
    """The error counts; the code stays unused."""
    brought = browser.entra.approve(browser.start())
    body = refused(browser, urlencode({**brought, "error": "access_denied"}), status=403)
    assert b"code" not in body.lower() or brought["code"].encode() not in body


@pytest.mark.parametrize("code", ["c" * 1_000_000, "a\x00b", "a\r\nX: y"], ids=lambda code: repr(code)[:8])
def test_A18_an_odd_code_is_400(browser: Browser, code: str) -> None:
    """A huge code, or one with NUL or line ends, is refused before anything is sent."""
    brought = browser.entra.approve(browser.start())
    refused(browser, urlencode({**brought, "code": code}))


def test_A26_a_token_in_the_callback_is_400(browser: Browser) -> None:
    """An ID token that the browser brings is refused beside a good code, too."""
    brought = browser.entra.approve(browser.start())
    refused(browser, urlencode({**brought, "id_token": "eyJ.eyJ.x"}))


def test_A4_a_replayed_callback_leaves_the_session_alone(browser: Browser) -> None:
    """The second time is refused; the person stays signed in; no second token request leaves."""
    url = browser.start()
    brought = browser.entra.approve(url)
    pending = dict(browser.cookies)
    browser.come_back(brought)
    browser.cookies |= pending  # a browser that kept the cookie
    got = browser.come_back(brought)
    assert got.status == 400
    assert b"already used" in got.body
    assert browser.me().status == 200
    assert len(browser.entra.token_requests()) == 1


def test_A6_K28_a_late_callback_offers_to_start_again_at_the_same_page(browser: Browser) -> None:
    """More than an hour later the page offers a new start that leads to where the person was going."""
    brought = browser.entra.approve(browser.start("/reports?year=2026"))
    browser.entra.clock.advance(minutes=61)
    body = refused(browser, urlencode(brought))
    assert b"That took too long" in body
    assert quote("/reports?year=2026", safe="/").encode() in body


def test_A14_a_post_is_refused_where_query_was_asked(browser: Browser) -> None:
    """An answer by another way than the one asked for is not taken."""
    brought = browser.entra.approve(browser.start())
    assert browser.request("POST", "/auth/entra/callback", form=brought, **PAGE_VISIT).status == 400
    assert browser.entra.token_requests() == []


def test_A14_a_get_is_refused_where_form_post_was_asked() -> None:
    """With form_post, an answer in the address is not taken."""
    browser = new_browser(response_mode="form_post")
    brought = browser.entra.approve(browser.start())
    assert browser.come_back(brought).status == 400
    assert browser.entra.token_requests() == []


def test_A13_a_form_post_works_without_the_session_cookie() -> None:
    """Entra's cross-site POST brings no Lax cookie: the sign-in works and replaces the old session."""
    browser = new_browser(response_mode="form_post")
    begin = browser.entra.approve(browser.start())
    browser.request("POST", "/auth/entra/callback", form=begin, **THEIRS)
    old = browser.session_cookie
    assert old is not None
    brought = browser.entra.approve(browser.start())
    lax = browser.cookies.pop(SESSION)
    browser.request("POST", "/auth/entra/callback", form=brought, **THEIRS)
    assert browser.me().status == 200
    later(browser)
    assert browser.request("GET", "/auth/me", **SCRIPT, cookie=f"{SESSION}={lax}").status == 401


def test_A13_a_form_post_stays_bound_to_the_browser() -> None:
    """A POST that brings no pending cookie is refused."""
    browser = new_browser(response_mode="form_post")
    brought = browser.entra.approve(browser.start())
    stranger = Browser(auth=browser.auth, entra=browser.entra)
    assert stranger.request("POST", "/auth/entra/callback", form=brought, **THEIRS).status == 400


def test_A15_what_entra_says_is_shown_escaped_and_logged_in_one_line(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """A description with script, line ends and escapes is harmless on the page and one line in the log."""
    hostile = "AADSTS50000: <script>alert(1)</script>\r\nX: y\x1b[31m" + "x" * 200_000
    state = parse_qs(urlsplit(browser.start()).query)["state"][0]
    with caplog.at_level(logging.INFO, logger="entrada.events"):
        body = refused(
            browser,
            urlencode({"error": "<script>\r\n", "error_description": hostile, "state": state}),
        )
    assert b"<script>alert" not in body
    assert len(body) < 50_000
    (entry,) = caplog.records
    assert len(entry.getMessage().splitlines()) == 1


@pytest.mark.parametrize("error", ["login_required", "interaction_required", "consent_required"])
def test_A16_a_silent_try_becomes_one_interactive_try(browser: Browser, error: str) -> None:
    """prompt=none that needs a person leads to Entra once more, without prompt=none, and no further."""
    url = location_of(browser.visit("/auth/entra/start?prompt=none&next=/reports"))
    state = parse_qs(urlsplit(url).query)["state"][0]
    again = location_of(browser.come_back({"error": error, "state": state}))
    asked = parse_qs(urlsplit(again).query)
    assert again.startswith(LOGIN)
    assert "prompt" not in asked
    assert browser.come_back({"error": error, "state": asked["state"][0]}).status == 400


def test_A16_the_interactive_try_still_leads_to_the_page(browser: Browser) -> None:
    """After the second try the person lands where they were going."""
    url = location_of(browser.visit("/auth/entra/start?prompt=none&next=/reports"))
    state = parse_qs(urlsplit(url).query)["state"][0]
    again = location_of(browser.come_back({"error": "login_required", "state": state}))
    assert location_of(browser.come_back(browser.entra.approve(again))) == "/reports"


def refuse_once(browser: Browser, description: str = "AADSTS65004: User declined.") -> int:
    got = browser.visit("/auth/entra/start")
    if got.status != 303:
        return got.status
    state = parse_qs(urlsplit(location_of(got)).query)["state"][0]
    return browser.come_back(
        {"error": "access_denied", "error_description": description, "state": state}
    ).status


def test_A17_after_three_refusals_the_loop_is_cut(browser: Browser) -> None:
    """The fourth start does not go to Entra any more; the page says why."""
    assert [refuse_once(browser) for _ in range(3)] == [403, 403, 403]
    got = browser.visit("/auth/entra/start")
    assert got.status == 429
    assert b"3 times in a row" in got.body


def test_A17_the_sign_in_page_begins_the_count_anew(browser: Browser) -> None:
    """A person who comes by the sign-in page may try again."""
    for _ in range(3):
        refuse_once(browser)
    browser.visit("/auth/login")
    assert browser.visit("/auth/entra/start").status == 303


def test_A17_a_success_forgets_earlier_refusals(browser: Browser) -> None:
    """Two refusals and then a sign-in leave no count behind."""
    refuse_once(browser)
    refuse_once(browser)
    browser.sign_in()
    assert not [name for name in browser.cookies if "refusals" in name]


@pytest.mark.parametrize(
    "path", ["/auth/session", "/auth/sessions", "/api/sessions", "/auth/token", "/auth/entra/token"]
)
def test_A27_no_address_makes_a_session_from_a_callers_token(browser: Browser, path: str) -> None:
    """Posting a provider and an access token opens nothing, anywhere."""
    got = browser.request("POST", path, form={"provider": "active_directory", "token": "eyJ"}, **SCRIPT)
    assert got.status in (404, 405)
    assert browser.session_cookie is None


def test_A34_a_second_person_replaces_the_first_wholly(browser: Browser) -> None:
    """Two people in one browser, one after the other: nothing of the first is left, session included."""
    browser.sign_in(roles=["Admin"])
    first = browser.session_cookie
    browser.sign_in(
        oid=OTHER_PERSON, name="Ed", email="ed@contoso.test", preferred_username="ed@contoso.test"
    )
    assert {name: me(browser)[name] for name in ("name", "email", "username", "roles")} == {
        "name": "Ed",
        "email": "ed@contoso.test",
        "username": "ed@contoso.test",
        "roles": [],
    }
    later(browser)
    assert browser.request("GET", "/auth/me", **SCRIPT, cookie=f"{SESSION}={first}").status == 401


def test_F1_a_cookie_planted_before_the_sign_in_is_not_the_session(browser: Browser) -> None:
    """The session after a sign-in has a value that nobody could know before."""
    planted = "A" * 22 + "." + "B" * 43
    browser.cookies[SESSION] = planted
    browser.sign_in()
    assert browser.session_cookie not in (None, planted)
    assert browser.request("GET", "/auth/me", **SCRIPT, cookie=f"{SESSION}={planted}").status == 401


# --- when others fail ---


def test_A33_entra_down_is_a_503_page_and_recovers() -> None:
    """Without Entra the start answers 503 with a page, and works again by itself when Entra is back."""
    entra = FakeEntra(down=True)
    browser = new_browser(entra)
    got = browser.visit("/auth/entra/start")
    assert got.status == 503
    assert browser.visit("/auth/login").status == 200
    entra.down = False
    entra.clock.advance(seconds=5)
    assert location_of(browser.sign_in()) == "/"


def test_signed_in_people_do_not_notice_that_entra_is_down(ada: Browser) -> None:
    """The session check never asks Entra."""
    ada.entra.down = True
    later(ada)
    assert ada.me().status == 200


def test_a_throttled_sign_in_says_when_to_come_back(browser: Browser) -> None:
    """Retry-After is passed on with the page."""
    browser.entra.token_response = lambda form: answer({}, status=429, **{"retry-after": "17"})
    got = browser.sign_in()
    assert (got.status, headers_of(got, "retry-after")) == (503, ["17"])


class FailingSessions(MemorySessionStore):
    """A store that can be switched off."""

    off = False

    def find(self, session_id: Any) -> Session | None:
        if self.off:
            raise StoreUnavailable
        return super().find(session_id)

    def revocations(self, since: LogPosition | None) -> Revocations:
        if self.off:
            raise StoreUnavailable
        return super().revocations(since)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/auth/login"),
        ("GET", "/auth/entra/start"),
        ("GET", "/auth/me"),
        ("GET", "/auth/account"),
        ("GET", "/auth/logout"),
        ("POST", "/auth/logout"),
    ],
)
def test_a_store_that_fails_lets_nobody_in_and_makes_no_500(method: str, path: str) -> None:
    """With the database gone, whoever has a cookie gets 503 and neither in nor out."""
    store = FailingSessions()
    browser = new_browser(sessions=store)
    browser.sign_in()
    store.off = True
    later(browser)
    assert browser.request(method, path, **PAGE_VISIT, **OURS).status == 503


def test_the_sign_in_page_works_without_a_database() -> None:
    """Somebody without a cookie still sees the page with the button."""
    store = FailingSessions()
    store.off = True
    assert new_browser(sessions=store).visit("/auth/login").status == 200


# --- signing out ---


def test_signing_out_ends_here_and_goes_on_to_entra(ada: Browser) -> None:
    """The session ends, the cookie goes, and the person is sent to Entra's sign-out with a way back."""
    old = ada.session_cookie
    url = location_of(ada.request("POST", "/auth/logout", form={}, **PAGE_VISIT, **OURS))
    asked = parse_qs(urlsplit(url).query)
    assert url.startswith(f"{LOGIN}/{TENANT}/oauth2/v2.0/logout?")
    assert asked["post_logout_redirect_uri"] == [f"{PUBLIC_URL}/auth/signed-out"]
    assert asked["logout_hint"] == ["O.CiQ-hint"]
    assert ada.session_cookie is None
    assert ada.request("GET", "/auth/me", **SCRIPT, cookie=f"{SESSION}={old}").status == 401


@pytest.mark.parametrize("query", ["", "?state=another", "?state=", "?x=<script>", "?state=a&state=b"])
def test_E13_coming_back_from_entra_lands_safely(browser: Browser, query: str) -> None:
    """With any state or none the page says that one is signed out, and does not sign in again by itself."""
    got = browser.visit(f"/auth/signed-out{query}")
    assert got.status == 200
    assert headers_of(got, "location") == []
    assert b"<script>" not in got.body
    assert b"http-equiv" not in got.body.lower()


def test_E14_signing_out_works_with_entra_down() -> None:
    """If Entra's address is not known, the session here ends anyway."""
    entra = FakeEntra()
    browser = new_browser(entra)
    browser.sign_in()
    entra.down = True
    entra.clock.advance(hours=25)
    browser.auth.relying_party.sign_in.application._discovery.known = None
    got = browser.request("POST", "/auth/logout", form={}, **PAGE_VISIT, **OURS)
    assert location_of(got) == "/auth/signed-out"
    assert browser.session_cookie is None


def test_E7_signing_out_by_GET_only_asks(ada: Browser) -> None:
    """A link or an image to the sign-out address ends nothing: it shows a page that asks."""
    got = ada.visit("/auth/logout", **THEIRS)
    assert got.status == 200
    assert b"csrf_token" in got.body
    assert ada.me().status == 200


def test_E7_another_sites_post_signs_nobody_out(ada: Browser) -> None:
    """A form on another site ends nothing and gets a page that says so."""
    got = ada.request("POST", "/auth/logout", form={}, **{**PAGE_VISIT, **THEIRS})
    assert got.status == 403
    assert ada.me().status == 200


def test_E7_a_hidden_origin_signs_out_with_the_forms_token(ada: Browser) -> None:
    """The form of our own page works where the browser hides its origin, and only with its token."""
    token = ada.auth.form_token(WebRequest(method="GET", path="/", headers={"cookie": ada.cookie_header}))
    hidden = {"origin": "null"}
    assert ada.request("POST", "/auth/logout", form={"csrf_token": "x"}, **hidden).status == 403
    assert ada.request("POST", "/auth/logout", form={"csrf_token": token}, **hidden).status == 303
    assert ada.me().status == 401


def test_E15_signing_out_everywhere(ada: Browser) -> None:
    """The form's `everywhere` ends the person's other browsers' sessions too."""
    elsewhere = Browser(auth=ada.auth, entra=ada.entra)
    elsewhere.sign_in()
    ada.request("POST", "/auth/logout", form={"everywhere": "1"}, **OURS)
    later(ada)
    assert elsewhere.me().status == 401


def test_signing_out_without_a_session_is_no_error(browser: Browser) -> None:
    """Somebody who is not signed in ends on the same page."""
    assert location_of(browser.request("POST", "/auth/logout", form={}, **OURS)) == "/auth/signed-out"
    assert location_of(browser.visit("/auth/logout")) == "/auth/signed-out"


# --- Entra's front channel ---

FRAMED = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe", "sec-fetch-site": "cross-site"}


def framed(browser: Browser, query: str, cookie: str = "") -> Any:
    """Entra's hidden frame in a browser, which sends no cookies there."""
    headers = {**FRAMED, "host": "app.contoso.test", **({"cookie": cookie} if cookie else {})}
    return browser.auth.handle(
        WebRequest(method="GET", path="/auth/entra/logout", query=query, headers=headers)
    )


def test_E10_entra_ends_exactly_the_sessions_of_that_sid(ada: Browser) -> None:
    """GET with `sid` and nothing else ends those sessions, answers 200 without storing, and others stay."""
    other = Browser(auth=ada.auth, entra=ada.entra)
    other.sign_in(sid="other-sid")
    got = framed(ada, "sid=the-sid")
    assert got.status == 200
    assert ("cache-control", "no-store") in got.headers
    assert headers_of(got, "set-cookie") == []
    later(ada)
    assert [ada.me().status, other.me().status] == [401, 200]


def test_E10_only_the_login_host_may_frame_the_answer(ada: Browser) -> None:
    """The policy names Entra's host alone, and every other page may be framed by nobody (A35)."""
    (policy,) = headers_of(framed(ada, "sid=the-sid"), "content-security-policy")
    ancestors = next(part.split()[1:] for part in policy.split("; ") if part.startswith("frame-ancestors"))
    assert set(ancestors) == {f"https://{PUBLIC.login_host}"}
    for path in ("/auth/login", "/auth/signed-out", "/auth/account", "/auth/entra/callback"):
        for policy in headers_of(ada.visit(path), "content-security-policy"):
            assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "query",
    ["", "sid=", "sid=unknown", "sid=the-sid&sid=the-sid", "sid=the-sid&sid=x", "sid[]=the-sid",
     "SID=the-sid",
     "iss=https://evil.test", "sid=%00", "sid=" + "a" * 5000, "sid=the-sid%20", "sid=*"],
)  # fmt: skip
def test_E11_a_front_channel_call_that_names_no_session_changes_nothing(ada: Browser, query: str) -> None:
    """Unknown, empty, doubled or odd: 200, no effect, and the visitor's own session stays."""
    got = framed(ada, query, cookie=ada.cookie_header)
    assert got.status == 200
    assert headers_of(got, "set-cookie") == []
    later(ada)
    assert ada.me().status == 200


# --- who is signed in ---


def test_me_says_who_is_signed_in(ada: Browser) -> None:
    """Account, names, tenant and object id, roles, limits; and nothing that is secret."""
    document = me(ada)
    assert document["name"] == "Ada Lovelace"
    assert document["email"] == "ada@contoso.test"
    assert document["tenant_id"] == TENANT
    assert document["object_id"] == "00aa00aa-bb11-cc22-dd33-44ee44ee44ee"
    assert document["roles"] == ["Admin"]
    assert document["account_id"] == ada.auth.relying_party.accounts.list_users()[0].id
    assert set(document["session"]) == {"signed_in_at", "idle_expires_at", "absolute_expires_at"}
    assert (ada.session_cookie or "x").partition(".")[2] not in json.dumps(document)


def test_me_without_a_session_is_401_json(browser: Browser) -> None:
    """Nobody signed in is 401 with a document that says where to sign in."""
    got = browser.me()
    assert got.status == 401
    assert ("content-type", "application/json") in got.headers
    assert json.loads(got.body) == {"error": "login_required", "login_path": "/auth/login"}


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", SCRIPT),
        ("GET", {"x-requested-with": "XMLHttpRequest", "accept": "text/html"}),
        ("GET", {"accept": "*/*"}),
        ("GET", {**PAGE_VISIT, "sec-fetch-dest": "image"}),
        ("OPTIONS", PAGE_VISIT),
        ("POST", SCRIPT),
        ("PUT", PAGE_VISIT),
        ("DELETE", {}),
    ],
    ids=str,
)
def test_A25_a_script_without_a_session_gets_401(
    browser: Browser, method: str, headers: dict[str, str]
) -> None:
    """What is no page visit is told 401 in JSON, never sent to Microsoft."""
    got = browser.auth.challenge(WebRequest(method=method, path="/api/things", headers=headers))
    assert got.status == 401
    assert headers_of(got, "location") == []


def test_A25_a_page_visit_without_a_session_goes_to_the_sign_in_page(browser: Browser) -> None:
    """A person is sent to sign in, and back to the page afterwards."""
    got = browser.auth.challenge(WebRequest(method="GET", path="/reports", headers=PAGE_VISIT))
    assert location_of(got) == "/auth/login?next=/reports"


FORM = {**PAGE_VISIT, "sec-fetch-site": "same-origin"}


@pytest.mark.parametrize("headers", [FORM, {**FORM, "sec-fetch-site": "same-site"}, {"accept": "text/html"}])
def test_a_form_without_a_session_gets_a_page_that_helps_to_send_it_again(
    browser: Browser, headers: dict[str, str]
) -> None:
    """401, and a link to sign in beside it: nothing sends the person away from what they typed."""
    got = browser.auth.challenge(WebRequest(method="POST", path="/orders", headers=headers))
    assert got.status == 401
    assert b"Your form was not sent" in got.body
    assert b'href="/auth/login?next=/auth/signed-in" target="_blank" rel="noopener"' in got.body
    assert b"reload" in got.body


def test_a_form_in_a_frame_is_sent_again_from_its_own_page(browser: Browser) -> None:
    """A browser that reloads a page does not send the form of a frame in it again."""
    framed = {**FORM, "sec-fetch-dest": "iframe"}
    got = browser.auth.challenge(WebRequest(method="POST", path="/orders", headers=framed))
    assert b"go back one page" in got.body
    assert b"reload" not in got.body


@pytest.mark.parametrize(
    "headers",
    [
        {**PAGE_VISIT, "sec-fetch-site": "cross-site", "origin": PUBLIC_URL},
        {"accept": "text/html", "origin": "https://evil.test"},
        {"accept": "text/html", "origin": "null"},
    ],
)
def test_K15_a_form_of_another_site_s_is_not_to_be_sent_again(
    browser: Browser, headers: dict[str, str]
) -> None:
    """Sent after signing in it would do what the other site wants: 403, and no such advice."""
    host = urlsplit(PUBLIC_URL).netloc
    request = WebRequest(method="POST", path="/orders", headers={**headers, "host": host})
    got = browser.auth.challenge(request)
    assert got.status == 403
    assert b"A page of another site sent a form here" in got.body
    assert b"again: confirm" not in got.body


def test_the_end_of_a_sign_in_in_a_tab_of_its_own(ada: Browser, browser: Browser) -> None:
    """It says who is signed in and to close the tab; without a session it leads to sign in, and back."""
    page = ada.visit("/auth/signed-in")
    assert page.status == 200
    assert b"Close this tab" in page.body
    assert location_of(browser.visit("/auth/signed-in")) == "/auth/login?next=/auth/signed-in"


# --- anything else ---


@pytest.mark.parametrize(
    "path", ["/auth", "/auth/", "/auth/x", "/auth/login/", "/auth//login", "/auth/entra", "/auth/../x"]
)
def test_an_unknown_address_is_404(browser: Browser, path: str) -> None:
    """What is not an address of ours is 404, with or without a slash too many."""
    assert browser.visit(path).status == 404


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "", "OPTIONS"]
)
def test_another_method_is_405_with_what_is_allowed(browser: Browser, method: str) -> None:
    """A method that an address does not know is 405 and changes nothing."""
    got = browser.request(method, "/auth/logout")
    assert got.status == 405
    assert headers_of(got, "allow") == ["GET, POST, HEAD"]


@pytest.mark.parametrize(
    ("target", "mark"),
    [
        ("/auth", True),
        ("/auth/login", True),
        ("/author", False),
        ("/", False),
        ("/x/auth/login", False),
        ("", False),
    ],
)
def test_only_its_own_addresses_are_its_own(browser: Browser, target: str, mark: bool) -> None:
    """The prefix ends at a slash: /author belongs to the application."""
    assert browser.auth.owns(target) is mark


PATHS = [
    "/auth/login", "/auth/entra/start", "/auth/entra/callback", "/auth/logout", "/auth/signed-out",
    "/auth/entra/logout", "/auth/me", "/auth/account", "/auth/x",
]  # fmt: skip
TEXT = st.text(max_size=40)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    path=st.sampled_from(PATHS),
    query=TEXT
    | st.dictionaries(st.sampled_from(["next", "state", "code", "sid", "prompt"]), TEXT).map(
        lambda pairs: urlencode(pairs, errors="replace")
    ),
    headers=st.dictionaries(
        st.sampled_from(
            ["cookie", "host", "origin", "accept", "content-type", "sec-fetch-site", "sec-fetch-mode"]
        ),
        TEXT,
    ),
    body=st.binary(max_size=60),
)
def test_nothing_a_visitor_sends_makes_a_500(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    """Any method, query, headers and body get an answer below 500 that is stored nowhere."""
    browser = FUZZED
    got = browser.auth.handle(WebRequest(method=method, path=path, query=query, headers=headers, body=body))
    assert got.status < 500
    assert ("cache-control", "no-store") in got.headers


FUZZED = new_browser()


# --- secrets and logs ---


def test_J1_no_log_and_no_page_holds_what_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Over whole sign-ins, good and bad, no log line holds a code, token, cookie, verifier or secret."""
    entra = FakeEntra()
    browser = new_browser(entra)
    seen: list[str] = [SECRET, "an-opaque-access-token-for-graph", "a-refresh-token-that-nobody-keeps"]
    with caplog.at_level(logging.DEBUG):
        for claims in ({"roles": ["Admin"]}, {"aud": "wrong"}, {"nonce": "wrong"}, {"exp": 1}):
            url = browser.start("/x")
            seen += list(browser.cookies.values())
            brought = entra.approve(url, **claims)
            seen += [brought["code"], brought["state"]]
            got = browser.come_back(brought)
            seen += list(browser.cookies.values())
            assert not [secret for secret in seen if secret.encode() in got.body]
        seen += [request.form["code_verifier"] for request in entra.token_requests()]
        browser.request("POST", "/auth/logout", form={}, **OURS)
    written = "\n".join(f"{entry.getMessage()} {entry.__dict__}" for entry in caplog.records)
    assert written
    assert [secret for secret in seen if secret in written] == []


def test_J2_a_sign_in_is_one_event_with_ids_and_no_names(caplog: pytest.LogCaptureFixture) -> None:
    """The log of a sign-in names account, tenant and object, not the person."""
    browser = new_browser()
    with caplog.at_level(logging.INFO, logger="entrada.events"):
        browser.sign_in()
    lines = [entry.getMessage() for entry in caplog.records if entry.name == "entrada.events"]
    (line,) = [line for line in lines if line.startswith("sign_in_completed ")]
    assert f"tenant_id={TENANT}" in line
    assert "Ada" not in line
    assert "@" not in line


def test_a_refusal_and_its_log_line_share_an_incident_number(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """What the person reads can be found in the log."""
    with caplog.at_level(logging.INFO, logger="entrada.events"):
        got = browser.request("GET", "/auth/entra/callback?code=x", **SCRIPT)
    number = next(
        part.removeprefix("incident=") for part in caplog.messages[-1].split() if "incident" in part
    )
    assert number.encode() in got.body


# --- what may be answered without a thread ---


def at_once(browser: Browser, path: str, **headers: str) -> bool:
    request = WebRequest(method="GET", path=path, headers={"host": urlsplit(PUBLIC_URL).netloc, **headers})
    return browser.auth.responds_from_memory(request)


def test_nothing_that_may_ask_entra_or_the_database_is_answered_at_once(browser: Browser) -> None:
    """The redirect URI, signing out and who is signed in always get a thread."""
    for path in ("/auth/entra/callback", "/auth/logout", "/auth/entra/logout", "/auth/me", "/auth/account"):
        assert not at_once(browser, path), path


def test_a_start_is_answered_at_once_only_when_entra_need_not_be_asked(browser: Browser) -> None:
    """Before discovery it waits in a thread; afterwards memory is enough."""
    assert not at_once(browser, "/auth/entra/start")
    browser.start()
    assert at_once(browser, "/auth/entra/start")


def test_a_session_cookie_means_the_database_may_be_asked(browser: Browser) -> None:
    """The sign-in page looks for a live session first, so with a cookie it gets a thread."""
    assert at_once(browser, "/auth/login")
    assert not at_once(browser, "/auth/login", cookie=f"{SESSION}={'a' * 22}.{'b' * 43}")


def test_who_is_signed_in_is_answered_at_once_while_memory_knows(ada: Browser) -> None:
    """A session checked a moment ago needs no store; one that was not, does."""
    assert not at_once(ada, "/auth/me", cookie=ada.cookie_header)
    ada.me()
    assert at_once(ada, "/auth/me", cookie=ada.cookie_header)


def test_E11_a_front_channel_call_with_too_many_parameters_is_no_error(browser: Browser) -> None:
    """Whatever the frame is called with, it gets 200 and ends nothing."""
    assert browser.visit("/auth/entra/logout?" + "a=1&" * 60).status == 200
