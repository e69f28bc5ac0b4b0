"""Nobody shows our pages in a frame but Entra, and Entra only the one it must."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from browser.visiting import Site, Visitor, heading, sign_in

pytestmark = pytest.mark.browser

REFUSED = "frame-ancestors"
PAGES = ("/auth/login", "/auth/entra/callback?state=x&code=y", "/auth/signed-out")


@pytest.fixture
def stranger(site: Site) -> Iterator[str]:
    """Another site, of another origin and host, that answers /PATH with our page of that path in a frame."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            framed = f'<!doctype html><title>Win</title><iframe src="{site.url}{self.path}"></iframe>'
            body = framed.encode() if self.path.startswith("/auth") or self.path == "/" else b""
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a35_no_other_site_frames_our_pages(site: Site, visitor: Visitor, stranger: str) -> None:
    """A35: the sign-in page, the redirect URI, sign-out and the front channel stay empty in a frame."""
    visitor.expected += [REFUSED, "asked a stranger: http://127", "status of 400"]
    tab = visitor.tab()
    for path in (*PAGES, "/auth/entra/logout?sid=abc"):
        with tab.expect_console_message(lambda message: REFUSED in message.text):
            tab.goto(stranger + path)
        tab.wait_for_load_state("networkidle")
        framed = tab.frames[1]
        assert not framed.url.startswith(site.url), path
        assert framed.locator("a, button").count() == 0, path


def test_a35_an_applications_page_is_not_framed_either(site: Site, visitor: Visitor, stranger: str) -> None:
    """A35: signed in, the application's own page in a stranger's frame is refused, and nothing is clicked."""
    visitor.expected += [REFUSED, "asked a stranger: http://127", "status of 401"]
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    tab.goto(stranger)
    assert "Ada" not in tab.frames[1].content()
    tab.goto(site.url)
    assert heading(tab) == "Hello, Ada Lovelace"


def test_a35_pages_are_not_kept_and_name_nobody(site: Site, visitor: Visitor) -> None:
    """A35: no cache keeps them, no referrer leaves them, and no script may run but the sign-in page's own."""
    tab = visitor.tab()
    for path in PAGES:
        answer = tab.goto(site.url + path)
        assert answer is not None
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["referrer-policy"] == "no-referrer", path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), path
        allowed = re.findall(r"script-src ([^;]*)", policy)
        scripts = re.findall(r"<script>(.*?)</script>", answer.text(), re.DOTALL)
        assert allowed == [f"'sha256-{sha256_of(script)}'" for script in scripts], path
        assert len(scripts) == (path == "/auth/login"), path


def sha256_of(script: str) -> str:
    """As a policy names it. Source: CSP 3, section 2.3.1."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
