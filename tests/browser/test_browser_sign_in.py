"""Signing in, as people do it: by mouse, by keyboard, in several tabs, again and as somebody else."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page as Tab

from browser.visiting import (
    BUTTON,
    PLAIN_PAGE,
    Site,
    Visitor,
    fact,
    heading,
    is_asked_who,
    pick,
    press_the_button,
    sign_in,
)

pytestmark = pytest.mark.browser


def test_the_whole_walk_by_mouse(site: Site, visitor: Visitor) -> None:
    """In, the page that only editors open, out, and in again as the same account."""
    tab = visitor.tab()
    tab.goto(site.url)
    assert tab.url == f"{site.url}/auth/login"
    press_the_button(tab)
    assert tab.url.startswith(f"{site.entra.http_url}/")
    assert is_asked_who(tab)
    pick(tab, "ada")
    tab.wait_for_url(f"{site.url}/")
    assert heading(tab) == "Hello, Ada Lovelace"
    assert (fact(tab, "E-mail"), fact(tab, "Roles")) == ("ada@contoso.test", "Admin")
    account = fact(tab, "Account")

    tab.get_by_role("link", name="Open the editors' page").click()
    tab.wait_for_url(f"{site.url}/editors")
    assert heading(tab) == "The editors' page"

    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url(f"{site.url}/auth/signed-out*")
    assert visitor.session_cookie() is None
    tab.wait_for_timeout(500)  # nothing moves by itself from here
    assert tab.url.startswith(f"{site.url}/auth/signed-out")
    tab.goto(site.url)
    assert tab.url == f"{site.url}/auth/login"

    press_the_button(tab)
    pick(tab, "ada")
    tab.wait_for_url(f"{site.url}/")
    assert fact(tab, "Account") == account


def test_the_whole_walk_by_keyboard(site: Site, visitor: Visitor) -> None:
    """Tab and Enter reach everything; what has the focus can be seen."""
    tab = visitor.tab()
    tab.goto(site.url)
    tab_to(tab, BUTTON)
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{site.entra.http_url}/**")
    tab_to(tab, "ada@contoso.test")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{site.url}/")
    tab_to(tab, "Open the editors' page")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{site.url}/editors")
    tab_to(tab, "Sign out")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{site.url}/auth/signed-out*")
    tab_to(tab, "Sign in again")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{site.url}/auth/login")


def tab_to(tab: Tab, text: str) -> None:
    """Presses Tab until what has the focus says `text`, and is drawn with an outline."""
    seen = []
    for _ in range(30):
        tab.keyboard.press("Tab")
        focused, outline_px = tab.evaluate(
            """() => [document.activeElement.innerText || "",
                      parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"""
        )
        seen.append(focused)
        if text in focused:
            assert outline_px >= 2
            return
    pytest.fail(f"Tab never reached {text!r}, but {seen}")


@pytest.mark.parametrize(("person", "opens"), [("ed", True), ("vi", False), ("nora", False)])
def test_the_editors_page_opens_for_editors(person: str, opens: bool, site: Site, visitor: Visitor) -> None:
    """Ed may; Vi and Nora are told why not, what to do and who can do it, and stay signed in."""
    tab = visitor.tab()
    sign_in(tab, site, person)
    answer = tab.goto(f"{site.url}/editors")
    assert answer is not None
    if opens:
        assert (answer.status, heading(tab)) == (200, "The editors' page")
        return
    assert (answer.status, heading(tab)) == (403, "You have no access here yet")
    shown = tab.get_by_role("main").inner_text()
    assert "Editor or Admin" in shown
    assert "Ask your administrator" in shown
    tab.goto(site.url)
    assert heading(tab).startswith("Hello, ")


def test_a_second_factor_is_between_the_person_and_entra(site: Site, visitor: Visitor) -> None:
    """Mia gives her code at Entra, is wrong once, and lands where she was going."""
    tab = visitor.tab()
    tab.goto(f"{site.url}/?for=mia")
    press_the_button(tab)
    pick(tab, "mia")
    for code in ("000000", "123456"):
        tab.get_by_label("Code").fill(code)
        tab.get_by_role("button", name="Verify").click()
    tab.wait_for_url(f"{site.url}/?for=mia")
    assert heading(tab) == "Hello, Mia Multifactor"


def test_a24_five_tabs_land_each_on_its_own_page(site: Site, visitor: Visitor) -> None:
    """A24: five tabs begin at once and finish in another order; each lands on its own page."""
    tabs = [visitor.tab() for _ in range(5)]
    targets = [f"{site.url}/{'editors' if n % 2 else ''}?tab={n}&q=%C3%A4+b" for n in range(5)]
    for tab, target in zip(tabs, targets, strict=True):
        tab.goto(target)
    for tab in tabs:
        press_the_button(tab)
    for tab in tabs:
        assert is_asked_who(tab)
    for n in (2, 0, 4, 1, 3):
        pick(tabs[n], "ada")
        tabs[n].wait_for_url(targets[n])
    for tab, target in zip(tabs, targets, strict=True):
        tab.reload()
        assert tab.url == target
        assert "Ada Lovelace" in tab.get_by_role("main").inner_text()
    assert [
        cookie.get("name") for cookie in visitor.context.cookies(site.url) if "pending" in str(cookie)
    ] == []


def test_a24_what_a_page_fetches_is_never_where_people_land(site: Site, visitor: Visitor) -> None:
    """A24, A25: an icon, an image and a fetch get 401, begin nothing, and the tab lands on its own page."""
    tab = visitor.tab()
    tab.goto(f"{site.url}/editors?mine")
    other = visitor.tab()
    other.goto(f"{site.url}{PLAIN_PAGE}")
    visitor.expected += [r"status of 401 .*/(\?icon|editors)", r"status of 404 .*favicon"]
    statuses = other.evaluate(
        """async () => {
          for (const [rel, address] of [["icon", "/?icon"], ["preload", "/editors?image"]]) {
            const image = new Image();
            const over = new Promise((done) => { image.onload = image.onerror = done; });
            image.src = address;
            await over;
          }
          const answers = [];
          for (const [method, address] of [["GET", "/editors?fetch"], ["HEAD", "/editors?head"]])
            answers.push((await fetch(address, {method})).status);
          return answers;
        }"""
    )
    assert statuses == [401, 401]
    assert not any("pending" in str(cookie.get("name")) for cookie in visitor.context.cookies(site.url))
    press_the_button(tab)
    pick(tab, "ed")
    tab.wait_for_url(f"{site.url}/editors?mine")


def test_a34_a_second_person_replaces_the_first_wholly(site: Site, visitor: Visitor) -> None:
    """A34: somebody else signs in in the same browser; the other tab shows them, and nothing of the first."""
    first, second = visitor.tab(), visitor.tab()
    sign_in(first, site, "ada")
    before = visitor.session_cookie()
    second.goto(f"{site.url}/auth/entra/start?prompt=select_account")
    pick(second, "vi")
    second.wait_for_url(f"{site.url}/")
    assert visitor.session_cookie() not in (None, before)
    first.reload()
    assert heading(first) == "Hello, Vi Hart"
    assert "Ada" not in first.content()
    assert fact(first, "Roles") == "Viewer"


def test_two_people_in_two_browsers_are_two_accounts(site: Site, visitors: Callable[..., Visitor]) -> None:
    """One browser's session is nothing in another."""
    accounts = set()
    for person in ("ada", "ed"):
        tab = visitors().tab()
        sign_in(tab, site, person)
        accounts.add(fact(tab, "Account"))
    assert len(accounts) == 2
    assert not any(re.search("test|ada|ed@", account) for account in accounts)
