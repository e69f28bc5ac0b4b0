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
from walks.site import wait_until

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


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "figures.csv"
    path.write_text("a;b\n1;2\n", encoding="utf-8")
    return path


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


def on_a_form(tab: Tab, gateway: Gateway, text: str, file: Path) -> None:
    """Signed in, and a form filled in."""
    sign_in(tab, gateway, "ada")
    tab.goto(f"{gateway.url}/notes/new")
    tab.get_by_label("Text").fill(text)
    tab.get_by_label("File").set_input_files(file)


def end_by_command(gateway: Gateway, tab: Tab) -> None:
    """What an administrator does; returns once the server knows."""
    gateway.command("sessions", "end", "--all")
    wait_until(lambda: tab.request.get(f"{gateway.url}/auth/me").status == 401, seconds=2)


TEXT = "Half an hour's work,\nwith ümlauts & <signs>"


def test_a_form_after_the_session_ended_is_not_lost(
    gateway: Gateway, visitors: Callable[..., Visitor], small_file: Path, shot: Callable[[Tab, str], Path]
) -> None:
    """The page says that it was not sent; after signing in beside it a reload sends it, file included."""
    tab = visitors().tab()
    on_a_form(tab, gateway, TEXT, small_file)
    end_by_command(gateway, tab)
    tab.get_by_role("button", name="Save").click()
    tab.get_by_role("heading", name="Your form was not sent").wait_for()
    shot(tab, "form-not-sent")
    assert gateway.app.notes == []
    with tab.expect_popup() as opened:
        tab.get_by_role("link", name="new tab").click()
    beside = opened.value
    press_the_button(beside)  # and Entra still knows her
    beside.wait_for_url(f"{gateway.url}/auth/signed-in")
    shot(beside, "signed-in-here")
    assert "Close this tab" in beside.locator("main").inner_text()
    beside.close()
    tab.reload()
    assert heading(tab) == "Saved"
    digest = hashlib.sha256(small_file.read_bytes()).hexdigest()
    sent = TEXT.replace("\n", "\r\n")
    assert gateway.app.notes == [{"text": sent, "size": len(small_file.read_bytes()), "sha256": digest}]


def test_going_back_from_that_page_shows_what_was_typed(
    gateway: Gateway, visitors: Callable[..., Visitor], small_file: Path
) -> None:
    """The browser's own way back has the fields as they were."""
    tab = visitors().tab()
    on_a_form(tab, gateway, TEXT, small_file)
    end_by_command(gateway, tab)
    tab.get_by_role("button", name="Save").click()
    tab.get_by_role("heading", name="Your form was not sent").wait_for()
    tab.go_back()
    assert heading(tab) == "A new note"
    assert tab.get_by_label("Text").input_value() == TEXT


@pytest.mark.heavy
def test_a_large_form_after_the_session_ended_gets_the_page_too(
    gateway: Gateway, visitors: Callable[..., Visitor], big_file: Path
) -> None:
    """200 MB that nobody takes do not end in a broken connection: the person reads what happened."""
    tab = visitors().tab()
    on_a_form(tab, gateway, TEXT, big_file)
    end_by_command(gateway, tab)
    before = gateway.resident_kb()
    tab.get_by_role("button", name="Save").click()
    tab.get_by_role("heading", name="Your form was not sent").wait_for()
    assert gateway.resident_kb() - before < MOST_GROWTH_KB
    assert gateway.app.notes == []
