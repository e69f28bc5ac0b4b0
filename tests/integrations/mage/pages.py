"""Mage's own pages in a real browser: what people press, and what stands there afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from integrations.mage.desk import Desk

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext
    from playwright.sync_api import Page as Tab

BUTTON = "Sign in with Microsoft"
WAIT_MS = 45_000
_DASHBOARD = "/overview"


def session_of(context: BrowserContext, desk: Desk) -> str:
    """Mage's session cookie in that browser, or nothing."""
    named = [one for one in context.cookies(desk.mage.site) if one.get("name") == "oauth_token"]
    return str(named[0].get("value") or "") if named else ""


def session_after_arrival(context: BrowserContext, tab: Tab, desk: Desk) -> str:
    """The session that this browser has once nothing in the address asks for one any more, or nothing."""
    tab.wait_for_function(
        "() => document.cookie.includes('oauth_token=') || !location.search.includes('access_token')"
    )
    tab.get_by_text(BUTTON).or_(tab.get_by_text("Pipeline run metrics")).first.wait_for()
    tab.wait_for_load_state("networkidle")
    return session_of(context, desk)


def press_the_button(tab: Tab, desk: Desk, *, path: str = "/sign-in") -> None:
    """From Mage's sign-in page to Entra."""
    tab.goto(desk.mage.site + path, wait_until="commit")
    tab.get_by_text(BUTTON).click()


def sign_in(tab: Tab, desk: Desk, who: str) -> None:
    """Mage's sign-in page, its button, the account, Mage's dashboard."""
    press_the_button(tab, desk)
    tab.get_by_role("button", name=who).click()
    tab.wait_for_url(f"{desk.mage.site}{_DASHBOARD}**", wait_until="commit")
    tab.get_by_text("Pipeline run metrics").wait_for()


def give_password(tab: Tab, email: str, password: str) -> None:
    """Mage's own form."""
    tab.locator("input[autocomplete=username]").fill(email)
    tab.locator("input[type=password]").fill(password)
    tab.get_by_text("Sign into Mage").click()


def sign_out(tab: Tab) -> None:
    """The menu behind the avatar, and its last line; back when nothing moves any more."""
    tab.locator("svg[class*=Mage8Bit]").first.click()
    tab.get_by_text("Sign out").click()
    tab.wait_for_url(lambda url: _DASHBOARD not in urlsplit(url).path)  # below a base path, too
    tab.wait_for_load_state("networkidle")


def where(tab: Tab) -> str:
    """`dashboard` on Mage's first page, else the path."""
    tab.wait_for_load_state("networkidle")
    path = urlsplit(tab.url).path
    return "dashboard" if path.startswith(_DASHBOARD) else path
