"""Leases in memory: between the threads of one process, which is all there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock

from entrada.leases import Lease, LeaseStore


class MemoryLeases(LeaseStore):
    """`monotonic` is the clock that ends are judged by."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._taken: dict[str, tuple[Lease, float]] = {}

    def take(self, name: str, *, holder: str, life: timedelta) -> Lease | None:
        """See `LeaseStore`."""
        with self._lock:
            now = self._monotonic()
            before, ends_at = self._taken.get(name, (None, 0.0))
            is_over = before is None or now >= ends_at
            if before is not None and not is_over and before.holder != holder:
                return None
            if before is None or is_over:
                before = Lease(name=name, holder=holder, fence=1 if before is None else before.fence + 1)
            self._taken[name] = before, now + life.total_seconds()
            return before

    def release(self, lease: Lease) -> bool:
        """See `LeaseStore`."""
        with self._lock:
            if self._taken.get(lease.name, (None, 0.0))[0] != lease:
                return False
            self._taken[lease.name] = lease, float("-inf")
            return True

    def holder(self, name: str) -> Lease | None:
        """See `LeaseStore`."""
        lease, ends_at = self._taken.get(name, (None, 0.0))
        return lease if lease is not None and self._monotonic() < ends_at else None
