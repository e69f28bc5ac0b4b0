"""Every open connection of the server: how many there may be, and how long each may keep it waiting.

A connection waits for a head, waits for the rest of a body, is served, or is idle between two requests.
Only waiting is limited here: a head has `head_seconds` from its first byte (or from the connection), a body
a pace. A response that the client does not read is given up, too.
When there are as many connections as allowed, a newcomer takes the place of the longest idle one, else of the
oldest waiting one of the peer that holds the most; a request that is being served is never given up for that.

One sweep every `sweep_seconds` looks at all of them, so that a request arms no timer.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Literal, Protocol

from entrada.web.limits import LARGEST_HEAD_BYTES

log = logging.getLogger("entrada")

Waiting = Literal["head", "body"]

_DESCRIPTORS_FOR_THE_REST = 128
_QUIET_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """`head_seconds` for a whole head; a body may take `body_seconds` and then must have come at
    `body_bytes_per_second` on average; `unread_seconds` without the client reading a byte of its response;
    `connections` at once; `pipelined` requests sent ahead on one connection.
    """

    head_bytes: int = LARGEST_HEAD_BYTES
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    body_bytes_per_second: int = 500
    idle_seconds: int = 20
    unread_seconds: float = 60.0
    sweep_seconds: float = 1.0
    connections: int = 2000
    pipelined: int = 100


class Limited(Protocol):
    """What the table needs to know of a connection, and does to it."""

    peer: str
    body_bytes: int

    def unsent_bytes(self) -> int: ...
    def is_paused(self) -> bool: ...
    def time_out(self, waiting: Waiting) -> None: ...
    def give_up(self) -> None: ...


@dataclass(slots=True)
class _State:
    waiting: Waiting | None
    since: float
    unsent: int = 0
    unsent_since: float = 0.0


class ConnectionTable:
    """The connections of one server, on one event loop."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: dict[Limited, _State] = {}
        self._idle: dict[Limited, None] = {}
        self._waiting: dict[str, dict[Limited, None]] = {}
        self._sweeping = False
        self._said_full_at: float | None = None

    def admit(self, connection: Limited, loop: asyncio.AbstractEventLoop) -> bool:
        """Takes a new connection in, if need be in another's place; False: there is no place."""
        now = loop.time()
        if len(self._open) >= self.limits.connections:
            self._say_full(now)
            loser = self._least_needed()
            if loser is None:
                return False
            self.remove(loser)
            loser.give_up()
        self._open[connection] = _State(waiting=None, since=now)
        self.waits(connection, "head", now)
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(self.limits.sweep_seconds, self._sweep, loop)
        return True

    def waits(self, connection: Limited, waiting: Waiting, now: float) -> None:
        """The connection has sent a part of something. The clock of a wait that goes on is not set back."""
        state = self._open.get(connection)
        if state is None or state.waiting == waiting:
            return
        self._forget_place(connection, state)
        state.waiting, state.since = waiting, now
        self._waiting.setdefault(connection.peer, {})[connection] = None

    def ends(self, connection: Limited, now: float) -> None:
        """It has been refused; it may take as long as a head to go."""
        self.is_served(connection)
        self.waits(connection, "head", now)

    def is_served(self, connection: Limited) -> None:
        """Its request is whole; we are the ones to be waited for."""
        state = self._open.get(connection)
        if state is not None:
            self._forget_place(connection, state)
            state.waiting = None

    def is_idle(self, connection: Limited) -> None:
        """Its request is answered, and no other has begun."""
        state = self._open.get(connection)
        if state is not None:
            self._forget_place(connection, state)
            state.waiting = None
            self._idle[connection] = None

    def remove(self, connection: Limited) -> None:
        state = self._open.pop(connection, None)
        if state is not None:
            self._forget_place(connection, state)

    def __len__(self) -> int:
        return len(self._open)

    def _forget_place(self, connection: Limited, state: _State) -> None:
        self._idle.pop(connection, None)
        if state.waiting is None:
            return
        of_peer = self._waiting.get(connection.peer)
        if of_peer is not None:
            of_peer.pop(connection, None)
            if not of_peer:
                del self._waiting[connection.peer]

    def _least_needed(self) -> Limited | None:
        if self._idle:
            return next(iter(self._idle))
        fullest: dict[Limited, None] = max(self._waiting.values(), key=lambda held: len(held), default={})
        return next(iter(fullest), None)

    def _say_full(self, now: float) -> None:
        """Once a minute at most: whoever fills the server shall not fill the log as well."""
        if self._said_full_at is None or now - self._said_full_at >= _QUIET_SECONDS:
            self._said_full_at = now
            log.warning(
                "All %d connections are taken; new ones replace idle and half-sent ones.",
                self.limits.connections,
            )

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection, state in list(self._open.items()):
            if self._is_unread(connection, state, now):
                connection.give_up()
            elif state.waiting is not None and connection.is_paused():
                state.since = now  # it is we who do not read
            elif state.waiting is not None and now > self._deadline(connection, state):
                connection.time_out(state.waiting)
        self._sweeping = bool(self._open)
        if self._sweeping:
            loop.call_later(self.limits.sweep_seconds, self._sweep, loop)

    def _deadline(self, connection: Limited, state: _State) -> float:
        if state.waiting == "head":
            return state.since + self.limits.head_seconds
        earned = connection.body_bytes / self.limits.body_bytes_per_second
        return state.since + max(self.limits.body_seconds, earned)

    def _is_unread(self, connection: Limited, state: _State, now: float) -> bool:
        unsent = connection.unsent_bytes()
        if unsent == 0 or unsent != state.unsent:
            state.unsent, state.unsent_since = unsent, now
            return False
        return now - state.unsent_since > self.limits.unread_seconds


def connections_allowed(wanted: int) -> int:
    """`wanted`, or as many as this process may have files open, which it raises as far as it may."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _DESCRIPTORS_FOR_THE_REST
    if soft != resource.RLIM_INFINITY and soft < needed:
        reachable = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
        except (OSError, ValueError):
            reachable = soft
        return max(1, reachable - _DESCRIPTORS_FOR_THE_REST)
    return wanted
