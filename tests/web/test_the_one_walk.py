"""What every application has from the one walk over HTTP, by the numbers of the cases that asked for it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from entrada.errors import TenantRefused
from entrada.flows.pending import unseal_pending
from entrada.sealing import Sealer
from entrada.web.messages import WebRequest
from entrada.web.sign_in import SignInRequest
from entrada.web.site import Site
from flows.world import PAGE_VISIT, PUBLIC_URL, TENANT, Browser, headers_of, location_of, new_browser

EARLY = [
    {"sec-purpose": "prefetch"},
    {"sec-purpose": "prefetch;prerender"},
    {"purpose": "prefetch"},
    {"x-purpose": "preview"},
    {"x-moz": "prefetch"},
]
FRAMED = {"sec-fetch-mode": "navigate", "accept": "text/html"}


@pytest.fixture
def browser() -> Browser:
    return new_browser()


@pytest.mark.parametrize("headers", EARLY, ids=str)
def test_K25_a_prefetch_redeems_nothing(browser: Browser, headers: dict[str, str]) -> None:
    """The browser looks ahead, gets no page and no cookie, and the person's own visit signs in."""
    brought = browser.entra.approve(browser.start("/reports"))
    early = browser.visit("/auth/entra/callback?" + urlencode(brought), **headers)
    assert (early.status, early.body, headers_of(early, "set-cookie")) == (503, b"", [])
    assert browser.entra.token_requests() == []
    assert location_of(browser.come_back(brought)) == "/reports"


@pytest.mark.parametrize("headers", EARLY, ids=str)
def test_K25_K68_a_prefetch_begins_nothing(browser: Browser, headers: dict[str, str]) -> None:
    """A start that a browser asks for ahead of the person leaves no sign-in under way."""
    assert browser.visit("/auth/entra/start", **headers).status == 503
    assert browser.cookies == {}


def test_K66_consent_can_be_asked_for(browser: Browser) -> None:
    """`prompt=consent` reaches Entra."""
    at_entra = location_of(browser.visit("/auth/entra/start?prompt=consent"))
    assert parse_qs(urlsplit(at_entra).query)["prompt"] == ["consent"]


def test_K26_consent_given_is_thanked_for(browser: Browser) -> None:
    """Who accepted for everybody reads so, and who can sign in now; nothing is redeemed."""
    got = browser.visit(f"/auth/entra/callback?admin_consent=True&tenant={TENANT}")
    assert got.status == 200
    assert b"<h1>Thank you</h1>" in got.body
    assert b"can sign in from now on" in got.body
    assert browser.entra.token_requests() == []


@pytest.mark.parametrize(
    "query",
    [
        "admin_consent=False&error=access_denied&error_description=x",
        "admin_consent=True&error=access_denied",
        "error=permission_denied&error_description=The+admin+canceled+the+request",
    ],
)
def test_K26_consent_not_given_is_said(browser: Browser, query: str) -> None:
    """An error beside it, or a no, is told as one."""
    got = browser.visit(f"/auth/entra/callback?{query}")
    assert got.status == 403
    assert b"Permission was not given" in got.body


@pytest.mark.parametrize(
    "query", ["admin_consent=True&code=x&state=y", "admin_consent=True&admin_consent=True"]
)
def test_K26_a_consent_response_smuggles_nothing(browser: Browser, query: str) -> None:
    """Beside a code, or doubled, it is no consent response, and refused as anything else."""
    assert browser.visit(f"/auth/entra/callback?{query}").status == 400


def test_K26_the_link_on_our_page_has_a_redirect_uri(browser: Browser) -> None:
    """Without one Entra answers AADSTS900971."""
    refused = browser.auth.relying_party.sign_in.identification.refusal(
        "access_denied", "AADSTS90094: Admin consent is required.", f"{PUBLIC_URL}/auth/entra/callback"
    )
    assert "redirect_uri=https%3A%2F%2Fapp.contoso.test%2Fauth%2Fentra%2Fcallback" in refused.hint


def test_K57_coming_back_again_while_signed_in_leads_to_the_application(browser: Browser) -> None:
    """The Back button after a sign-in: a link to the application, and no offer to start again."""
    brought = browser.entra.approve(browser.start())
    browser.come_back(brought)
    got = browser.come_back(brought)
    assert got.status == 400
    assert b'first" href="/">Go to the application</a>' in got.body
    assert b"Try again" not in got.body


