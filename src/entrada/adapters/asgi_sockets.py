"""A WebSocket lives no longer than the session that opened it.

Plain ASGI. While the socket is open somebody asks every half second whether its session still stands; when it
does not, the client gets close code 4401 and the application a disconnect, whatever either is doing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

SESSION_ENDED = 4401
"""The close code, after HTTP's 401; 4000 to 4999 are the applications' own (RFC 6455, section 7.4.2)."""
NOT_ALLOWED = 4403
ASK_EVERY_SECONDS = 0.5

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def run_while_session_stands(
    app: Application,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    stands: Callable[[], Awaitable[bool]],
) -> None:
    """The application with its socket, until it is done or its session is over."""
    ended, over = asyncio.Event(), False

    async def received() -> Message:
        if over:
            return {"type": "websocket.disconnect", "code": SESSION_ENDED}
        message, end = asyncio.ensure_future(receive()), asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait({message, end}, return_when=asyncio.FIRST_COMPLETED)
            if over or not message.done():
                return {"type": "websocket.disconnect", "code": SESSION_ENDED}
            return message.result()
        finally:
            for waiting in (message, end):
                if not waiting.done():
                    waiting.cancel()

    async def sent(message: Message) -> None:
        if not over:
            await send(message)

    async def end_with_the_session() -> None:
        nonlocal over
        while await stands():
            await asyncio.sleep(ASK_EVERY_SECONDS)
        over = True
        await send({"type": "websocket.close", "code": SESSION_ENDED, "reason": "signed out"})
        ended.set()

    asking = asyncio.ensure_future(end_with_the_session())
    try:
        await app(scope, received, sent)
    finally:
        asking.cancel()
