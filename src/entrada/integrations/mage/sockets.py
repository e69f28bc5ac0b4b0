"""Connections that outlast one look at their session: sockets, streams of events, long downloads.

As long as there are any, their sessions are looked at twice a second, all with one question, and each whose
session has ended is closed: by signing out, by Entra, by a check in between, by the limit, with its user.
If the database has not answered for some seconds, all are closed: nobody knows who is still in.

Source: Tornado 6, websocket.WebSocketHandler.close; RFC 6455, 7.4.2 (codes of applications' own).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.websocket import WebSocketHandler

from entrada.errors import Unavailable
from entrada.integrations.mage.sessions import OpenSession

log = logging.getLogger("entrada.mage")

SESSION_ENDED = 4401
_LOOK_EVERY_MS = 400
_WITHOUT_ANSWER_SECONDS = 5


class OpenConnections:
    """Handlers by the token they were opened with. Everything here runs on Mage's loop but the question."""

    def __init__(
        self, open_sessions: Callable[[Collection[str]], Sequence[OpenSession]], pool: ThreadPoolExecutor
    ) -> None:
        self._open_sessions, self._pool = open_sessions, pool
        self._tokens: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._ended: WeakSet[Any] = WeakSet()
        self._answered_at = 0.0
        self._asking = self._told = False
        self._timer: PeriodicCallback | None = None

    def add(self, handler: Any, token: str) -> None:
        """Close this connection when the session of that token ends."""
        self._tokens[handler] = token
        if self._timer is None:
            self._timer = PeriodicCallback(self._look, _LOOK_EVERY_MS)
        if not self._timer.is_running():
            self._answered_at = time.monotonic()
            self._timer.start()

    def forget(self, handler: Any) -> None:
        """This connection is closed."""
        self._tokens.pop(handler, None)

    def has_ended(self, handler: Any) -> bool:
        """Whether the session behind this connection has ended."""
        return handler in self._ended

    def may_go_on(self, handler: Any) -> bool:
        """Whether what came in over this socket may be heard: asked anew for each message."""
        token = self._tokens.get(handler)
        if token is None:
            return False
        try:
            if self._open_sessions([token]):
                return True
        except Unavailable:
            return False
        self._close(handler)
        return False

    async def _look(self) -> None:
        held = list(self._tokens.items())
        if not held and self._timer is not None:
            self._timer.stop()
            return
        if self._asking:
            self._close_all_if_nobody_answers()
            return
        self._asking = True
        try:
            found = await IOLoop.current().run_in_executor(
                self._pool, self._open_sessions, {token for _, token in held}
            )
        except Unavailable as failure:
            if not self._told:
                log.warning("Whether sessions are still open cannot be asked: %s", failure.sentence)
            self._told = True
            self._close_all_if_nobody_answers()
            return
        finally:
            self._asking = False
        self._answered_at, self._told = time.monotonic(), False
        alive = {session.token for session in found}
        for handler, token in held:
            if token not in alive:
                self._close(handler)

    def _close_all_if_nobody_answers(self) -> None:
        if time.monotonic() - self._answered_at > _WITHOUT_ANSWER_SECONDS:
            for handler in list(self._tokens):
                self._close(handler)

    def _close(self, handler: Any) -> None:
        self._ended.add(handler)
        self.forget(handler)
        if isinstance(handler, WebSocketHandler):
            handler.close(SESSION_ENDED, "the session has ended")
            return
        connection = handler.request.connection
        if connection is not None:
            connection.close()
