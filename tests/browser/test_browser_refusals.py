"""The gateway's refusals as people meet them: on every screen, by keyboard, and to assistive technology."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from browser.accessibility import by_keyboard, violations
from browser.gateways import Gateway, running_gateway
from browser.test_browser_looks import fits
from browser.visiting import Visitor, sign_in, visiting
from entrada.emulator import RunningEmulator

pytestmark = pytest.mark.browser
Shot = Callable[[Tab, str], Path]

SCREENS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 568}},
    "narrow-dark": {"viewport": {"width": 320, "height": 568}, "color_scheme": "dark"},
}


@pytest.fixture(scope="module")
def gateway(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(entra, tmp_path_factory.mktemp("refusals"), behind_nginx=False) as gateway:
        yield gateway


@pytest.fixture
def visitors(browser: Browser, gateway: Gateway) -> Iterator[Callable[..., Visitor]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(visiting(browser, gateway, **options))


def without_a_session(tab: Tab, gateway: Gateway) -> None:
    """Sends a form after the sign-in of this browser is gone."""
    sign_in(tab, gateway, "ada")
    tab.goto(f"{gateway.url}/notes/new")
    tab.get_by_label("Text").fill("Much work")
    tab.context.clear_cookies()
    tab.get_by_role("button", name="Save").click()
    tab.get_by_role("heading", name="Your form was not sent").wait_for()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_form_that_was_not_sent(
    screen: str, gateway: Gateway, visitors: Callable[..., Visitor], shot: Shot
) -> None:
    """On every screen the page fits, breaks no rule of axe-core's, and the Tab key reaches the one way on."""
    tab = visitors(**SCREENS[screen]).tab()
    without_a_session(tab, gateway)
    fits(tab, shot, screen, None, "form-not-sent")
    assert violations(tab) == []
    assert by_keyboard(tab) == ["Sign in, in a new tab"]


def test_the_end_of_a_sign_in_beside(gateway: Gateway, visitors: Callable[..., Visitor], shot: Shot) -> None:
    """The page says whose sign-in it was; by keyboard the application is one press away."""
    tab = visitors(**SCREENS["dark"]).tab()
    sign_in(tab, gateway, "ada")
    fits(tab, shot, "dark", f"{gateway.url}/auth/signed-in", "signed-in-here")
    assert "As Ada Lovelace." in tab.locator("main").inner_text()
    assert violations(tab) == []
    assert by_keyboard(tab) == ["Go to the application instead"]
