"""Signing out: at Mage, at Entra, and at another application. Each ends both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.emulator.seed import CONTOSO_ID
from integrations.mage import pages
from integrations.mage.desk import FRONT_CHANNEL_PATH, Desk, Person

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


def test_mages_own_menu_ends_both_sessions(desk: Desk, visitor: BrowserContext) -> None:
    """After "Sign out" the browser is at Mage's sign-in page, and Entra asks who it is again."""
    tab = visitor.new_page()
    pages.sign_in(tab, desk, "ed@contoso.test")
    session = pages.session_of(visitor, desk)
    pages.sign_out(tab)
    assert urlsplit(tab.url).path == "/sign-in"
    assert tab.url.startswith(desk.mage.site)
    assert not desk.opens(session)
    assert not pages.session_of(visitor, desk)
    (asked,) = [one for one in desk.entra.requests if one.endpoint == "logout"]
    assert urlsplit(asked.query["post_logout_redirect_uri"]).path == "/oauth"
    tab.get_by_text(pages.BUTTON).click()
    tab.get_by_text("Pick an account").wait_for()
    assert "Signed in" not in tab.get_by_role("button", name="ed@contoso.test").inner_text()


def test_front_channel_logout_ends_the_session(desk: Desk) -> None:
    """Who signs out of another application is signed out of Mage, by a frame that brings no cookie."""
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        other = desk.sign_in("vi@contoso.test")
        assert desk.opens(session)
        frame = entras_frame(desk, browser)
    answer = httpx.get(frame, trust_env=False)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert not desk.opens(session)
    assert desk.opens(other)


def test_a_guessed_sid_ends_nothing(desk: Desk) -> None:
    """A sid that Entra never gave, several of them, or none: 200, and everybody stays."""
    session = desk.sign_in("ed@contoso.test")
    for query in ("", "?sid=", "?sid=guessed", "?sid=a&sid=b", "?sid=%00"):
        assert httpx.get(f"{desk.mage.site}{FRONT_CHANNEL_PATH}{query}", trust_env=False).status_code == 200
    assert desk.opens(session)


def test_whoever_comes_next_is_nobody_else(desk: Desk) -> None:
    """Mage remembers sessions by their number in the database: the number of one that ended is not given out
    again, or the next person would be taken for the last. Asked of Mage itself, not of its database.
    """
    for _ in range(3):
        with desk.person() as browser:
            first = desk.sign_in("ed@contoso.test", browser=browser)
            assert desk.opens(first)
            assert desk.signs_out(browser).status_code == 200
        with desk.person() as browser:
            second = desk.sign_in("vi@contoso.test", browser=browser)
            user = desk.user_called("vi@contoso.test")
            assert user is not None
            with desk.api(second) as api:
                kept = {"provider": "github", "token": f"git-{second[-20:]}"}
                api.post("/api/oauths", json={"oauth": kept, "api_key": desk.mage.api_key})
                held = api.get("/api/oauth_access_tokens").json()["oauth_access_tokens"]
            assert {one["user_id"] for one in held} == {user.user_id}
            desk.signs_out(browser)
        assert not desk.opens(first)


def test_another_site_cannot_sign_people_out(desk: Desk) -> None:
    """A form or script elsewhere that calls Mage's sign-out ends no session."""
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        answer = browser.send(
            "PUT",
            f"{desk.mage.site}/api/sessions/1?api_key={desk.mage.api_key}",
            headers={"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        )
    assert answer.status_code >= 400
    assert desk.opens(session)


def entras_frame(desk: Desk, browser: Person) -> str:
    """The address that Entra frames when this browser signs out of everything."""
    page = browser.open(f"{desk.entra.http_url}/{CONTOSO_ID}/oauth2/v2.0/logout")
    while not page.frames and page.forms:
        page = browser.press(page.forms[0].buttons[0][0])
    (frame,) = [one for one in page.frames if one.startswith(desk.mage.site)]
    assert "sid=" in frame
    return frame
