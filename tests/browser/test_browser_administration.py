"""The pages of administrators and one's own account in a real Chromium: how they look, sound and are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page as Tab

from browser.accessibility import by_keyboard, violations
from browser.visiting import Site, Visitor, heading, pick, running_site, sign_in, visiting
from entrada.emulator import RunningEmulator

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
Shot = Callable[[Tab, str], Path]
Visitors = Callable[..., Visitor]

HOSTILE = '<img src=x onerror=alert(1)>\u202e"' + "'" + "n" * 10_000
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:120.0) Gecko/20100101 Firefox/120.0"
SCREENS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 568}},
}


@pytest.fixture(scope="module")
def module_site(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(entra, tmp_path_factory.mktemp("site"), ENTRADA_ADMIN_ROLES="Admin") as site:
        yield site


@pytest.fixture(scope="module")
def people(browser: Browser, module_site: Site) -> dict[str, Any]:
    """Ada's browser state, and Ed's account: signed in by Firefox, with a role of hostile letters."""
    with ExitStack() as stack:
        ada = stack.enter_context(visiting(browser, module_site))
        sign_in(ada.tab(), module_site, "ada")
        ed = stack.enter_context(visiting(browser, module_site, user_agent=FIREFOX))
        sign_in(ed.tab(), module_site, "ed")
        state = ada.context.storage_state()
    accounts = module_site.auth.relying_party.accounts
    (user,) = accounts.search("ed@contoso.test")
    now = module_site.auth.relying_party.clock.now()
    accounts.grant_role(user.id, role=HOSTILE[:500], granted_by="somebody <b>", now=now)
    return {"state": state, "ed": user.id}


@pytest.fixture
def site(module_site: Site) -> Site:
    """As it is: what the tests before did stays."""
    return module_site


def addresses(ed: str) -> dict[str, str]:
    return {
        "people": "/auth/admin",
        "people-none": "/auth/admin?q=nobody&state=disabled",
        "person": f"/auth/admin/person?id={ed}",
        "disable": f"/auth/admin/person?id={ed}&sure=disable",
        "missing": "/auth/admin/person?id=x",
        "explain": f"/auth/admin/explain?id={ed}&role=Admin",
        "explain-none": "/auth/admin/explain?q=nobody",
        "mapping": "/auth/admin/mapping",
        "audit": "/auth/admin/audit",
        "health": "/auth/admin/health",
        "account": "/auth/account",
    }


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_fits_and_breaks_no_rule(
    screen: str, people: dict[str, Any], visitors: Visitors, site: Site, shot: Shot
) -> None:
    """Nothing is cut off at the side; axe finds nothing; names with markup are text; nobody else is asked."""
    visitor = visitors(storage_state=people["state"], **SCREENS[screen])
    tab = visitor.tab()
    for name, address in addresses(people["ed"]).items():
        tab.goto(site.url + address)
        shot(tab, f"administration-{name}-{screen}")
        wide, visible = tab.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= visible, f"{name} is {wide} px wide on {visible} px"
        if screen == "light" or name in (
            "people",
            "person",
        ):  # the look changes nothing else of what axe sees
            assert violations(tab) == [], name
        assert tab.locator("h1").count() == 1, name
        assert tab.locator("img").count() == 0, name


def test_a_screen_reader_hears_tables_and_results(
    people: dict[str, Any], visitors: Visitors, site: Site
) -> None:
    """Rows and columns have headers, as cards too; what was found is a status; buttons say what they end."""
    for screen in ("light", "narrow"):
        tab = visitors(storage_state=people["state"], **SCREENS[screen]).tab()
        tab.goto(f"{site.url}/auth/admin?q=ed%40")
        assert tab.get_by_role("status").inner_text() == "1 person."
        table = tab.get_by_role("table", name="Accounts, by name")
        assert [one.inner_text() for one in table.get_by_role("rowheader").all()] == [
            "Ed Codd\n\ned@contoso.test"
        ]
        assert table.get_by_role("columnheader").count() == 4
        tab.goto(f"{site.url}/auth/admin/person?id={people['ed']}")
        assert tab.get_by_role("button", name="End the session on Firefox on Windows").count() == 1
        navigation = tab.get_by_role("navigation", name="Administration")
        assert navigation.get_by_role("link", name="People").get_attribute("aria-current") == "page"


def test_the_keyboard_alone_finds_somebody(
    people: dict[str, Any], visitors: Visitors, site: Site, shot: Shot
) -> None:
    """Menu, search and result in the order of the page, each seen to be reached; Enter searches."""
    tab = visitors(storage_state=people["state"], java_script_enabled=True).tab()
    tab.goto(f"{site.url}/auth/admin")
    menu = by_keyboard(tab, most=6)
    assert menu == ["People", "Explain", "Roles mapping", "Audit", "Health", "Your account"]
    tab.keyboard.press("Tab")
    tab.keyboard.type("ed@contoso")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/auth/admin?q=ed%40contoso*")
    tab.get_by_role("link", name="Ed Codd").press("Enter")
    tab.wait_for_url("**/auth/admin/person?id=*")
    assert heading(tab) == "Ed Codd"


def test_a_role_is_given_without_javascript_and_after_signing_in_again(
    people: dict[str, Any], visitors: Visitors, site: Site, monkeypatch: pytest.MonkeyPatch, shot: Shot
) -> None:
    """A dangerous act with an old sign-in: nothing typed is lost, and the back button repeats nothing."""
    tab = visitors(storage_state=people["state"], java_script_enabled=False).tab()
    tab.goto(f"{site.url}/auth/admin/person?id={people['ed']}")
    with monkeypatch.context() as patch:
        patch.setattr("entrada.web.admin.access.RECENT", -site.auth.relying_party.recheck.recheck.every)  # type: ignore[union-attr]
        tab.get_by_label("Another role").fill("Writer of things")
        tab.get_by_role("button", name="Give this role").click()
        assert heading(tab) == "Sign in once more first"
        shot(tab, "administration-again")
    tab.get_by_role("link", name="Sign in again").click()
    pick(tab, "ada")
    tab.wait_for_url("**/auth/admin/person?*sure=grant*")
    assert heading(tab) == "Give Ed Codd a role?"
    assert "Writer of things" in tab.get_by_role("main").inner_text()
    shot(tab, "administration-question")
    tab.get_by_role("button", name="Give this role").click()
    tab.wait_for_url("**done=grant*")
    assert tab.get_by_role("status").inner_text() == "The role is given."
    accounts = site.auth.relying_party.accounts
    before = accounts.get(people["ed"])
    tab.go_back()
    tab.go_forward()
    assert accounts.get(people["ed"]) == before
