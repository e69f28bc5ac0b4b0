"""Forgetting what is over, in a thread of its own: nobody who signs in waits for it.

    begin   after a response; now and then it starts a thread, which comes to an end by itself
    wait    until none runs any more
    close   none starts any more; waits for the one under way

Of several servers the one that holds the lease does it. Rows past their limits are already powerless;
forgetting them only saves room.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock, Thread

from entrada.clock import Clock
from entrada.errors import StoreUnavailable
from entrada.flows.auditing import Auditing
from entrada.flows.leased_job import LeasedJob
from entrada.sessions.store import SessionStore

PRUNE_EVERY = timedelta(minutes=1)
PATIENCE_SECONDS = 15.0
"""How long `close` waits for what is under way; longer than the store's transactions take."""

log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class BackgroundPrune:
    """Safe for threads, and across a fork: the child prunes with threads of its own."""

    sessions: SessionStore
    clock: Clock
    auditing: Auditing | None = None
    lease: LeasedJob | None = None
    """Which of several servers prunes; None: this is the only one."""
    _begun_at: datetime | None = field(default=None, init=False)
    _thread: Thread | None = field(default=None, init=False, repr=False)
    _is_closed: bool = field(default=False, init=False)
    _pid: int = field(default_factory=os.getpid, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def begin(self) -> None:
        """At most once in `PRUNE_EVERY`, and never at the first call of a process; waits for nothing."""
        now = self.clock.now()
        if self._pid != os.getpid():
            # A thread of the parent's may have held the lock, and none of its threads is here.
            self._pid, self._lock, self._thread = os.getpid(), Lock(), None
        with self._lock:
            is_early = self._begun_at is not None and now - self._begun_at < PRUNE_EVERY
            if is_early or self._is_closed or (self._thread is not None and self._thread.is_alive()):
                return
            is_first, self._begun_at = self._begun_at is None, now
            if is_first:
                return
            thread = Thread(target=self._prune, args=(now,), name="entrada-prune", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # no thread is to be had, as while the interpreter ends; a later response begins one
            self._thread = thread

    def wait(self) -> None:
        """Until what is under way has come to an end, or patience has."""
        thread = self._thread
        if self._pid == os.getpid() and thread is not None:
            thread.join(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self._is_closed = True
        self.wait()
        if self.lease is not None:
            self.lease.release()

    def _prune(self, now: datetime) -> None:
        try:
            if self.lease is not None and self.lease.hold() is None:
                return
            self.sessions.prune(now=now)
            if self.auditing is not None:
                self.auditing.prune(now)
        except StoreUnavailable as failure:
            log.debug("What is over is forgotten later: %s", failure.sentence)
        except Exception:
            log.exception("A mistake of Entrada's, while forgetting what is over")
