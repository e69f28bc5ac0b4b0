"""The emulator's pages in a real browser: keyboard, scripts, policy, sign-out frames."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Application:
    """A relying party that only remembers what reaches it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://localhost:{port}"
        self.seen: list[str] = []


@pytest.fixture
def application() -> Iterator[Application]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            remembered.seen.append(f"GET {self.path}")
            self._answer()

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            remembered.seen.append(f"POST {self.path} {self.rfile.read(length).decode()}")
            self._answer()

        def _answer(self) -> None:
            body = b"<title>app</title><p>the application</p>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    remembered = Application(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield remembered
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser's console says against the emulator's pages, such as a policy that was violated."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def _url(emulator: RunningEmulator, application: Application, **more: str) -> str:
    query = {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "redirect_uri": f"{application.url}/auth/entra/callback",
        "scope": "openid profile",
        "state": "s",
        **more,
    }
    return f"{emulator.http_url}/contoso.test/oauth2/v2.0/authorize?{urlencode(query)}"


def _quiet(complaints: list[str]) -> bool:
    return not [text for text in complaints if "favicon" not in text]


def test_sign_in_by_keyboard_and_out_again(
    emulator: RunningEmulator, application: Application, page: Page, complaints: list[str]
) -> None:
    """Tab and Enter pick an account; signing out frames the application with sid and comes back by itself."""
    page.goto(_url(emulator, application))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{application.url}/auth/entra/callback?code=*")
    back = f"{application.url}/auth/signed-out"
    page.goto(
        f"{emulator.http_url}/contoso.test/oauth2/v2.0/logout?{urlencode({'post_logout_redirect_uri': back})}"
    )
    page.wait_for_url(back)
    assert [seen for seen in application.seen if seen.startswith("GET /auth/entra/logout?sid=")]
    assert _quiet(complaints)


def test_a_second_factor_and_a_posted_answer(
    emulator: RunningEmulator, application: Application, page: Page, complaints: list[str]
) -> None:
    """Mia types a code; form_post posts itself under the strict policy."""
    page.goto(_url(emulator, application, response_mode="form_post"))
    page.get_by_text("Mia Multifactor").click()
    page.get_by_label("Code").fill("123456")
    page.get_by_role("button", name="Verify").click()
    page.wait_for_url(f"{application.url}/auth/entra/callback")
    assert any(seen.startswith("POST /auth/entra/callback code=") for seen in application.seen)
    assert _quiet(complaints)


