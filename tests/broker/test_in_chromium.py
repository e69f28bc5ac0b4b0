"""The broker in a real Chromium: two installations of different tenants, and one that asks to be let in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from broker.conftest import BehindBroker
from broker.world import open_grant
from entrada.broker.installations import Standing, installation_at
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID
from entrada.entra.authority import TenantId

Shot = Callable[[Page, str], Path]


def sign_in(page: Page, url: str, who: str) -> None:
    page.goto(f"{url}/auth/login?next=/private")
    page.get_by_role("link", name="Sign in with Microsoft Entra ID").click()
    page.get_by_role("button", name=who).click()
    accept = page.get_by_role("button", name="Accept")
    if accept.count():
        accept.click()
    expect(page).to_have_url(f"{url}/private")


def test_two_installations_with_different_tenants_at_once(
    behind_broker: BehindBroker, browser: Browser
) -> None:
    """Each person lands at the page they wanted, in a browser of their own, through one broker."""
    contoso, fabrikam = behind_broker.installation(), behind_broker.installation(tenant=FABRIKAM_ID)
    pages = [browser.new_context().new_page() for _ in range(2)]
    sign_in(pages[0], contoso.url, "ada@contoso.test")
    sign_in(pages[1], fabrikam.url, "mallory@fabrikam.test")
    for page in pages:
        page.context.close()


def test_two_tenants_in_two_tabs_of_one_browser(behind_broker: BehindBroker, page: Page) -> None:
    """Both begun before either is finished: each tab ends at its own installation, as its own person."""
    contoso, fabrikam = behind_broker.installation(), behind_broker.installation(tenant=FABRIKAM_ID)
    tabs = {
        contoso.url: (page, "ada@contoso.test"),
        fabrikam.url: (page.context.new_page(), "mallory@fabrikam.test"),
    }
    for url, (tab, _) in tabs.items():
        tab.goto(f"{url}/auth/login?next=/private")
        tab.get_by_role("link", name="Sign in with Microsoft Entra ID").click()
        tab.get_by_text("Pick an account").wait_for()
    for url, (tab, who) in reversed(tabs.items()):
        tab.get_by_role("button", name=who).click()
        tab.wait_for_load_state()
        accept = tab.get_by_role("button", name="Accept")
        if accept.count():
            accept.click()
        expect(tab).to_have_url(f"{url}/private")
        tab.goto(f"{url}/auth/me")
        assert who in tab.inner_text("body")


def test_asking_to_be_let_in_is_a_page(behind_broker: BehindBroker, page: Page, shot: Shot) -> None:
    """Who asks, for which tenant, and one button; it fits a small screen."""
    stranger = behind_broker.installation(listed=False)
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{stranger.url}/auth/entra/start")
    expect(page.get_by_role("heading", level=1)).to_have_text("This application is not known here")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    shot(page, "broker-ask-320")
    page.get_by_role("button", name="Ask to be let in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Asked")

    admin = page.context.browser.new_context(color_scheme="dark").new_page()
    admin.goto(f"{behind_broker.url}/auth/login")
    admin.get_by_role("link", name="Sign in with Microsoft Entra ID").click()
    admin.get_by_role("button", name="ada@contoso.test").click()
    admin.goto(f"{behind_broker.url}/auth/broker/installations")
    shot(admin, "broker-installations-dark")
    admin.get_by_role("button", name=f"Let in {stranger.url}").click()
    expect(admin.get_by_text("Nobody asks. These may sign in people of your tenant.")).to_be_visible()
    admin.context.close()


SCREENS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 568}},
}


def administrator(world: BehindBroker, browser: Browser, **context: Any) -> Page:
    """Ada's browser, on her way to the page, at the end of it."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(15_000)
    page.goto(f"{world.url}/auth/broker/installations")
    page.get_by_role("link", name="Sign in with Microsoft Entra ID").click()
    page.get_by_role("button", name="ada@contoso.test").click()
    expect(page).to_have_url(f"{world.url}/auth/broker/installations")
    return page


@pytest.mark.parametrize("screen", SCREENS)
def test_the_administrators_page_on_every_screen(
    screen: str, behind_broker: BehindBroker, browser: Browser, shot: Shot
) -> None:
    """Those who ask come first; nothing is cut off, and everything to press is large enough for a finger."""
    provider = behind_broker.broker.broker.provider
    for url, standing in (
        ("https://mage.data-platform.example.test", Standing.APPROVED),
        ("https://new.example.test:8443", Standing.WAITING),
    ):
        provider.store.save_installation(
            installation_at(
                url,
                tenant_id=TenantId(CONTOSO_ID),
                standing=standing,
                asked_from="2001:db8:85a3::8a2e:370:7334",
            )
        )
    open_grant(provider, client_id="https://mage.data-platform.example.test")
    page = administrator(behind_broker, browser, **SCREENS[screen])
    for name, press in (
        ("list", None),
        ("about", "Look at https://mage.data-platform.example.test"),
    ):
        if press is not None:
            page.get_by_role("link", name=press).click()
        shot(page, f"broker-installations-{name}-{screen}")
        wide, visible, small = page.evaluate(
            """() => [document.documentElement.scrollWidth, innerWidth,
              [...document.querySelectorAll("main a, main button, main input:not([type=hidden])")]
                .filter((one) => { const box = one.getBoundingClientRect();
                  return box.height < 24 || box.width < 24; })
                .map((one) => one.outerHTML)]"""
        )
        assert wide <= visible
        assert small == []
    page.get_by_role("button", name="Demand a client secret").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Its client secret")
    shot(page, f"broker-installations-secret-{screen}")
    page.context.close()


def test_the_administrators_page_by_keyboard_and_for_a_screen_reader(
    behind_broker: BehindBroker, browser: Browser
) -> None:
    """Each installation is a region with its name; a form has its label; Tab and Enter alone let one in."""
    page = administrator(behind_broker, browser)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "new-entry-1-public_url":
            break
    page.keyboard.type("https://typed.example.test")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="https://typed.example.test")).to_be_visible()
    expect(page.get_by_role("textbox", name="Its public URL")).to_be_visible()
    expect(page.get_by_role("combobox", name="Its proof")).to_be_visible()
    assert page.title().startswith("Installations · ")
    outline = page.locator("main").aria_snapshot()
    headings = [line.strip(" -") for line in outline.splitlines() if "heading" in line]
    assert headings == [
        'heading "Installations" [level=1]',
        'heading "https://typed.example.test" [level=2]',
        'heading "Let another one in" [level=2]',
    ]
    page.context.close()
