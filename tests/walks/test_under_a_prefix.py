"""K23 with a real `uvicorn --root-path`, behind a proxy that takes the prefix away, and Mount inside it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_app
from entrada.web.auth_routes import AuthRoutes
from walks.conftest import NewVisitor, Serve
from walks.site import PROTECTED
from walks.visitor import query_of


@contextmanager
def stripping_proxy(prefix: str, upstream: str) -> Iterator[str]:
    """The address of a proxy that passes on what is under the prefix, without it."""
    host = urlsplit(upstream).netloc

    class Stripping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            onward = http.client.HTTPConnection(host, timeout=10)
            onward.request("GET", self.path.removeprefix(prefix), headers=dict(self.headers.items()))
            answer = onward.getresponse()
            body = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            onward.close()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Stripping)
    serving = threading.Thread(target=proxy.serve_forever, args=(0.05,))
    serving.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        serving.join()


def plain(auth: AuthRoutes) -> Any:
    return create_app(auth, routes=PROTECTED)


def mounted(auth: AuthRoutes) -> Any:
    return Starlette(routes=[Mount("/inner", app=plain(auth))])


@pytest.mark.parametrize(("app_of", "prefix"), [(plain, "/tool"), (mounted, "/tool/inner")])
def test_K23_a_whole_sign_in_behind_a_stripping_proxy(
    app_of: Any, prefix: str, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Every address has the whole prefix: sign-in page, start, redirect URI, the page wanted, signing out."""
    config_of = partial(uvicorn.Config, root_path="/tool", ws="none", log_level="error")
    site = serve(app_of=app_of, config_of=config_of)
    callback = f"{site.public_url}{prefix}/auth/entra/callback"
    emulator.change_app("Entrada (emulated)", web_redirect_uris=[callback])
    with stripping_proxy("/tool", site.address) as address:
        visitor = new_visitor(replace(site, address=address))
        asked = visitor.open(f"{prefix}/reports?a=1")
        assert urlsplit(asked.headers["location"]).path == f"{prefix}/auth/login"
        shown = visitor.open(asked.headers["location"])
        assert f'href="{prefix}/auth/entra/start?next={prefix}/reports' in shown.text
        started = visitor.open(f"{prefix}/auth/entra/start?next={prefix}/reports%3Fa%3D1")
        at_entra = started.headers["location"]
        assert query_of(at_entra)["redirect_uri"] == callback
        done = visitor.complete(visitor.approve_as(pat, at_entra))
        assert (done.status_code, done.headers["location"]) == (303, f"{prefix}/reports?a=1")
        assert visitor.open(f"{prefix}/reports?a=1").json()["name"] == "Pat Page"
        assert visitor.fetch(f"{prefix}/auth/me").json()["name"] == "Pat Page"
        assert f'action="{prefix}/auth/logout"' in visitor.open(f"{prefix}/auth/logout").text
