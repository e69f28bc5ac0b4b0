"""K15 with real sockets: uvicorn, a Starlette application, and a client that speaks RFC 6455."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from entrada.adapters.starlette import EntradaMiddleware, login_required, roles_required, session_of
from entrada.web.auth_routes import AuthRoutes
from walks.conftest import NewVisitor, Serve
from walks.site import Site, rows_of
from walks.visitor import Visitor

FOREIGN = ["https://evil.test", "null", "http://localhost", "http://localhost.evil.test", "https://localhost"]
WITHIN_SECONDS = 2.0
"""One is promised; the rest is for a busy machine."""


async def anybody(socket: WebSocket) -> None:
    await socket.accept()
    session = session_of(socket)
    await socket.send_text(session.principal.name if session else "nobody")
    await socket.close()


@login_required
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


@roles_required("Editor")
async def editors(socket: WebSocket) -> None:
    await echo(socket)


@login_required
async def talker(socket: WebSocket) -> None:
    """Never listens: it only sends, as a ticker does."""
    await socket.accept()
    while True:
        await socket.send_text("tick")
        await asyncio.sleep(0.01)


def app_of(auth: AuthRoutes) -> Starlette:
    paths = {"/anybody": anybody, "/echo": echo, "/editors": editors, "/talker": talker}
    return Starlette(
        routes=[WebSocketRoute(path, endpoint) for path, endpoint in paths.items()],
        middleware=[Middleware(EntradaMiddleware, auth=auth)],
    )


@pytest.fixture
def site(serve: Serve) -> Site:
    """As `uvicorn` runs an application; the other of its implementations of `websockets` is deprecated."""
    return serve(app_of=app_of, config_of=partial(uvicorn.Config, ws="websockets-sansio", log_level="error"))


@contextmanager
def opened(visitor: Visitor, path: str, *, origin: str | None = None) -> Iterator[ClientConnection]:
    """A socket as a page of this browser opens it; `origin` is whose page, else one of ours."""
    site = visitor.site
    port = urlsplit(site.address).port
    cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)
    with connect(
        f"ws://localhost:{port}{path}",
        origin=origin or site.public_url,  # type: ignore[arg-type]  # a NewType of theirs
        additional_headers={"Cookie": cookie},
        proxy=None,
        open_timeout=10,
        close_timeout=2,
    ) as socket:
        yield socket


def closed(socket: ClientConnection) -> tuple[int, float]:
    """The code with which the server closes, and after how many seconds."""
    began = time.monotonic()
    with suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=10)
    assert socket.close_code is not None
    return socket.close_code, time.monotonic() - began


@pytest.mark.parametrize("origin", FOREIGN)
def test_K15_another_sites_page_has_no_identity(
    site: Site, new_visitor: NewVisitor, pat: Any, origin: str
) -> None:
    """The cookie comes along and opens nothing: nobody at an open endpoint, 403 at a guarded one."""
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    with opened(visitor, "/anybody") as ours, opened(visitor, "/anybody", origin=origin) as foreign:
        assert (ours.recv(timeout=10), foreign.recv(timeout=10)) == ("Pat Page", "nobody")
    with pytest.raises(InvalidStatus) as refused, opened(visitor, "/echo", origin=origin):
        pass
    assert refused.value.response.status_code == 403


def sign_out_elsewhere(site: Site, visitor: Visitor, person: Any) -> None:
    cookie = visitor.session_cookie
    assert cookie is not None
    site.auth.relying_party.sign_out.end(cookie.value, everywhere=True)


def front_channel(site: Site, visitor: Visitor, person: Any) -> None:
    """Entra's frame has no cookie of ours: another browser asks."""
    assert site.database is not None
    ((sid,),) = rows_of(site.database, "SELECT entra_session_id FROM entrada_session")
    assert Visitor(site, visitor._http).open(f"/auth/entra/logout?sid={sid}").status_code == 200


def disable(site: Site, visitor: Visitor, person: Any) -> None:
    account = site.account_of(person)
    assert account is not None
    site.auth.relying_party.set_disabled(account.id, disabled=True)


@pytest.mark.parametrize("path", ["/echo", "/editors", "/talker"])
@pytest.mark.parametrize("end", [sign_out_elsewhere, front_channel, disable], ids=lambda end: end.__name__)
def test_K15_a_socket_closes_within_a_second(
    site: Site, new_visitor: NewVisitor, pat: Any, kim: Any, end: Any, path: str
) -> None:
    """4401, whether it listens or talks; somebody else's stays open."""
    visitor, other = new_visitor(site), new_visitor(site)
    visitor.sign_in_as(pat)
    with opened(visitor, path) as socket:
        end(site, visitor, pat)
        code, seconds = closed(socket)
    assert code == 4401
    assert seconds < WITHIN_SECONDS
    other.sign_in_as(kim)
    with opened(other, "/echo") as stays:
        stays.send("still here?")
        assert stays.recv(timeout=10) == "still here?"


def test_K15_somebody_elses_socket_stays(site: Site, new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """Exactly the sockets of the session that ended close."""
    visitor, other = new_visitor(site), new_visitor(site)
    visitor.sign_in_as(pat)
    other.sign_in_as(kim)
    with ExitStack() as open_ones:
        theirs = [open_ones.enter_context(opened(visitor, "/echo")) for _ in range(3)]
        stays = open_ones.enter_context(opened(other, "/echo"))
        sign_out_elsewhere(site, visitor, pat)
        assert [closed(socket)[0] for socket in theirs] == [4401] * 3
        stays.send("still here?")
        assert stays.recv(timeout=10) == "still here?"


def test_K15_a_role_that_is_taken_away_closes_the_socket(
    site: Site, new_visitor: NewVisitor, kim: Any
) -> None:
    """A guard let it through for that role."""
    visitor, accounts, now = new_visitor(site), site.auth.relying_party.accounts, site.clock.now()
    visitor.sign_in_as(kim)
    account = site.account_of(kim)
    assert account is not None
    accounts.grant_role(account.id, role="Editor", granted_by="the test", now=now)
    with opened(visitor, "/editors") as socket:
        socket.send("still here?")
        assert socket.recv(timeout=10) == "still here?"
        accounts.revoke_role(account.id, role="Editor")
        assert closed(socket)[0] == 4401
