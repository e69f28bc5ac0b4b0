"""The seam where leases are stored: who of several servers does a job that one of them is to do.

A lease has a name, a holder and an end. While it lasts nobody else gets it; its holder renews it in good
time, or releases it at a clean stop; of a holder that was killed it is over at its end, and the next who asks
has it. Each taking has a number, its fence, that grows with every change of the holder, so a holder that was
paused beyond the end of its lease releases nobody else's when it wakes. It may finish what it was doing: a
job under a lease is one that does no harm when it is done twice.

The end is judged by the store's clock alone, never by a server's: servers whose clocks differ agree all the
same. Should that clock step back, a lease that then ends later than it could is over at once.

`entrada.flows.leased_job` takes and renews; `tests/conformance` runs one suite against every implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Lease:
    """That `holder` has the lease `name`, as its taking number `fence`."""

    name: str
    holder: str
    fence: int


class LeaseStore(Protocol):
    """Stores leases. Each method is one transaction; threads and servers share it.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def take(self, name: str, *, holder: str, life: timedelta) -> Lease | None:
        """The lease for `life` from now; None: another has it.

        Whoever has it renews it so, with the same fence; doing it twice is doing it once. One that is over is
        taken anew, with the next fence, also by who had it.
        """

    def release(self, lease: Lease) -> bool:
        """Over from now on, for the next who asks. False: it was another's, or over and taken, already."""

    def holder(self, name: str) -> Lease | None:
        """Who has it now; None: nobody."""