def test_the_control_page_works(emulator: RunningEmulator, page: Page, complaints: list[str]) -> None:
    """Disable somebody and switch a fault on, by button."""
    page.goto(f"{emulator.http_url}/_emulator/")
    with page.expect_navigation():
        page.locator("tr", has_text="Ed Codd").get_by_role("button", name="Disable").click()
    assert emulator.person("ed@contoso.test").enabled is False
    page.get_by_label("Fault", exact=True).select_option("server_error")
    page.get_by_label("Endpoint").select_option("keys")
    with page.expect_navigation():
        page.get_by_role("button", name="Switch on").click()
    assert [fault.name for fault in emulator.faults] == ["server_error"]
    assert _quiet(complaints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_it_looks_like(
    emulator: RunningEmulator,
    application: Application,
    browser: Browser,
    shot: Callable[[Page, str], Path],
    scheme: str,
) -> None:
    """Pictures of each page, light and dark; nothing is wider than a phone."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})  # type: ignore[arg-type]  # one of playwright's words
    page = context.new_page()
    carla = _url(emulator, application, login_hint="carla@contoso.test", _emulator_approve="1")
    for name, url in {
        "picker": _url(emulator, application),
        "error": carla,
        "device": f"{emulator.http_url}/devicelogin",
        "signed-out": f"{emulator.http_url}/contoso.test/oauth2/v2.0/logout",
        "control": f"{emulator.http_url}/_emulator/",
    }.items():
        page.goto(url)
        shot(page, f"emulator-{name}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    context.close()


def test_k37_enter_does_what_the_field_is_for(
    emulator: RunningEmulator,
    application: Application,
    page: Page,
    complaints: list[str],
    shot: Callable[[Page, str], Path],
) -> None:
    """Enter signs in the account that was typed, verifies the code, accepts; Cancel still cancels."""
    page.goto(_url(emulator, application))
    page.get_by_label("Another account").fill("mia@contoso.test")
    page.keyboard.press("Enter")
    page.get_by_label("Code").fill("123456")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{application.url}/auth/entra/callback?code=*")
    page.goto(_url(emulator, application, prompt="login"))
    page.get_by_label("Another account").fill("ed@contoso.test")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{application.url}/auth/entra/callback?code=*")
    ada = {"prompt": "consent", "scope": "openid Mail.Read"}
    page.goto(_url(emulator, application, **ada, login_hint="ada@contoso.test"))
    page.get_by_text("Ada Lovelace").click()
    page.get_by_label("Consent on behalf").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{application.url}/auth/entra/callback?code=*")
    for reached in (None, "Mia Multifactor"):
        page.goto(_url(emulator, application, prompt="login"))
        if reached:
            page.get_by_text(reached).click()
            shot(page, "emulator-second-factor")
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_url(f"{application.url}/auth/entra/callback?*error=access_denied*")
    assert _quiet(complaints)


def test_k59_the_log_stands_last_in_a_frame_and_the_picker_says_roles(
    emulator: RunningEmulator, application: Application, page: Page, shot: Callable[[Page, str], Path]
) -> None:
    """250 requests make the page no longer than 50; who has which role is on each account."""
    page.set_viewport_size({"width": 320, "height": 700})

    def height_after(requests: int) -> int:
        for n in range(requests):
            emulator_page(f"{emulator.http_url}/contoso.test/discovery/v2.0/keys?{'x' * 900}={n}")
        page.goto(f"{emulator.http_url}/_emulator/")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        height: int = page.evaluate("document.documentElement.scrollHeight")
        return height

    emulator_page = page.request.get
    assert height_after(50) == height_after(250)
    assert page.locator("h2").last.inner_text() == "Requests received"
    shot(page, "emulator-control-320")
    page.goto(_url(emulator, application))
    tile = page.get_by_role("button", name="Ed Codd")
    assert "Editor" in tile.inner_text()
    assert "Admin" in page.get_by_role("button", name="Ada Lovelace").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    shot(page, "emulator-picker-320")


_ASK = """async ([url, question]) => {
  const frame = document.createElement('iframe');
  frame.src = url;
  const loaded = new Promise((done) => frame.addEventListener('load', done));
  document.body.append(frame);
  await loaded;
  const heard = new Promise((done) => addEventListener('message', (event) => done(event.data), {once: true}));
  frame.contentWindow.postMessage(question, new URL(url).origin);
  return heard;
}"""


def test_the_session_frame_says_whether_the_session_lasts(
    emulator: RunningEmulator, application: Application, page: Page, complaints: list[str]
) -> None:
    """`unchanged` while signed in, `changed` after a revocation, `error` for a client that is not known."""
    tenant = f"{emulator.http_url}/contoso.test"
    page.goto(_url(emulator, application, login_hint="ada@contoso.test", _emulator_approve="1"))
    state = parse_qs(urlsplit(page.url).query)["session_state"][0]

    def asked(question: str) -> object:
        return page.evaluate(_ASK, [f"{tenant}/oauth2/checksession", question])

    assert asked(f"{CLIENT_ID} {state}") == "unchanged"
    assert asked(f"{CLIENT_ID} another") == "changed"
    assert asked(f"nobody {state}") == "error"
    assert asked("nonsense") == "error"
    emulator.revoke_sessions("ada@contoso.test")
    assert asked(f"{CLIENT_ID} {state}") == "changed"
    assert _quiet(complaints)
