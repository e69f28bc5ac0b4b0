"""How long an open WebSocket lasts: as long as the session or the access token that opened it.

A guard may take a token only after the application has begun; the visitor tells of it then. A socket that a
token opened ends when the token expires, and when its person's account ends or has other roles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from entrada.web.guards import Visitor

if TYPE_CHECKING:
    from entrada.flows.bearer import CheckedToken


class SocketWatch:
    """`end` is called, from any thread and perhaps again, when the socket has to close. Made in its loop."""

    def __init__(self, visitor: Visitor, end: Callable[[], None]) -> None:
        from entrada.flows.open_connections import end_with_session

        self._party, self._end = visitor.auth.relying_party, end
        self._loop = asyncio.get_running_loop()
        self._ends: list[Callable[[], None]] = []
        self._is_over = False
        visitor.on_token = self._token_in_any_thread
        if visitor.token is not None:
            self._token(visitor.token)
        if visitor.session is not None:
            self._ends.append(end_with_session(self._party, visitor.session, end))

    def over(self) -> None:
        """The socket has closed."""
        self._is_over = True
        for end in self._ends:
            end()

    def _token_in_any_thread(self, checked: CheckedToken) -> None:
        with suppress(RuntimeError):  # the loop is gone, and the socket with it
            self._loop.call_soon_threadsafe(self._token, checked)

    def _token(self, checked: CheckedToken) -> None:
        from entrada.flows.open_connections import end_with_account

        if self._is_over:
            return
        left = (checked.token.expires_at - self._party.clock.now()).total_seconds()
        self._ends.append(self._loop.call_later(max(left, 0.0), self._end).cancel)
        principal = checked.principal
        if principal.user_id is not None:  # an application: what it may do stands in its token
            self._ends.append(end_with_account(self._party, principal.user_id, principal.roles, self._end))
