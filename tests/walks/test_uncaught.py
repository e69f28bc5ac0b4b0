"""Refusals that an application does not catch, wherever they are raised: no traceback, and no 500."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
import uvicorn
from quart import Quart, websocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entrada.adapters.quart import EntradaQuart
from entrada.adapters.quart import token_for as token_in_quart
from entrada.adapters.starlette import EntradaMiddleware, token_for
from entrada.web.auth_routes import AuthRoutes
from walks.conftest import NewVisitor, Serve
from walks.site import Site
from walks.test_sockets import opened

CONFIG = partial(uvicorn.Config, ws="websockets-sansio", log_level="error")


async def mail(request: Request) -> Response:
    return JSONResponse(str(await token_for(request, ["Mail.Read"])) != "")


async def broken(_: HTTPConnection) -> Response:
    raise ValueError("the application's own")


async def socket_at_once(socket: WebSocket) -> None:
    await token_for(socket, ["Mail.Read"])


async def socket_later(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()
    await token_for(socket, ["Mail.Read"])


def app_of(auth: AuthRoutes) -> Any:
    """A further application is mounted, which handles what goes wrong in it by itself, as FastAPI's do."""
    pages = [Route("/mail", mail), Route("/broken", broken)]
    sockets = [WebSocketRoute("/at-once", socket_at_once), WebSocketRoute("/later", socket_later)]
    return Starlette(
        routes=[*pages, *sockets, Mount("/inner", Starlette(routes=pages))],
        middleware=[Middleware(EntradaMiddleware, auth=auth)],
    )


@pytest.fixture
def site(serve: Serve) -> Site:
    return serve(app_of=app_of, calls_apis=True, config_of=CONFIG)


class Held:
    """What an extension is given, of a site's own parts."""

    def __init__(self, auth: AuthRoutes) -> None:
        self.auth = auth


def in_quart(auth: AuthRoutes) -> Any:
    """The sockets alone."""
    app = Quart("uncaught")
    EntradaQuart(Held(auth)).init_app(app)

    @app.websocket("/at-once")
    async def at_once() -> None:
        await token_in_quart(["Mail.Read"])

    @app.websocket("/later")
    async def later() -> None:
        await websocket.accept()
        await websocket.receive()
        await token_in_quart(["Mail.Read"])

    return app


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.exc_info]


def test_a_mounted_application_sends_people_to_entra_as_its_outer_one_does(
    site: Site, new_visitor: NewVisitor, pat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """303 for a page, 401 for a script; what is wrong with the application itself stays a 500."""
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    for path in ("/mail", "/inner/mail"):
        assert visitor.open(path).status_code == 303, path
        assert visitor.fetch(path).json()["error"] == "interaction_required", path
    assert tracebacks(caplog) == []
    for path in ("/broken", "/inner/broken"):
        assert visitor.open(path, connection="close").status_code == 500, path


@pytest.mark.parametrize(
    "referer", ["http://[", "http://[::1", "//[x]y/", "http://a]b/", "http://localhost:x/"]
)
def test_a_script_says_any_page_as_its_own(
    site: Site, new_visitor: NewVisitor, pat: Any, referer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A Referer that is no address leads to the front page."""
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    said = visitor.fetch("/mail", Referer=referer)
    assert said.status_code == 401
    assert "next=" not in said.json()["sign_in_path"]
    assert tracebacks(caplog) == []


@pytest.mark.parametrize("made", [app_of, in_quart])
def test_a_socket_closes_with_what_it_means(
    serve: Serve, new_visitor: NewVisitor, pat: Any, caplog: pytest.LogCaptureFixture, made: Any
) -> None:
    """Before it is accepted or after: 4401, for which a page asks anew, and no traceback."""
    visitor = new_visitor(serve(app_of=made, calls_apis=True, config_of=CONFIG))
    visitor.sign_in_as(pat)
    with pytest.raises(InvalidStatus) as refused, opened(visitor, "/at-once"):
        pass
    assert refused.value.response.status_code == 403
    with opened(visitor, "/later") as socket:
        socket.send("go on")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert tracebacks(caplog) == []
