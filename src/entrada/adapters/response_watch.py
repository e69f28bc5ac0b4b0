"""A response that goes on for long, such as an event stream, ends with what let its reader in.

Plain ASGI. Nothing is watched for the first second, which is all that most responses take. Then it is as with
a WebSocket: when the session or the token is over, the request is cancelled and its connection breaks off, so
that nobody takes the half of a download for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from entrada.adapters.socket_watch import SocketWatch
from entrada.web.guards import Visitor

MOMENT_SECONDS = 1.0


class ResponseWatch:
    """Made in the task that serves the request. `is_over`: it was cancelled because of what it watches."""

    def __init__(self, visitor: Visitor) -> None:
        self.is_over = False
        self._visitor = visitor
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._begin = self._loop.call_later(MOMENT_SECONDS, self._watch)
        self._watching: SocketWatch | None = None

    async def run(self, serving: Awaitable[None]) -> None:
        """Serve the request; returns early, with `is_over`, when its reader may read no further."""
        try:
            await serving
        except asyncio.CancelledError:
            if not self.is_over:
                raise
            if self._task is not None and hasattr(self._task, "uncancel"):
                self._task.uncancel()  # since Python 3.11
        finally:
            self._begin.cancel()
            if self._watching is not None:
                self._watching.over()

    def _watch(self) -> None:
        self._watching = SocketWatch(self._visitor, self._end_in_any_thread)

    def _end_in_any_thread(self) -> None:
        with suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._task is not None and not self._task.done() and not self.is_over:
            self.is_over = True
            self._task.cancel()
