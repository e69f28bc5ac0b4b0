"""A response that goes on for long, such as an event stream, ends with what let its reader in: in a loop.

Nothing is watched for the first second, which is all that most responses take. Then it is as with a
WebSocket: when the session or the token is over, `end` is called once, in the loop, and the connection breaks
off, so that nobody takes the half of a download for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from threading import local
from time import monotonic
from typing import TypeVar

from entrada.adapters.body_watch import MOMENT_SECONDS
from entrada.adapters.socket_watch import SocketWatch
from entrada.web.guards import Visitor

PieceT = TypeVar("PieceT")


class ResponseWatch:
    """Of one response, made in its loop. `is_over`: what let its reader in is over, and `end` was called."""

    __slots__ = ("_end", "_is_whole", "_underway", "_visitor", "_watching", "is_over")

    def __init__(self, visitor: Visitor, end: Callable[[], object]) -> None:
        self.is_over = self._is_whole = False
        self._visitor, self._end = visitor, end
        self._watching: SocketWatch | None = None
        self._underway = _underway_here()
        self._underway.add(self)

    def over(self) -> None:
        """The response is complete, or its connection gone: what is done behind it goes on."""
        self._is_whole = True
        self._underway.young.pop(self, None)
        if self._watching is not None:
            self._watching.over()

    def watch(self) -> None:
        """It takes longer than most."""
        self._watching = SocketWatch(self._visitor, self._end_in_any_thread)

    def _end_in_any_thread(self) -> None:
        with suppress(RuntimeError):  # the loop is gone
            self._underway.loop.call_soon_threadsafe(self._end_once)

    def _end_once(self) -> None:
        if not (self.is_over or self._is_whole):
            self.is_over = True
            self._end()


class _Underway:
    """The responses of one loop that are not watched yet, the eldest first; one timer for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.young: dict[ResponseWatch, float] = {}
        self._is_timed = False

    def add(self, response: ResponseWatch) -> None:
        self.young[response] = monotonic()
        if not self._is_timed:
            self._is_timed = True
            self.loop.call_later(MOMENT_SECONDS, self._watch_the_elder)

    def _watch_the_elder(self) -> None:
        now = monotonic()
        try:
            for response, since in list(self.young.items()):
                if now - since < MOMENT_SECONDS:
                    break
                del self.young[response]
                response.watch()
        finally:
            self._is_timed = bool(self.young)
            if self._is_timed:
                self.loop.call_later(MOMENT_SECONDS / 4, self._watch_the_elder)


_here = local()


def _underway_here() -> _Underway:
    loop = asyncio.get_running_loop()
    underway: _Underway | None = getattr(_here, "underway", None)
    if underway is None or underway.loop is not loop:
        underway = _here.underway = _Underway(loop)
    return underway


async def was_cut_off(
    serving: Awaitable[None], visitor: Visitor, begin: Callable[[ResponseWatch], None]
) -> bool:
    """Serve a request; True when it was cancelled because its reader may read no further.

    `begin` gets the watch: whoever sends the response tells it when that is `over`.
    """
    task = asyncio.current_task()
    assert task is not None  # a coroutine runs in one
    watch = ResponseWatch(visitor, task.cancel)
    begin(watch)
    try:
        await serving
    except asyncio.CancelledError:
        if not watch.is_over:
            raise
        if hasattr(task, "uncancel"):
            task.uncancel()  # since Python 3.11
    finally:
        watch.over()
    return watch.is_over


async def watched_pieces(body: AsyncIterable[PieceT], visitor: Visitor) -> AsyncIterator[PieceT]:
    """The body as it comes, for whoever takes a cancellation for a client that is gone.

    Raises:
        CancelledError: its reader may read no further; while a piece is waited for, too.
    """
    waiting: asyncio.Task[object] | None = None

    def end() -> None:
        if waiting is not None:
            waiting.cancel()

    watch, pieces = ResponseWatch(visitor, end), aiter(body)
    try:
        while True:
            waiting = asyncio.current_task()
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
            finally:
                waiting = None
            if watch.is_over:
                raise asyncio.CancelledError
            yield piece
            if watch.is_over:
                raise asyncio.CancelledError
    finally:
        watch.over()
