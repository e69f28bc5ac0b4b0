"""How many sessions there are, without counting them again for everybody who asks.

A count reads all of them, so it is told again for a hundred times as long as it took: whoever watches costs a
hundredth of a core at most. That is a second with a thousand sessions, and some twenty with a million.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock

from entrada.clock import Clock
from entrada.sessions.store import SessionStore

SHORTEST, LONGEST = timedelta(seconds=1), timedelta(minutes=5)
"""For how long a count is told again."""
TIMES_ITS_COST = 100


@dataclass(kw_only=True)
class SessionCount:
    """Safe for threads: one counts, and those who come meanwhile wait for it."""

    sessions: SessionStore
    clock: Clock
    _count: int = field(default=0, init=False)
    _good_until: float = field(default=float("-inf"), init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def read(self) -> int:
        """Sessions within their limits, now or a moment ago.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        with self._lock:
            began = self.clock.monotonic()
            if began >= self._good_until:
                self._count = self.sessions.count(now=self.clock.now())
                ended = self.clock.monotonic()
                kept = TIMES_ITS_COST * (ended - began)
                self._good_until = ended + min(max(kept, SHORTEST.total_seconds()), LONGEST.total_seconds())
            else:
                self.sessions.revocations(None)  # that the store answers is not taken from memory
            return self._count
