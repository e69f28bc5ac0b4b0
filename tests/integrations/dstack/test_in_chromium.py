"""People at dstack's own pages in Chromium when something is in the way: each hears what, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from clients.dstack import Dstack
from entrada.emulator import RunningEmulator
from integrations.dstack.administrator import Administrator
from integrations.dstack.conftest import NewPerson, NewVisitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

Shot = Callable[["Page", str], Path]


def press_the_button(tab: Page, dstack: Dstack) -> None:
    """From dstack's login page to Entra's account picker."""
    tab.goto(dstack.address)
    tab.get_by_role("button", name="Entra").click()
    tab.get_by_role("button", name="@contoso.test").first.wait_for()


def sign_in_as(tab: Page, dstack: Dstack, person: Any, **switches: str) -> None:
    """The whole way, without pages of Entra's; ends wherever it ends."""
    press_the_button(tab, dstack)
    name = getattr(person, "user_principal_name", person)
    tab.goto(f"{tab.url}&{urlencode({'_emulator_as': name, '_emulator_approve': '1', **switches})}")


def token_in(tab: Page) -> str | None:
    kept = tab.evaluate("localStorage.getItem('authData')")
    return json.loads(kept)["token"] if kept else None


@pytest.mark.parametrize(
    ("who", "words"), [("carla@contoso.test", "AADSTS53003"), ("dan@contoso.test", "AADSTS50057")]
)
def test_blocked_and_disabled(
    who: str, words: str, dstack: Dstack, tab: Page, emulator: RunningEmulator, shot: Shot
) -> None:
    """Whom Entra refuses and sends back with the reason reads it, and can try again."""
    sign_in_as(tab, dstack, who, _emulator_errors="redirect")
    tab.get_by_text(words).first.wait_for()
    shot(tab, f"dstack-refused-{who.partition('@')[0]}")
    assert token_in(tab) is None
    tab.get_by_role("link", name="Try again").click()
    tab.get_by_role("button", name="@contoso.test").first.wait_for()


def test_declined(dstack: Dstack, tab: Page, shot: Shot) -> None:
    """Who cancels at Entra is told so, and can try again."""
    press_the_button(tab, dstack)
    tab.goto(f"{tab.url}&_emulator_decline=1")
    tab.get_by_role("link", name="Try again").wait_for()
    shot(tab, "dstack-declined")
    assert token_in(tab) is None


def test_entra_is_down_at_the_end(
    dstack: Dstack, tab: Page, emulator: RunningEmulator, new_person: NewPerson, shot: Shot
) -> None:
    """When Entra stops answering between the two steps the page says whose fault it is."""
    emulator.fail("server_error", endpoint="token", times=None)
    sign_in_as(tab, dstack, new_person("Viewer"))
    tab.get_by_role("link", name="Try again").wait_for()
    assert "Entra" in tab.inner_text("body")
    shot(tab, "dstack-entra-down")
    emulator.clear_faults()


def test_deactivated_in_dstack(
    dstack: Dstack, tab: Page, new_visitor: NewVisitor, new_person: NewPerson, shot: Shot
) -> None:
    """Whom dstack's administrator deactivated reads that, not that something failed."""
    pat = new_person("Viewer")
    told = new_visitor(dstack).sign_in_as(pat)
    Administrator(dstack).change_user(told, active=False)
    sign_in_as(tab, dstack, pat)
    tab.get_by_text("disabled").first.wait_for()
    shot(tab, "dstack-deactivated")
    assert token_in(tab) is None


def test_a_guest(dstack: Dstack, tab: Page, shot: Shot) -> None:
    """A guest reads that guests are not let in."""
    sign_in_as(tab, dstack, "gus_fabrikam.test#EXT#@contoso.test")
    tab.get_by_text("guests are not let in here").first.wait_for()
    shot(tab, "dstack-guest")


def test_two_tabs(dstack: Dstack, tab: Page, new_person: NewPerson) -> None:
    """Two sign-ins begun in one browser both finish; the later tab does not kill the first."""
    pat = new_person("Viewer")
    other = tab.context.new_page()
    press_the_button(tab, dstack)
    press_the_button(other, dstack)
    switches = urlencode({"_emulator_as": pat.user_principal_name, "_emulator_approve": "1"})
    for page in (tab, other):
        page.goto(f"{page.url}&{switches}")
        page.get_by_role("link", name="Runs").first.wait_for()
        assert page.url.startswith(dstack.address)
