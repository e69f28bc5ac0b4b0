"""When a sign-in does not end at the dashboard: what the person reads, in a real browser, and can do next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entrada.emulator.seed import CLIENT_ID
from integrations.mage import pages
from integrations.mage.desk import Desk

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

Shot = Callable[["Tab", str], Path]


def heading(tab: Tab) -> str:
    """The only heading of the first rank, on a page of Mage's address."""
    return " ".join(tab.get_by_role("heading", level=1).inner_text().split())


def test_a_declined_consent_can_be_tried_again(desk: Desk, visitor: BrowserContext, shot: Shot) -> None:
    """Who declined reads that they did, and "Try again" leads back to Entra's question."""
    tab = visitor.new_page()
    pages.press_the_button(tab, desk)
    tab.get_by_role("button", name="Cancel").click()
    tab.wait_for_url(f"{desk.mage.site}/oauth**")
    shot(tab, "mage-declined")
    assert "You cancelled" in tab.inner_text("main")
    tab.get_by_role("link", name="Try again").click()
    tab.get_by_text("Pick an account").wait_for()


@pytest.mark.parametrize(
    ("who", "words"), [("carla", "Conditional Access"), ("dan", "disabled"), ("gus@fabrikam.test", "guest")]
)
def test_who_is_not_let_in_reads_why(
    desk: Desk, visitor: BrowserContext, shot: Shot, who: str, words: str
) -> None:
    """Blocked by policy, disabled, a guest: wherever it is refused, at Entra or here, the page says why."""
    tab = visitor.new_page()
    pages.press_the_button(tab, desk)
    tab.get_by_role("button", name=who if "@" in who else f"{who}@contoso.test").click()
    tab.wait_for_load_state("networkidle")
    shot(tab, f"mage-refused-{who.partition('@')[0]}")
    assert words in tab.inner_text("body")
    assert not pages.session_of(visitor, desk)


def test_entra_is_down(desk: Desk, visitor: BrowserContext, shot: Shot) -> None:
    """When Entra does not redeem the code, a page says so in place of a blank one, and trying again works."""
    tab = visitor.new_page()
    pages.press_the_button(tab, desk)
    tab.get_by_text("Pick an account").wait_for()
    desk.entra.fail("server_error", endpoint="token", times=None, status=503)
    tab.get_by_role("button", name="ed@contoso.test").click()
    tab.wait_for_url(f"{desk.mage.site}/oauth**")
    shot(tab, "mage-entra-down")
    assert not pages.session_of(visitor, desk)
    desk.entra.clear_faults()
    tab.get_by_role("link", name="Try again").click()
    tab.get_by_role("button", name="ed@contoso.test").or_(tab.get_by_text("Pipeline run metrics")).wait_for()


def test_an_expired_secret_is_named_to_who_can_change_it(
    desk: Desk, visitor: BrowserContext, shot: Shot
) -> None:
    """The page says that the administrator must act, and the number under which Microsoft explains it."""
    desk.entra.change_app(CLIENT_ID, secrets=[])
    tab = visitor.new_page()
    pages.press_the_button(tab, desk)
    tab.get_by_role("button", name="ed@contoso.test").click()
    tab.wait_for_url(f"{desk.mage.site}/oauth**")
    shot(tab, "mage-secret")
    assert "AADSTS70002" in tab.inner_text("body").replace("AADSTS7000215", "AADSTS70002")
    assert "administrator" in tab.inner_text("body")
