"""A job that one of several servers does: asked before each piece of it whether it is this one's to do.

    job = LeasedJob(name="prune", leases=leases, clock=clock)
    if (lease := job.hold()) is not None: ...        at each beat; the store is asked only where it is due
    job.release()                                    at a clean stop: another server goes on at once

A server that is killed holds on for `LIFE` at most, and is replaced within `REPLACED_WITHIN` by one whose
beat is a second or shorter. A server that cannot reach the store stops when its lease ends, by its own clock
that was read before the lease was taken. One that was paused in between finishes its piece of work after all,
so each piece must be one that does no harm when it is done twice: forgetting what is over, or writing out
entries at least once.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock

from entrada.clock import Clock
from entrada.errors import StoreUnavailable
from entrada.leases import Lease, LeaseStore

LIFE = timedelta(seconds=10)
RENEWALS_IN_A_LIFE = 3
ASKED_IN_A_LIFE = 5
"""How often somebody else asks for it."""
REPLACED_WITHIN = LIFE + LIFE / ASKED_IN_A_LIFE + timedelta(seconds=1)

log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class LeasedJob:
    """The lease `name` as this process asks for it. Safe for threads, and across a fork."""

    name: str
    leases: LeaseStore
    clock: Clock
    life: timedelta = LIFE
    _holder: str = field(init=False, repr=False)
    _pid: int = field(init=False, repr=False)
    _lease: Lease | None = field(init=False, default=None, repr=False)
    _sure_until: float = field(init=False, default=float("-inf"), repr=False)
    _ask_at: float = field(init=False, default=float("-inf"), repr=False)
    _lock: Lock = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._begin()

    def hold(self) -> Lease | None:
        """The lease, where the job is this server's now; None: another's, or nobody can tell."""
        if self._pid != os.getpid():
            self._begin()  # what was held is the parent's
        with self._lock:
            asked_at = self.clock.monotonic()
            if asked_at >= self._ask_at:
                self._ask(asked_at)
            return self._lease if self.clock.monotonic() < self._sure_until else None

    def release(self) -> None:
        """For the next server that asks; where the store does not answer, it waits for the end."""
        if self._pid != os.getpid():
            return
        with self._lock:
            lease, self._lease = self._lease, None
            self._sure_until = self._ask_at = float("-inf")
        if lease is not None:
            with suppress(StoreUnavailable):
                self.leases.release(lease)

    def _ask(self, asked_at: float) -> None:
        life, before = self.life.total_seconds(), self._lease
        try:
            lease = self.leases.take(self.name, holder=self._holder, life=self.life)
        except StoreUnavailable:
            self._ask_at = asked_at + life / ASKED_IN_A_LIFE
            return
        self._lease = lease
        if lease is None:
            self._sure_until, self._ask_at = float("-inf"), asked_at + life / ASKED_IN_A_LIFE
        else:
            self._sure_until, self._ask_at = asked_at + life, asked_at + life / RENEWALS_IN_A_LIFE
        if (lease is None) != (before is None):
            log.debug(
                "%s is %s.", self.name, "another server's now" if lease is None else "this server's now"
            )

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._holder = f"{socket.gethostname()}:{self._pid}:{secrets.token_hex(8)}"
        self._lease, self._lock = None, Lock()
        self._sure_until = self._ask_at = float("-inf")
