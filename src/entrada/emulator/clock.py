"""The emulator's clock: real time plus an offset that a test may set.

Everything in the emulator that dates or expires something asks this clock, so one offset makes every
token, code and session look as it would beside a server whose clock is wrong.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import lru_cache

from .compatibility import UTC

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Clock:
    """Seconds since the epoch, shifted by `offset_seconds`."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def now(self) -> float:
        """The emulated time in seconds since the epoch."""
        return time.time() + self.offset_seconds

    def stamp(self) -> str:
        """The emulated time as Entra prints it in errors: `2026-07-01 10:00:00Z`."""
        return datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%d %H:%M:%SZ")

    def http_date(self) -> str:
        """The emulated time as the Date header has it: `Wed, 01 Jul 2026 10:00:00 GMT`."""
        return _http_date(int(self.now()))


@lru_cache(maxsize=1)
def _http_date(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    # Not by strftime, whose names follow the locale.
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment:%Y %H:%M:%S} GMT"


def graph_time(seconds: float) -> str:
    """A moment as Graph prints it: `2026-07-01T10:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
