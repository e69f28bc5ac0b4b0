"""Sign-ins under way in one browser: several at once, never too many, nobody else's."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.flows.pending import MOST_PENDING, MOST_PENDING_CHARACTERS
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest
from entrada.web.pending_cookies import MOST_REFUSALS, PendingCookies, Refusals
from flows.world import KEY, Browser, FakeEntra, auth_routes, headers_of, location_of, new_browser

PREFIX = "__Host-entrada_pending_"
RULES = CookieRules(secure=True)
COOKIES = PendingCookies(sealer=Sealer([KEY], purpose="pending sign-in"), cross_site=False)


def pending_of(browser: Browser) -> list[str]:
    return [name for name in browser.cookies if name.startswith(PREFIX)]


def request(cookie: str) -> WebRequest:
    return WebRequest(method="GET", path="/", headers={"cookie": cookie})


@pytest.fixture
def browser() -> Browser:
    return new_browser()


def test_A23_a_thousand_starts_leave_five_sign_ins(browser: Browser) -> None:
    """However often sign-in is started, at most five are kept in the browser and none on the server."""
    for _ in range(1000):
        browser.start("/a")
        browser.entra.clock.advance(seconds=1)
    assert len(pending_of(browser)) == MOST_PENDING
    assert browser.auth.relying_party.sessions._spent == {}  # type: ignore[attr-defined]


def test_A23_the_oldest_sign_in_is_dropped(browser: Browser) -> None:
    """A sixth sign-in pushes out the first, and the other five can be finished."""
    begun = []
    for number in range(6):
        begun.append(browser.start(f"/tab{number}"))
        browser.entra.clock.advance(seconds=1)
    brought = [browser.entra.approve(url) for url in begun]
    assert browser.come_back(brought[0]).status == 400
    assert [location_of(browser.come_back(answer)) for answer in brought[1:]] == [
        f"/tab{number}" for number in range(1, 6)
    ]


def test_A23_the_longest_targets_stay_within_what_proxies_let_through(browser: Browser) -> None:
    """With the longest next paths, all cookies together stay below 8 kB and each below a browser's 4 kB."""
    for _ in range(8):
        browser.start("/" + "a" * 2_047)
        browser.entra.clock.advance(seconds=1)
    assert pending_of(browser)
    assert max(len(name) + len(value) for name, value in browser.cookies.items()) <= 4_096
    assert len(browser.cookie_header) < 8_000 - 200
    assert sum(len(browser.cookies[name]) for name in pending_of(browser)) <= MOST_PENDING_CHARACTERS


def test_A24_five_tabs_finish_in_any_order(browser: Browser) -> None:
    """Five tabs started at once each land on their own page, whatever the order."""
    begun = [browser.start(f"/tab{number}") for number in range(5)]
    landed = {
        number: location_of(browser.come_back(browser.entra.approve(begun[number])))
        for number in (3, 0, 4, 2, 1)
    }
    assert landed == {number: f"/tab{number}" for number in range(5)}
    assert pending_of(browser) == []


def test_A3_another_browser_cannot_finish(browser: Browser) -> None:
    """An answer brought by a browser that did not begin is refused, and no token request leaves."""
    brought = browser.entra.approve(browser.start())
    victim = Browser(auth=browser.auth, entra=browser.entra)
    got = victim.come_back(brought)
    assert got.status == 400
    assert b"same browser" in got.body
    assert victim.session_cookie is None
    assert browser.entra.token_requests() == []


def test_A3_another_browsers_sign_in_does_not_help(browser: Browser) -> None:
    """A sign-in of one's own under way does not let somebody else's answer in."""
    brought = browser.entra.approve(browser.start())
    victim = Browser(auth=browser.auth, entra=browser.entra)
    victim.start()
    assert victim.come_back(brought).status == 400
    assert browser.entra.token_requests() == []


def test_A6_a_sign_in_of_an_hour_ago_is_dropped_at_the_next_start(browser: Browser) -> None:
    """An expired cookie is cleared away when sign-in starts anew."""
    browser.start()
    browser.entra.clock.advance(minutes=61)
    browser.start()
    assert len(pending_of(browser)) == 1


def test_K22_what_is_not_ours_harms_nothing_and_stays(browser: Browser) -> None:
    """Cookies of our name that we did not seal may be another application's: they neither count nor go."""
    theirs = [f"{PREFIX}garbage{n:03d}" for n in range(20)] + [f"{PREFIX}{n:010x}" for n in range(20)]
    browser.cookies |= dict.fromkeys(theirs, "x" * 50)
    assert location_of(browser.sign_in("/a")) == "/a"
    assert pending_of(browser) == theirs


