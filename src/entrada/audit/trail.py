"""The seam where entries are stored and read.

What a store changes it writes down itself, in the same transaction; `record` is for what changes nothing.
`tests/conformance` runs one suite against every implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from entrada.audit.acts import Act, Cause
from entrada.audit.chain import AuditEntry, Place


@dataclass(frozen=True, kw_only=True)
class AuditQuery:
    """Which entries; what is None, or empty, is every one."""

    user_id: str | None = None
    """Whom it happened to, or who did it."""
    object_ids: Sequence[str] = ()
    """Together with `user_id`: entries of either."""
    called: str | None = None
    """Part of the name or account of somebody who was refused; ASCII letters count alike in either case."""
    tenant_id: str | None = None
    """Of people of this tenant alone, as far as the entry says whose they are."""
    actions: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = AuditQuery()


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What the chain begins behind, and where it ends."""

    anchor: Place
    """The last entry that retention cut off; number 0: none was."""
    head: Place


class AuditTrail(Protocol):
    """Entries, numbered without gaps, that are added and never changed.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def record(self, *acts: Act) -> None:
        """Adds entries for acts that change nothing else, such as a refusal."""

    def newest(
        self, query: AuditQuery = EVERYTHING, *, limit: int = 100, before: int | None = None
    ) -> Sequence[AuditEntry]:
        """The newest first, at most `limit`, of those whose number is less than `before`."""

    def following(self, number: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        """Every entry behind this number, the oldest first, at most `limit`."""

    def extent(self) -> Extent:
        """Where the chain begins and ends."""

    def prune(self, *, before: datetime, cause: Cause, limit: int = 10_000) -> int:
        """Cuts off the oldest entries up to the first that is not older than `before`; how many.

        At most `limit` at once. Where the chain then begins is remembered, and is an entry itself.
        """

    def exported(self, target: str) -> int | None:
        """The number of the last entry that was written out to this target; None: nothing was so far."""

    def note_exported(self, target: str, number: int) -> None:
        """Everything up to this number was written out to this target."""
