"""How fast Entra is asked again: when about each person, how many in a second, and when a run gives up.

The library's walk and the broker's keep the same pace; threads share it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

AT_A_TIME = 4
MOST_PER_SECOND = 20.0
BEHIND = (
    "Entra cannot be asked about everybody who is signed in within the interval: %d people in one, and more"
    " are due. Run more servers, or set a longer interval."
)
SILENT_IN_A_ROW = 4
"""So many people in a row about whom nothing answers, and nobody else is asked about."""
EARLIEST, LATEST = 0.9, 0.98
"""Of the interval: each is asked again somewhere between these parts of it, so that people who signed in
together spread out, and the pause between two runs still ends within the interval."""
LONGEST_PAUSE = timedelta(seconds=15)
SHORTEST_PAUSE = timedelta(milliseconds=200)
PAUSES_IN_AN_INTERVAL = 60

_log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class Pace:
    """No more than `per_second` looks begin in a second; none while Entra said to come back later."""

    per_second: float = MOST_PER_SECOND
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0, init=False)
    _quiet_until: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def is_quiet(self) -> bool:
        return self.monotonic() < self._quiet_until

    def be_quiet_for(self, seconds: int) -> None:
        with self._lock:
            self._quiet_until = max(self._quiet_until, self.monotonic() + seconds)

    def wait(self) -> None:
        """Until it is this caller's turn."""
        with self._lock:
            now = self.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)


class RecheckRun:
    """What the threads of one run know of one another; ends where nothing answers any more.

    A run that lasts longer than the interval asks about people later than promised, and says so.
    """

    def __init__(
        self, was_ended: Callable[[], bool], *, monotonic: Callable[[], float], every: timedelta
    ) -> None:
        self._monotonic, self._every = monotonic, every
        self._since, self._since_count = monotonic(), 0
        self._lock = threading.Lock()
        self._was_ended = was_ended
        self._silent_in_a_row = 0
        self._is_over = False
        self.looked_at = 0

    @property
    def is_over(self) -> bool:
        return self._is_over or self._was_ended()

    def note_look(self) -> None:
        with self._lock:
            self.looked_at += 1
            now = self._monotonic()
            if now - self._since > self._every.total_seconds():
                _log.warning(BEHIND, self.looked_at - self._since_count)
                self._since, self._since_count = now, self.looked_at

    def note_answer(self) -> None:
        with self._lock:
            self._silent_in_a_row = 0

    def note_silence(self) -> None:
        with self._lock:
            self._silent_in_a_row += 1
            self._is_over = self._is_over or self._silent_in_a_row >= SILENT_IN_A_ROW

    def end(self) -> None:
        self._is_over = True


def next_check(now: datetime, *, every: timedelta, chance: float) -> datetime:
    """When to ask again; `chance` is from 0 to 1."""
    return now + every * (EARLIEST + (LATEST - EARLIEST) * chance)


def pause_between_runs(every: timedelta) -> timedelta:
    """Short enough for what `next_check` leaves of the interval."""
    return max(SHORTEST_PAUSE, min(every / PAUSES_IN_AN_INTERVAL, LONGEST_PAUSE))
