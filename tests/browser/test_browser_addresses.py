"""Where people come from and go back to: the fragment of an address, frames, and a neighbour's cookie."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from browser.visiting import Site, Visitor, heading, pick, press_the_button, sign_in
from entrada.build.auth_routes import build_auth_routes
from entrada.cli.sample_app import SAMPLE_ROUTES
from entrada.cli.serve import listen, server_config
from entrada.clock import SystemClock
from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_app
from entrada.settings import load_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from conftest import Shot

pytestmark = pytest.mark.browser

APP_HOST, NEIGHBOUR = "app.contoso.test", "neighbour.contoso.test"


@pytest.mark.parametrize("address", ["/#/view/42", "/editors?a=1#/x?y=%2F", "/#/grün"])
def test_K27_the_fragment_of_an_address_survives_the_sign_in(
    address: str, site: Site, visitor: Visitor
) -> None:
    """What browsers send to no server is there again afterwards, byte for byte."""
    tab = visitor.tab()
    tab.goto(site.url + address)
    press_the_button(tab)
    pick(tab, "ada")
    tab.wait_for_url(lambda url: url.startswith(site.url) and "/auth/" not in url)
    path, _, fragment = address.partition("#")
    assert tab.url.startswith(site.url + path + "#")
    assert tab.evaluate("decodeURI(location.hash)") == "#" + fragment.replace("%2F", "%2F")


def test_K27_without_a_script_everything_else_survives(site: Site, visitors: Any) -> None:
    """With JavaScript off the person lands on the page, without the fragment, and nothing breaks."""
    visitor = visitors(java_script_enabled=False)
    tab = visitor.tab()
    tab.goto(f"{site.url}/editors?a=100%25#/view")
    press_the_button(tab)
    pick(tab, "ada")
    tab.wait_for_url(f"{site.url}/editors?a=100%25")


def test_K65_a_protected_page_in_a_frame_opens_a_window(site: Site, visitor: Visitor, shot: Shot) -> None:
    """A frame shows a page that offers a window; in the window the person signs in."""
    tab = visitor.tab()
    visitor.expected.append("401")
    tab.goto(f"{site.url}/auth/signed-out")
    tab.route(
        f"{site.url}/outer",
        lambda route: route.fulfill(
            content_type="text/html",
            body="<!doctype html><iframe src='/editors' width=400 height=500></iframe>",
        ),
    )
    tab.goto(f"{site.url}/outer")
    frame = tab.frame_locator("iframe")
    frame.get_by_role("link", name="Open in a new window").wait_for()
    shot(tab, "in-a-frame")
    with visitor.context.expect_page() as opened:
        frame.get_by_role("link", name="Open in a new window").click()
    window = opened.value
    press_the_button(window)
    pick(window, "ada")
    window.wait_for_url(f"{site.url}/editors")
    assert heading(window) == "The editors' page"


# --- K3: https, two host names ---


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for both host names, and its key."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")]), SystemClock().now()
    names: list[x509.GeneralName] = [x509.DNSName(APP_HOST), x509.DNSName(NEIGHBOUR)]
    names.append(x509.IPAddress(ip_address("127.0.0.1")))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, private


@contextmanager
def https_site(entra: RunningEmulator, folder: Path) -> Iterator[Site]:
    chain, key = certificate(folder)
    listener = listen("127.0.0.1", 0)
    url = f"https://{APP_HOST}:{listener.getsockname()[1]}"
    app = entra.app("Entrada (emulated)")
    entra.change_app(app.client_id, web_redirect_uris=[*app.web_redirect_uris, f"{url}/auth/entra/callback"])
    values = {
        **entra.env("entrada"),
        "ENTRADA_PUBLIC_URL": url,
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'https.db'}",
        "ENTRADA_ROLES_MAPPING": '{"Admin": "Admin", "Editor": "Editor"}',
    }
    auth = build_auth_routes(*load_settings(values), application_name="Contoso Wiki")
    config = server_config(create_app(auth, routes=SAMPLE_ROUTES))
    config.ssl_certfile, config.ssl_keyfile = str(chain), str(key)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield Site(url=url, entra=entra, auth=auth)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        auth.relying_party.close()


@contextmanager
def neighbour(folder: Path, lines: list[bytes]) -> Iterator[str]:
    """Another host of the same domain, which sets the cookies of `lines`, byte for byte."""

    class Plants(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n")
            for line in lines:
                self.wfile.write(b"Set-Cookie: " + line + b"\r\n")
            self.wfile.write(b"\r\nok")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Plants)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://{NEIGHBOUR}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@pytest.fixture(scope="module")
def mapped(browser: Browser, chromium_path: str) -> Iterator[Browser]:
    """A Chromium that finds both names on this machine."""
    opened = browser.browser_type.launch(
        executable_path=chromium_path,
        headless=True,
        args=["--no-sandbox", "--host-resolver-rules=MAP *.contoso.test 127.0.0.1"],
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("before", [b"\xa0", b"\x85", b"\xc2\xa0", b""], ids=["A0", "85", "C2A0", "plain"])
def test_K3_a_neighbours_cookie_is_nobodys(
    before: bytes, mapped: Browser, entra: RunningEmulator, tmp_path: Path
) -> None:
    """A cookie of a neighbouring host whose name only looks like ours neither signs in nor locks out."""
    entra.reset()
    with ExitStack() as stack:
        site = stack.enter_context(https_site(entra, tmp_path))
        mallory = stack.enter_context(mapped.new_context(ignore_https_errors=True))
        sign_in(mallory.new_page(), site, "ed")
        (theirs,) = [one for one in mallory.cookies(site.url) if "entrada_session" in str(one.get("name"))]
        name, value = str(theirs.get("name")).encode(), str(theirs.get("value")).encode()
        assert name.startswith(b"__Host-entrada_session_")
        line = before + name + b"=" + value + b"; Domain=contoso.test; Path=/; Secure"
        planting = stack.enter_context(neighbour(tmp_path, [line]))
        victim = stack.enter_context(mapped.new_context(ignore_https_errors=True))
        tab = victim.new_page()
        tab.goto(planting)
        kept = [one for one in victim.cookies(site.url) if "entrada_session" in str(one.get("name"))]
        assert len(kept) == (1 if before else 0), "what Chromium keeps of it; alone it refuses the prefix"
        tab.goto(f"{site.url}/auth/me")
        assert "login_required" in tab.inner_text("body")
        sign_in(tab, site, "ada")
        tab.goto(f"{site.url}/auth/me")
        assert "ada@contoso.test" in tab.inner_text("body")
        tab.goto(planting)
        tab.goto(f"{site.url}/auth/me")
        assert "ada@contoso.test" in tab.inner_text("body")
