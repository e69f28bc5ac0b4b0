"""Entries written out as they come, beside the database: one thread, in the server whose job it is.

    start   now, or with the first person who comes; after a fork, again in the child
    close   what is there is written, and another server goes on at once

In the order of their numbers, and at least once: how far the target has come is remembered after it was
written to, so what a killed server had just written comes again. Entries that other servers and commands made
are among them. A target that cannot be written to is said in the log; nothing is left out for it.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock, Thread

from entrada.audit.export import ExportTarget, line_of
from entrada.audit.trail import AuditTrail
from entrada.clock import Clock
from entrada.errors import Unavailable
from entrada.flows.leased_job import LeasedJob

BEAT = timedelta(seconds=1)
PAGE = 500
SAID_AGAIN_AFTER = timedelta(minutes=1)
PATIENCE_SECONDS = 10.0

log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class AuditExport:
    trail: AuditTrail
    target: ExportTarget
    job: LeasedJob
    clock: Clock
    _closing: Event = field(default_factory=Event, repr=False)
    _starting: Lock = field(default_factory=Lock, repr=False)
    _thread: Thread | None = field(default=None, repr=False)
    _pid: int = field(default=0, repr=False)
    _silent_until: float = field(default=float("-inf"), repr=False)

    def start(self) -> None:
        """Does nothing where it runs already; cheap enough for every request."""
        if self._is_running():
            return
        with self._starting:
            if self._closing.is_set() or self._is_running():
                return
            self._pid = os.getpid()
            self._thread = Thread(target=self._run, name="entrada-audit-export", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None and self._is_running():
            self._thread.join(timeout=PATIENCE_SECONDS)
        self.beat()
        self.job.release()

    def beat(self) -> int:
        """Writes what is new, if that is this server's job; how many entries."""
        try:
            return self._export() if self.job.hold() is not None else 0
        except Unavailable as failure:
            self._say(f"Entries of the audit trail are written out later: {failure.sentence}")
        except OSError as failure:
            self._say(
                f"Entries of the audit trail cannot be written to {self.target.name}: "
                f"{failure.strerror or type(failure).__name__}. They are kept, and written out later."
            )
        return 0

    def _export(self) -> int:
        written = 0
        position = self._position()
        while page := self.trail.following(position, limit=PAGE):
            self.target.write([line_of(entry) for entry in page])
            position = page[-1].number
            self.trail.note_exported(self.target.name, position)
            written += len(page)
            if self.job.hold() is None:
                break
        return written

    def _position(self) -> int:
        position = self.trail.exported(self.target.name)
        if position is None:
            position = 0 if self.target.is_whole else self.trail.extent().head.number
            self.trail.note_exported(self.target.name, position)
        return position

    def _is_running(self) -> bool:
        return self._thread is not None and self._pid == os.getpid() and self._thread.is_alive()

    def _run(self) -> None:
        while not self._closing.wait(BEAT.total_seconds()):
            try:
                self.beat()
            except Exception:
                log.exception("A mistake of Entrada's, in writing out the audit trail")

    def _say(self, sentence: str) -> None:
        now = self.clock.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + SAID_AGAIN_AFTER.total_seconds()
            log.error("%s", sentence)