@pytest.mark.parametrize("value", ["", "x", "=", '"', "\x00", "é", "A" * 5_000, "e30", "."])
def test_F7_a_changed_cookie_is_no_sign_in(browser: Browser, value: str) -> None:
    """A pending cookie with any other value leads to the page that says to start again, not to an error."""
    brought = browser.entra.approve(browser.start())
    (name,) = pending_of(browser)
    browser.cookies[name] = value
    assert browser.come_back(brought).status == 400
    assert browser.entra.token_requests() == []


@pytest.mark.parametrize("planted", ["x", "", "A" * 500])
def test_F4_K3_a_second_pending_cookie_neither_stops_nor_steers(browser: Browser, planted: str) -> None:
    """Somebody who can plant a cookie of that name changes nothing: the one that opens is ours."""
    brought = browser.entra.approve(browser.start("/mine"))
    (name,) = pending_of(browser)
    doubled = f"{name}={planted}; {browser.cookie_header}"
    got = browser.visit("/auth/entra/callback?" + urlencode(brought), cookie=doubled)
    assert location_of(got) == "/mine"


def test_F7_one_tabs_cookie_under_anothers_name_is_nothing(browser: Browser) -> None:
    """Swapping the cookies of two tabs finishes neither."""
    brought = [browser.entra.approve(browser.start()) for _ in range(2)]
    one, other = pending_of(browser)
    browser.cookies[one], browser.cookies[other] = browser.cookies[other], browser.cookies[one]
    assert [browser.come_back(answer).status for answer in brought] == [400, 400]


def test_F8_a_rotated_key_finishes_what_the_old_one_began() -> None:
    """Once a new key is in front, the old one still finishes what it began; once it is gone, begin again."""
    entra = FakeEntra()
    browser = new_browser(entra)
    party = browser.auth.relying_party
    first, second = (browser.entra.approve(browser.start()) for _ in range(2))
    newer = b"a newer key of thirty-two bytes or more"
    browser.auth = auth_routes(party, keys=[newer, KEY])
    assert browser.come_back(first).status == 303
    browser.auth = auth_routes(party, keys=[newer])
    assert browser.come_back(second).status == 400


def test_K28_the_cookie_outlives_its_sign_in() -> None:
    """The browser keeps it for half a day more, so that a late answer can be told as late, and led on."""
    got = new_browser().visit("/auth/entra/start")
    (line,) = headers_of(got, "set-cookie")
    assert f"Max-Age={13 * 3600}" in line
    assert "HttpOnly" in line


# --- refusals in a row ---


def test_A17_refusals_of_one_kind_are_counted() -> None:
    """The same refusal again and again counts up; another one begins anew."""
    refusals = Refusals()
    for _ in range(3):
        refusals = refusals.and_one("access_denied 65004", "You declined.")
    assert refusals.count == MOST_REFUSALS == 3
    assert refusals.and_one("invalid_client 7000222", "The secret expired.").count == 1


def test_A17_the_count_survives_in_a_sealed_cookie() -> None:
    """What was counted comes back, and nobody can write a count of their own."""
    refusals = Refusals(count=2, reason="access_denied ", sentence="You declined: “no”.")
    line = COOKIES.keep_refusals(refusals, RULES)
    assert COOKIES.refusals(request(line.partition(";")[0]), RULES) == refusals


@settings(deadline=None)
@given(st.text(max_size=60))
def test_A17_a_forged_count_is_none(value: str) -> None:
    """Any other value of the cookie is a count of nothing."""
    assert COOKIES.refusals(request(f"__Host-entrada_refusals={value}"), RULES) == Refusals()


def test_A17_a_pending_seal_is_no_count(browser: Browser) -> None:
    """A pending sign-in copied into the refusals' cookie is nothing."""
    browser.start()
    (name,) = pending_of(browser)
    assert COOKIES.refusals(request(f"__Host-entrada_refusals={browser.cookies[name]}"), RULES) == Refusals()


def test_A17_what_is_remembered_is_bounded() -> None:
    """However long a reason is, the cookie stays small."""
    refusals = Refusals().and_one("r" * 10_000, "s" * 10_000)
    assert len(COOKIES.keep_refusals(refusals, RULES)) < 1_000
