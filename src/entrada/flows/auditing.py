"""What a server does for the audit trail beside its stores, which enter what they change themselves.

refusals    are entered by `entrada.audit.refusals`
prune       cuts off what is older than it is kept for; by one of several servers
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from entrada.audit.acts import ENTRADA, Act, Cause
from entrada.audit.refusals import Refusals
from entrada.audit.trail import AuditTrail
from entrada.flows.audit_export import AuditExport

CUTS_AT_ONCE = 10


@dataclass(frozen=True, kw_only=True)
class Auditing:
    trail: AuditTrail
    refusals: Refusals
    keep: timedelta | None
    """For how long entries are kept; None: for ever."""
    export: AuditExport | None = None
    """None: they are in the database alone."""

    def start(self) -> None:
        """From here on entries are written out; doing so twice is once."""
        if self.export is not None:
            self.export.loop.start()

    def enter_refusal(self, act: Act) -> None:
        self.refusals.enter(act)

    def prune(self, now: datetime) -> int:
        """Cuts off the oldest entries, some ten thousands at most; how many.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        if self.keep is None:
            return 0
        cause = Cause(actor=ENTRADA, at=now, reason=f"kept for {in_words(self.keep)}")
        cut = 0
        for _ in range(CUTS_AT_ONCE):
            once = self.trail.prune(before=now - self.keep, cause=cause)
            cut += once
            if not once:
                break
        return cut

    def close(self) -> None:
        self.refusals.close()
        if self.export is not None:
            self.export.close()


def in_words(keep: timedelta) -> str:
    return f"{keep.days}d" if keep >= timedelta(days=1) else f"{int(keep.total_seconds())}s"
