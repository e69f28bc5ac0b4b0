"""An application to protect, in a real browser: behind nginx as documented, and `entrada serve` alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from browser.gateways import Gateway, running_gateway
from browser.visiting import Visitor, heading, pick, press_the_button, sign_in, visiting
from entrada.emulator import RunningEmulator

pytestmark = pytest.mark.browser

UPLOAD_BYTES = 200 * 1024 * 1024
MOST_GROWTH_KB = 30_000


@pytest.fixture(scope="module", params=["nginx", "alone"])
def running(
    request: pytest.FixtureRequest, entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp(request.param)
    with running_gateway(entra, folder, behind_nginx=request.param == "nginx") as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    running.entra.reset()
    running.app.notes.clear()
    return running


@pytest.fixture
def visitors(browser: Browser, gateway: Gateway) -> Iterator[Callable[..., Visitor]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(visiting(browser, gateway, **options))


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """200 MB in which no two megabytes are alike."""
    path = tmp_path_factory.mktemp("upload") / "measurements.bin"
    with path.open("wb") as file:
        for number in range(UPLOAD_BYTES >> 20):
            file.write(hashlib.sha256(b"%d" % number).digest() * (1 << 15))
    yield path
    path.unlink()


def test_a_deep_link_survives_the_sign_in(gateway: Gateway, visitors: Callable[..., Visitor]) -> None:
    """Query and fragment are there again after the way to Entra and back, and the application knows who."""
    tab = visitors().tab()
    tab.goto(f"{gateway.url}/reports?year=2026&q=a%20b%2Fc#chart/7")
    press_the_button(tab)
    pick(tab, "ada")
    tab.wait_for_url(f"{gateway.url}/reports?year=2026&q=a%20b%2Fc#chart/7")
    assert heading(tab) == "Reports"
    assert tab.locator("p").inner_text() == "ada@contoso.test: year=2026&q=a%20b%2Fc"


def live(tab: Tab, gateway: Gateway) -> None:
    """On the page with a socket and an event stream, both of which have said something."""
    tab.goto(f"{gateway.url}/live")
    tab.wait_for_function("() => document.getElementById('socket').value === 'hello to you'")
    tab.wait_for_function("() => document.getElementById('events').value === 'second'")


def closes_within_a_second(tab: Tab, end: Callable[[], object]) -> None:
    """What was open is closed within a second after `end` has returned."""
    assert tab.evaluate("() => [window.socketClosed, window.eventsEnded]") == [None, None]
    end()
    started = time.monotonic()
    tab.wait_for_function("() => window.socketClosed && window.eventsEnded", timeout=5_000)
    assert time.monotonic() - started < 1


def test_signing_out_closes_what_is_open_in_another_tab(
    gateway: Gateway, visitors: Callable[..., Visitor]
) -> None:
    """A WebSocket and an event stream end within a second, and do not come back."""
    visitor = visitors(expected=["401 \\(Unauthorized\\)", "ERR_INCOMPLETE_CHUNKED_ENCODING"])
    tab, other = visitor.tab(), visitor.tab()
    sign_in(tab, gateway, "ada")
    live(tab, gateway)
    other.goto(f"{gateway.url}/auth/logout")

    def sign_out() -> None:
        other.get_by_role("button", name="Sign out").click()
        other.wait_for_url(f"{gateway.url}/auth/signed-out*")

    closes_within_a_second(tab, sign_out)


@pytest.mark.heavy
def test_a_large_upload_survives(gateway: Gateway, visitors: Callable[..., Visitor], big_file: Path) -> None:
    """200 MB through a form arrive byte for byte, and Entrada's memory stays flat."""
    tab = visitors().tab()
    sign_in(tab, gateway, "ada")
    tab.goto(f"{gateway.url}/notes/new")
    tab.get_by_label("Text").fill("Measurements of today")
    tab.get_by_label("File").set_input_files(big_file)
    before = gateway.resident_kb()
    tab.get_by_role("button", name="Save").click()
    most = before
    deadline = time.monotonic() + 120
    while not gateway.app.notes:
        most = max(most, gateway.resident_kb())
        assert time.monotonic() < deadline
        tab.wait_for_timeout(50)
    assert heading(tab) == "Saved"
    with big_file.open("rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert gateway.app.notes == [{"text": "Measurements of today", "size": UPLOAD_BYTES, "sha256": digest}]
    assert most - before < MOST_GROWTH_KB
