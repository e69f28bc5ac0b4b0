"""A psycopg connection that waits no longer than it may, whatever the server does.

`statement_timeout` is the server's own promise: a server that is frozen, or behind a network that swallows
packets, does not hold it. Here the client holds it: `within` sets the time for everything the block does,
connecting and waiting for the pool included; what is not answered by then is closed and given up.

Source: psycopg 3, `psycopg.waiting`: the generator is resumed at least every 0.1 s.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg

_block = threading.local()


class NoResponseInTime(psycopg.OperationalError):
    """The server has not answered in time. Its code is that of a statement which was cancelled for it."""

    sqlstate = "57014"


@contextmanager
def within(limit: timedelta) -> Iterator[None]:
    """What this thread does in the block is over when `limit` has passed. Blocks inside do not prolong it."""
    before = getattr(_block, "ends_at", None)
    ends_at = time.monotonic() + limit.total_seconds()
    _block.ends_at = ends_at if before is None else min(before, ends_at)
    try:
        yield
    finally:
        _block.ends_at = before


def seconds_left() -> float:
    """Of this thread's block; without one, without end.

    Raises:
        NoResponseInTime: none are.
    """
    ends_at = getattr(_block, "ends_at", None)
    if ends_at is None:
        return math.inf
    left: float = ends_at - time.monotonic()
    if left <= 0:
        raise NoResponseInTime("the time for this was over before it began")
    return left


class BoundedConnection(psycopg.Connection[Any]):
    """Every wait for the server ends with the thread's block. Then the connection is closed."""

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
        """As psycopg waits, and no longer than this transaction may."""
        try:
            return super().wait(_ending_in(gen, seconds_left()), *arguments, **named)
        except NoResponseInTime:
            # What it was asked may still come: nobody may use it again.
            self.pgconn.finish()
            raise


def connect_in_time(arguments: list[Any], named: dict[str, Any]) -> BoundedConnection:
    """A new connection, if the server lets one in while the block lasts (or two seconds, libpq's least)."""
    left = seconds_left()
    if left < math.inf:
        named = {**named, "connect_timeout": max(2, math.ceil(left))}
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
