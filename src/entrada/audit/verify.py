"""Whether the chain is whole: every entry as it was written, none missing, none added, none moved.

What it proves, and what it does not, is in SECURITY.md. Somebody who may write to the database can compute a
new chain from any entry on; then only a place kept elsewhere (`expect`) tells.
Reads page by page, while others write and retention cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from entrada.audit.acts import Action
from entrada.audit.chain import AuditEntry, Place, fault_of, read_object
from entrada.audit.trail import AuditTrail, Extent

PAGE = 1000
LOOKS_AT_MOST = 5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    fault: str | None
    """What is wrong, as the end of a sentence, naming the first entry that is not as it should be."""
    head: Place
    """The last entry that was looked at."""
    anchor: Place
    """What the chain begins behind."""
    entries: int = 0
    erased: int = 0
    """How many of them once said who somebody is, and no longer do."""


def verify(
    trail: AuditTrail,
    *,
    expect: Sequence[Place] = (),
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Verdict:
    """The verdict on the whole chain; `expect` are places of it that were kept elsewhere.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    for _ in range(LOOKS_AT_MOST):
        extent = trail.extent()
        verdict = _Walk(trail, extent, expect, progress).verdict()
        if verdict.fault is None or trail.extent().anchor == extent.anchor:
            break
        # Retention cut the chain under our hands: what is missing at its beginning may be that.
    return verdict


class _Walk:
    def __init__(
        self,
        trail: AuditTrail,
        extent: Extent,
        expect: Sequence[Place],
        progress: Callable[[int, int], None],
    ) -> None:
        self._trail, self._extent, self._progress = trail, extent, progress
        self._expected = {place.number: place.hash for place in expect}
        self._at, self._entries, self._erased = extent.anchor, 0, 0
        self._cut: Place | None = None

    def verdict(self) -> Verdict:
        fault = self._fault_outside() or self._fault_within() or self._fault_at_the_end()
        return Verdict(
            fault=fault,
            head=self._at,
            anchor=self._extent.anchor,
            entries=self._entries,
            erased=self._erased,
        )

    def _fault_outside(self) -> str | None:
        anchor, head = self._extent.anchor, self._extent.head
        before = self._trail.newest(limit=1, before=anchor.number + 1)
        if before:
            return f"entry {before[0].number} stands before the first one, which is {anchor.number + 1}"
        newest = self._trail.newest(limit=1)
        if newest and newest[0].number > self._trail.extent().head.number:
            return f"entry {newest[0].number} stands behind the last one, which is {head.number}"
        for number, hash in sorted(self._expected.items()):
            if number > head.number:
                return f"the chain ends at entry {head.number}; entry {number}, which you expect, is missing"
            if number < anchor.number:
                return (
                    f"entry {number}, which you expect, is past its time of retention; the chain begins at "
                    f"{anchor.number + 1}"
                )
            if number == anchor.number and hash != anchor.hash:
                return f"entry {number} is not the one that you expect"
        return None

    def _fault_within(self) -> str | None:
        head = self._extent.head
        while self._at.number < head.number:
            page = self._trail.following(self._at.number, limit=PAGE)
            if not page:
                return f"the entries from {self._at.number + 1} to {head.number}, the last one, are missing"
            for entry in page:
                if self._at.number == head.number:
                    break
                fault = fault_of(entry, after=self._at) or self._unexpected(entry)
                if fault is not None:
                    return fault
                self._pass(entry)
            self._progress(self._entries, head.number - self._extent.anchor.number)
        return None

    def _unexpected(self, entry: AuditEntry) -> str | None:
        if self._expected.get(entry.number, entry.hash) == entry.hash:
            return None
        return f"entry {entry.number} is not the one that you expect: it, or one before it, was written anew"

    def _pass(self, entry: AuditEntry) -> None:
        self._at = entry.place
        self._entries += 1
        self._erased += entry.is_erased
        if entry.action == Action.AUDIT_PRUNED.value:
            details = read_object(entry.details)
            through, hash = details.get("through"), details.get("hash")
            if isinstance(through, int) and isinstance(hash, str):
                self._cut = Place(number=through, hash=hash)

    def _fault_at_the_end(self) -> str | None:
        anchor, head = self._extent.anchor, self._extent.head
        if self._at != head:
            return f"entry {head.number}, the last one, is not the one that was written last"
        if anchor.number and self._cut != anchor:
            return f"the entries up to {anchor.number} are missing, and no entry says that retention cut them"
        return None