def test_K53_a_refused_response_is_logged_with_its_reason(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """Which of the many reasons it was stands in the line."""
    with caplog.at_level(logging.INFO, logger="entrada.events"):
        browser.visit("/auth/entra/callback?code=x&code=y&state=z")
    assert "the parameter code twice" in caplog.messages[-1]


@pytest.mark.parametrize("dest", ["iframe", "frame", "embed", "object"])
def test_K65_a_protected_page_in_a_frame_offers_a_window(browser: Browser, dest: str) -> None:
    """Nobody can sign in inside another page: a page says so, and opens a window of its own."""
    request = WebRequest(
        method="GET", path="/reports", query="a=1", headers={**FRAMED, "sec-fetch-dest": dest}
    )
    got = browser.auth.challenge(request)
    assert got.status == 401
    assert b'href="/reports?a=1" target="_blank" rel="noopener"' in got.body
    (policy,) = headers_of(got, "content-security-policy")
    assert "frame-ancestors *" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    ("path", "link"), [("//evil.test/x", "/"), ("/\\evil.test", "/%5Cevil.test"), ("/auth/logout", "/")]
)
def test_K65_the_window_opens_on_this_origin(browser: Browser, path: str, link: str) -> None:
    """What may not be a page to land on is no link in a page of ours either; a backslash is none there."""
    headers = {**FRAMED, "sec-fetch-dest": "iframe"}
    got = browser.auth.challenge(WebRequest(method="GET", path=path, raw_path=path, headers=headers))
    assert got.status == 401
    assert f'href="{link}" target="_blank"'.encode() in got.body


def test_K61_an_unknown_address_has_a_page_of_the_same_make(browser: Browser) -> None:
    """404, with a way to the front page; a script gets JSON."""
    page = browser.auth.not_found(WebRequest(method="GET", path="/nowhere", headers=PAGE_VISIT))
    assert page.status == 404
    assert b'href="/">Go to the front page</a>' in page.body
    script = browser.auth.not_found(WebRequest(method="GET", path="/nowhere", headers={}))
    assert headers_of(script, "content-type") == ["application/json"]


def test_K29_who_is_not_let_in_reads_who_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """Name, account and roles on the page; tenant, object id and roles in the log, and no name."""
    browser = new_browser()
    browser.sign_in()
    party = browser.auth.relying_party
    (user,) = party.accounts.list_users()
    party.set_disabled(user.id, disabled=True)
    with caplog.at_level(logging.INFO, logger="entrada.events"):
        got = browser.sign_in(roles=["Admin"])
    assert got.status == 403
    assert b"Ada Lovelace" in got.body
    assert b"Admin" in got.body
    assert b"Use another account" in got.body
    line = caplog.messages[-1]
    assert f"tenant_id={TENANT} object_id=" in line
    assert "roles=Admin" in line
    assert "Ada" not in line


@pytest.mark.parametrize(
    ("url", "base_path", "name"),
    [
        ("https://app.test", "", "__Host-entrada_session"),
        ("https://app.test:8443", "", "__Host-entrada_session_8443"),
        ("http://localhost:8000", "", "entrada_session_8000"),
        ("https://app.test", "/tool", "__Host-entrada_session_tool"),
        ("http://localhost:8001", "/a/b.c", "entrada_session_8001_a-b-c"),
    ],
)
def test_K22_cookies_tell_applications_on_one_host_apart(url: str, base_path: str, name: str) -> None:
    """By the port that the public URL names, and by the prefix."""
    site = Site(urls=[url], callback_paths=["/auth/entra/callback"], base_path=base_path)
    request = WebRequest(method="GET", path="/", headers={"host": urlsplit(url).netloc})
    assert site.cookie_rules(request).name("entrada_session") == name


