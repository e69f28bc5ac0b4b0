"""The real Streamlit and Gradio behind `entrada run`, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.visiting import pick, press_the_button, sign_in
from integrations.applications.products import OUT_SECONDS, Place

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.browser, pytest.mark.heavy]


@pytest.fixture(params=["gradio", "streamlit"])
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Callable[[], Tab]]:
    """`tabs()` is a tab in another person's browser."""
    with ExitStack() as stack:

        def new() -> Tab:
            context = browser.new_context()
            stack.callback(context.close)
            context.set_default_timeout(30_000)
            return context.new_page()

        yield new


def shown(tab: Tab, product: str, text: str) -> None:
    """Waits until the application shows that."""
    if product == "gradio":
        tab.wait_for_function(
            "text => [...document.querySelectorAll('input, textarea')].some(e => e.value.includes(text))",
            arg=text,
        )
    else:
        tab.get_by_text(text).first.wait_for()


def count(tab: Tab, product: str, number: int) -> None:
    """Presses the button, and waits for what the application makes of it."""
    tab.get_by_role("button", name="Count").click()
    if product == "gradio":
        tab.wait_for_function(
            "number => [...document.querySelectorAll('input')].some(e => e.value === number)", arg=str(number)
        )
    else:
        tab.get_by_text(f"Counted: {number}").wait_for()


def works_no_more(tab: Tab, product: str) -> None:
    """What is open goes no further, and a new visit ends at the sign-in page."""
    address = tab.url
    if product == "streamlit":  # it tells a lost connection, and cannot get it back
        tab.get_by_text("CONNECTING").or_(tab.get_by_text("Connection error")).first.wait_for()
    tab.goto(address)
    tab.wait_for_url("**/auth/login*")


def test_the_application_knows_who_is_there(place: Place, product: str, tabs: Callable[[], Tab]) -> None:
    """Name, address and roles of who signed in; its socket or its queue works; two people are two."""
    ada, vi = tabs(), tabs()
    sign_in(ada, place, "ada")
    sign_in(vi, place, "vi")
    shown(ada, product, "Ada Lovelace")
    shown(vi, product, "Vi Hart")
    if product == "streamlit":
        shown(ada, product, "ada@contoso.test")
        shown(ada, product, "You may change everything.")
        assert vi.get_by_text("You may change everything.").count() == 0
    else:
        shown(ada, product, "Admin")
        shown(vi, product, "Viewer")
    count(ada, product, 1)
    count(ada, product, 2)
    count(vi, product, 1)


def test_a_deep_link_survives(place: Place, product: str, tabs: Callable[[], Tab]) -> None:
    """The query is there again after the way to Entra."""
    tab = tabs()
    tab.goto(f"{place.url}/?year=2026")
    press_the_button(tab)
    pick(tab, "ada")
    tab.wait_for_url(f"{place.url}/?year=2026*")
    shown(tab, product, "Ada Lovelace")


def test_signing_out_ends_what_is_open(place: Place, product: str, tabs: Callable[[], Tab]) -> None:
    """The socket closes with the session, in another tab, and the application is not reached any more."""
    tab = tabs()
    closed: list[float] = []
    tab.on("websocket", lambda socket: socket.on("close", lambda _: closed.append(time.monotonic())))
    sign_in(tab, place, "ed")
    shown(tab, product, "Ed Codd")
    count(tab, product, 1)
    other = tab.context.new_page()
    other.goto(f"{place.url}/auth/logout")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url(f"{place.url}/auth/signed-out*")
    signed_out = time.monotonic()
    works_no_more(tab, product)
    if product == "streamlit":
        assert closed
        assert closed[0] - signed_out < 2


def test_a_disabled_person_is_out(place: Place, product: str, tabs: Callable[[], Tab]) -> None:
    """Disabled in Entra: at the next look what is open closes, and the application is not reached."""
    tab = tabs()
    sign_in(tab, place, "ed")
    shown(tab, product, "Ed Codd")
    place.entra.change_person("ed@contoso.test", enabled=False)
    deadline = time.monotonic() + OUT_SECONDS
    while tab.request.get(f"{place.url}/auth/me").status != 401:
        assert time.monotonic() < deadline
        tab.wait_for_timeout(100)
    works_no_more(tab, product)


def test_somebody_else_in_the_same_tab_is_somebody_else(
    place: Place, product: str, tabs: Callable[[], Tab]
) -> None:
    """Ada's page is left open and comes back by itself when Vi has signed in: what it does is Vi's."""
    tab = tabs()
    sign_in(tab, place, "ada")
    shown(tab, product, "Ada Lovelace")
    other = tab.context.new_page()
    other.goto(f"{place.url}/auth/logout")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url(f"{place.url}/auth/signed-out*")
    sign_in(other, place, "vi")
    shown(other, product, "Vi Hart")
    if product == "streamlit":
        # Enabled when it is connected again; the longer it was not, the more seldom Streamlit's page tries.
        tab.get_by_role("button", name="Count").click(timeout=100_000)
        tab.get_by_text("Signed in: Vi Hart").wait_for()
        expect(tab.get_by_text("You may change everything.")).to_have_count(0, timeout=30_000)
    else:
        tab.reload()
        shown(tab, product, "Vi Hart")
