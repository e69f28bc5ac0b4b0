"""A WebSocket lives no longer than the session that opened it.

Plain ASGI. The process watches the session for as long as the socket is open; when it is over, the client
gets close code 4401 and the application a disconnect, whatever either is doing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

SESSION_ENDED = 4401
"""The close code, after HTTP's 401; 4000 to 4999 are the applications' own (RFC 6455, section 7.4.2)."""
NOT_ALLOWED = 4403

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Watch = Callable[[Callable[[], None]], Callable[[], None]]
"""Called with what to call, from any thread, when the session is over; what it returns ends the watch."""


log = logging.getLogger(__name__)


class SocketClosed(OSError):
    """What ASGI has `send` raise once a socket is closed, so that who only talks learns of it, too.

    Source: ASGI, WebSocket specification 2.4, "Disconnected client".
    """


async def run_until_session_ends(
    app: Application, scope: Scope, receive: Receive, send: Send, *, watch: Watch
) -> None:
    """The application with its socket, until it is done or its session is over."""
    loop = asyncio.get_running_loop()
    ended, closed = asyncio.Event(), asyncio.Event()

    def end() -> None:
        with suppress(RuntimeError):  # the loop is gone, and the socket with it
            loop.call_soon_threadsafe(ended.set)

    async def received() -> Message:
        message, end_told = asyncio.ensure_future(receive()), asyncio.ensure_future(closed.wait())
        try:
            await asyncio.wait({message, end_told}, return_when=asyncio.FIRST_COMPLETED)
            if ended.is_set() or not message.done():
                await closed.wait()
                return {"type": "websocket.disconnect", "code": SESSION_ENDED}
            return message.result()
        finally:
            for waiting in (message, end_told):
                if not waiting.done():
                    waiting.cancel()

    async def sent(message: Message) -> None:
        if ended.is_set():
            await closed.wait()
            raise SocketClosed("the session of this socket is over")
        await send(message)

    async def close() -> None:
        await ended.wait()
        try:
            await send({"type": "websocket.close", "code": SESSION_ENDED, "reason": "signed out"})
        finally:
            closed.set()

    closing = asyncio.ensure_future(close())
    end_watch = watch(end)
    try:
        await app(scope, received, sent)
    except Exception:
        if not ended.is_set():
            raise
        log.debug("a socket's application gave up when its session was over", exc_info=True)
    finally:
        end_watch()
        closing.cancel()
