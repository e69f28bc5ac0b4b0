"""The broker in a real Chromium: two installations of different tenants, and one that asks to be let in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from broker.conftest import BehindBroker
from entrada.emulator.seed import FABRIKAM_ID

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
    expect(admin.get_by_text("Nobody asks.")).to_be_visible()
    admin.context.close()
