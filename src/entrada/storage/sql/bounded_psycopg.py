"""A psycopg connection that waits no longer than it may, whatever the server does.

`statement_timeout` is the server's own promise: a server that is frozen, or behind a network that swallows
packets, does not hold it. Here the client holds it: `deadline.within` sets the time for everything the block
does, connecting and waiting for the pool included; what is not answered by then is closed and given up.

Source: psycopg 3, `psycopg.waiting`: the generator is resumed at least every 0.1 s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any

import psycopg

from entrada.storage.sql.deadline import seconds_left


class NoResponseInTime(psycopg.OperationalError):
    """The server has not answered in time. Its code is that of a statement which was cancelled for it."""

    sqlstate = "57014"


class MayOnlyBeRead(psycopg.OperationalError):
    """A server that writes nothing, such as a replica. Its code is that of a write there."""

    sqlstate = "25006"


def time_left() -> float:
    """Of this thread's block, in seconds; without one, without end.

    Raises:
        NoResponseInTime: none are.
    """
    left = seconds_left()
    if left <= 0:
        raise NoResponseInTime("the time for this was over before it began")
    return left


class BoundedConnection(psycopg.Connection[Any]):
    """Every wait for the server ends with the thread's block. Then the connection is closed."""

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
        """As psycopg waits, and no longer than this transaction may."""
        try:
            return super().wait(_ending_in(gen, time_left()), *arguments, **named)
        except NoResponseInTime:
            # What it was asked may still come: nobody may use it again.
            self.pgconn.finish()
            raise


def connect_in_time(arguments: list[Any], named: dict[str, Any]) -> BoundedConnection:
    """A new connection, if a server lets one in while the block lasts (or two seconds, libpq's least).

    Several hosts share the time, because one that swallows everything must leave some for the next.
    """
    left = time_left()
    if left < math.inf:
        hosts = str(named.get("host", "")).count(",") + 1
        named = {**named, "connect_timeout": max(2, math.ceil(left / hosts))}
    return BoundedConnection.connect(*arguments, **named)


def _ending_in(gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    ends_at = time.monotonic() + seconds
    try:
        waits_for = next(gen)
        while True:
            ready = yield waits_for
            if not ready and time.monotonic() >= ends_at:
                raise NoResponseInTime("the server did not answer in time")
            waits_for = gen.send(ready)
    except StopIteration as done:
        return done.value
