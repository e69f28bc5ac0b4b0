"""Entries written out as they come, beside the database: one thread, in the server whose job it is.

    loop.start   now, or with the first person who comes
    close        what is there is written, and another server goes on at once

In the order of their numbers, and at least once: how far the target has come is remembered after it was
written to, so what a killed server had just written comes again. Entries that other servers and commands made
are among them. A target that cannot be written to is said in the log; nothing is left out for it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from entrada.audit.export import ExportTarget, line_of
from entrada.audit.trail import AuditTrail
from entrada.clock import Clock
from entrada.errors import Unavailable
from entrada.flows.background_loop import BackgroundLoop
from entrada.flows.leased_job import LeasedJob

BEAT = timedelta(seconds=1)
PAGE = 500
SAID_AGAIN_AFTER = timedelta(minutes=1)
PATIENCE = timedelta(seconds=10)

log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class AuditExport:
    trail: AuditTrail
    target: ExportTarget
    job: LeasedJob
    clock: Clock
    loop: BackgroundLoop = field(init=False, repr=False)
    _silent_until: float = field(default=float("-inf"), init=False, repr=False)

    def __post_init__(self) -> None:
        self.loop = BackgroundLoop(
            name="entrada-audit-export",
            work=self.beat,
            every=BEAT,
            patience=PATIENCE,
            postponed="Entries of the audit trail are written out later",
            doing="writing out the audit trail",
        )

    def close(self) -> None:
        self.loop.close()
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

    def _say(self, sentence: str) -> None:
        now = self.clock.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + SAID_AGAIN_AFTER.total_seconds()
            log.error("%s", sentence)
