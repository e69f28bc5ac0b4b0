"""The gateway's refusals as people meet them: on every screen, by keyboard, and to assistive technology."""

from __future__ import annotations

import socket
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
from browser.visiting import Visitor, heading, sign_in, visiting
from entrada.emulator import RunningEmulator

pytestmark = pytest.mark.browser
Shot = Callable[[Tab, str], Path]

SCREENS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 568}},
    "narrow-dark": {"viewport": {"width": 320, "height": 568}, "color_scheme": "dark"},
}

FIRST = """
[[rules]]
path = "/closed"
access = "deny"

[[routes]]
path = "/down/**"
upstream = "http://127.0.0.1:{nobody}"

[[routes]]
path = "/slow/**"
upstream = "http://127.0.0.1:{silent}"
answer_within = "1s"

[[routes]]
path = "/unsafe/**"
upstream = "{https}"
server_name = "elsewhere.internal"

"""


@pytest.fixture(scope="module")
def gateway(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("refusals")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = unused.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = FIRST.format(nobody=nobody, silent=silent.getsockname()[1], https=entra.https_url)
        with running_gateway(entra, folder, behind_nginx=False, first=first) as gateway:
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


REFUSALS = {
    "/admin": (
        403,
        "You have no access here yet",
        ["Use another account", "Go to the application", "Sign out"],
    ),
    "/closed": (403, "This page is closed", ["Go to the front page"]),
    "/auth/nothing": (404, "There is no such page", ["Go to the front page"]),
    "/a%5cb": (400, "This address is refused", ["Go to the front page"]),
    "/slow/report": (504, "Not available right now", ["Try again", "Go to the front page"]),
    "/unsafe/report": (502, "The connection is not safe", ["Try again", "Go to the front page"]),
    "/down/report": (502, "Not available right now", ["Try again", "Go to the front page"]),
}


@pytest.mark.parametrize("path", REFUSALS)
def test_a_refusal_says_what_happened_and_who_can_help(
    path: str, gateway: Gateway, visitors: Callable[..., Visitor], shot: Shot
) -> None:
    """One heading, another sentence, what to do and who can, and only ways on that help."""
    status, title, ways = REFUSALS[path]
    visitor = visitors(
        **SCREENS["narrow"], expected=[r"HTTP 50[24]", r"502 \(Bad Gateway\)", r"504 \(Gateway"]
    )
    tab = visitor.tab()
    sign_in(tab, gateway, "vi")
    answer = tab.goto(gateway.url + path)
    assert answer is not None
    assert (answer.status, heading(tab)) == (status, title)
    name = f"refused-{status}{path.replace('/', '-')}"
    fits(tab, shot, "narrow", None, name)
    tab.set_viewport_size({"width": 900, "height": 700})
    shot(tab, f"{name}-wide")
    assert violations(tab) == []
    assert [one for one in by_keyboard(tab) if not one.startswith("Details")] == ways
