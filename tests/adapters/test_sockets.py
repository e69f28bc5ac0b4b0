"""K15: a WebSocket is its person's, from our own pages only, and for as long as their session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from entrada.adapters.starlette import EntradaMiddleware, login_required, roles_required, session_of
from flows.world import PUBLIC_URL, SCRIPT, Browser, new_browser

told: list[str] = []


async def anybody(socket: WebSocket) -> None:
    await socket.accept()
    session = session_of(socket)
    await socket.send_text(session.principal.name if session else "nobody")
    await socket.close()


@login_required
async def members(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect as over:
        told.append(f"over {over.code}")


@roles_required("Editor")
async def editors(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def app_of(browser: Browser) -> Starlette:
    return Starlette(
        routes=[
            WebSocketRoute("/anybody", anybody),
            WebSocketRoute("/members", members),
            WebSocketRoute("/editors", editors),
        ],
        middleware=[Middleware(EntradaMiddleware, auth=browser.auth)],
    )


def connect(
    browser: Browser, path: str, *, origin: str | None = None, after: Any = None
) -> list[dict[str, Any]]:
    """What a client is sent that opens a socket and says nothing; `after` happens once it is accepted."""
    sent: list[dict[str, Any]] = []
    headers = [(b"host", b"app.contoso.test"), (b"cookie", browser.cookie_header.encode())]
    headers += [(b"origin", origin.encode())] if origin else []
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}

    async def whole() -> None:
        accepted, first = asyncio.Event(), True

        async def receive() -> dict[str, Any]:
            nonlocal first
            if first:
                first = False
                return {"type": "websocket.connect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "websocket.accept":
                accepted.set()

        serving = asyncio.ensure_future(app_of(browser)(scope, receive, send))  # type: ignore[arg-type]  # a scope
        if after is not None:
            await asyncio.wait_for(accepted.wait(), 5)
            await asyncio.to_thread(after)
        await asyncio.wait_for(serving, 10)

    asyncio.run(whole())
    return sent


@pytest.mark.parametrize(
    ("origin", "who"),
    [
        (None, "Ada Lovelace"),
        (PUBLIC_URL, "Ada Lovelace"),
        ("https://evil.test", "nobody"),
        ("https://app.contoso.test.evil.test", "nobody"),
        ("http://app.contoso.test", "nobody"),
        ("https://app.contoso.test:8443", "nobody"),
        ("null", "nobody"),
        ("", "Ada Lovelace"),
    ],
)
def test_K15_another_sites_page_opens_a_socket_of_nobodys(origin: str | None, who: str) -> None:
    """The cookie alone is no identity: the page that opened the socket has to be ours."""
    browser = new_browser()
    browser.sign_in()
    assert connect(browser, "/anybody", origin=origin)[1]["text"] == who


def test_K15_a_guarded_socket_does_not_open_for_strangers() -> None:
    """Without a session 4401, without the role 4403, before anything is accepted."""
    browser = new_browser()
    assert connect(browser, "/members") == [{"type": "websocket.close", "code": 4401, "reason": ""}]
    browser.sign_in(roles=["Viewer"])
    assert connect(browser, "/editors") == [{"type": "websocket.close", "code": 4403, "reason": ""}]
    assert connect(browser, "/members", origin="https://evil.test")[0]["code"] == 4401


def test_K15_a_socket_closes_when_its_session_ends() -> None:
    """After "sign out everywhere" the socket gets 4401, and the application a disconnect."""
    browser = new_browser()
    browser.sign_in()
    told.clear()

    def sign_out() -> None:
        browser.auth.relying_party.sign_out.end(browser.session_cookie or "", everywhere=True)
        browser.entra.clock.advance(seconds=1)

    sent = connect(browser, "/members", after=sign_out)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == 4401
    assert told == ["over 4401"]


def test_K15_a_socket_closes_when_its_persons_roles_change() -> None:
    """The guard let in whoever had the old ones; the next socket is decided anew."""
    browser = new_browser()
    browser.sign_in()
    party = browser.auth.relying_party
    (user,) = party.accounts.list_users()

    def grant() -> None:
        party.accounts.grant_role(user.id, role="Trainee", granted_by="test", now=browser.entra.clock.now())
        browser.entra.clock.advance(seconds=1)

    assert connect(browser, "/members", after=grant)[-1]["code"] == 4401
    assert browser.request("GET", "/auth/me", **SCRIPT).status == 200


def test_K15_a_quiet_socket_prolongs_nothing() -> None:
    """An open socket is no use of the session: past the idle limit it closes."""
    browser = new_browser()
    browser.sign_in()

    def wait_long() -> None:
        browser.entra.clock.advance(hours=9)

    assert connect(browser, "/members", after=wait_long)[-1]["code"] == 4401
    assert browser.request("GET", "/auth/me", **SCRIPT).status == 401