def test_an_ending_gets_its_context_back_and_may_choose(browser: Browser) -> None:
    """Redirect URI, prompt, max_age, tenant and context of one sign-in; only that tenant comes back."""
    wish = SignInRequest(
        next_path="/",
        redirect_uri=f"{PUBLIC_URL}/oauth",
        prompt="login",
        max_age=timedelta(minutes=5),
        tenant_id=OTHER,
        context="of an installation",
    )
    request = WebRequest(method="GET", path="/auth/entra/start", headers={"host": "app.contoso.test"})
    begun = browser.auth.sign_in.begin(wish, request)
    asked = parse_qs(urlsplit(begun.entra_url).query)
    assert (asked["redirect_uri"], asked["prompt"], asked["max_age"]) == (
        [f"{PUBLIC_URL}/oauth"],
        ["login"],
        ["300"],
    )
    browser.take_cookies(begun.response())
    ((name, value),) = browser.cookies.items()
    pending = unseal_pending(value, tag=name.rpartition("_")[2], sealer=browser.auth.pending.sealer)
    assert pending is not None
    assert (pending.context, pending.tenant_id, pending.max_age_seconds) == ("of an installation", OTHER, 300)
    brought = browser.entra.approve(begun.entra_url, auth_time=int(browser.entra.clock.now().timestamp()))
    got = browser.come_back(brought)
    assert got.status == 403
    assert TenantRefused.code.encode() in got.body


@pytest.mark.parametrize(("before_s", "status"), [(-200, 303), (100, 303), (140, 400)])
def test_B29_who_signed_in_after_we_asked_is_fresh_however_slow(
    browser: Browser, before_s: int, status: int
) -> None:
    """`max_age` is kept by a sign-in that came after the asking (or the skew before it): a long read of the
    consent page makes nobody stale, and an older sign-in is none.
    """
    wish = SignInRequest(next_path="/", max_age=timedelta(0))
    request = WebRequest(method="GET", path="/auth/entra/start", headers={"host": "app.contoso.test"})
    begun = browser.auth.sign_in.begin(wish, request)
    browser.take_cookies(begun.response())
    signed_in = int(browser.entra.clock.now().timestamp()) - before_s
    browser.entra.clock.advance(minutes=20)
    brought = browser.entra.approve(begun.entra_url, auth_time=signed_in)
    assert browser.come_back(brought).status == status


OTHER: Any = "99999999-9999-4999-8999-999999999999"


OFFICE = "198.51.100.1"


def made_up_answers(browser: Browser, *, times: int) -> list[int]:
    """The statuses of so many sign-ins that this browser begins and answers with made-up codes."""
    statuses = []
    for _ in range(times):
        state = parse_qs(urlsplit(browser.start()).query)["state"][0]
        statuses.append(browser.come_back({"code": "made-up", "state": state}).status)
        browser.forget("refusals")
    return statuses


def neighbours() -> tuple[Browser, Browser]:
    """Two browsers of one site behind one address."""
    one = new_browser()
    one.peer = OFFICE
    return one, Browser(auth=one.auth, entra=one.entra, peer=OFFICE)


def test_K21_strangers_on_the_same_address_do_not_lock_out_who_works_there() -> None:
    """A browser in which they have signed in before is on its person's own budget, signed out or not."""
    person, stranger = neighbours()
    person.sign_in()
    person.forget("session")
    assert 429 in made_up_answers(stranger, times=130)
    assert person.sign_in().status == 303


def test_K21_a_known_browser_has_a_budget_too() -> None:
    """Who has signed in once cannot try codes without end, from however many addresses and browsers."""
    person, other = neighbours()
    person.sign_in()
    other.sign_in()
    for number in range(60):
        person.peer, other.peer = f"192.0.2.{number}", f"203.0.113.{number}"
        assert made_up_answers(person, times=1) + made_up_answers(other, times=1) == [400, 400]
    assert made_up_answers(person, times=1) == [429]


@pytest.mark.parametrize("spoil", ["of another application", "expired", "made up"])
def test_K21_no_other_cookie_makes_a_browser_known(spoil: str) -> None:
    """A cookie that we did not seal, or sealed long ago, leaves the browser on its address's budget."""
    person, stranger = neighbours()
    person.sign_in()
    (name,) = (name for name in person.cookies if "known" in name)
    if spoil == "expired":
        person.entra.clock.advance(days=91)
    elif spoil == "made up":
        person.cookies[name] = "99999999999 somebody"
    else:
        sealer = Sealer([b"another key of thirty-two bytes and more"], purpose="pending sign-in")
        person.cookies[name] = sealer.seal(b"99999999999 somebody", context="entrada_known")
    assert 429 in made_up_answers(stranger, times=130)
    assert person.sign_in().status == 429
