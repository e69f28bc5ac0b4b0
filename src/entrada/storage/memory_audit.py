"""The newest entries of the audit trail, of this process, for `memory_accounts` and `memory_sessions`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from threading import Lock

from entrada.accounts.identity import User
from entrada.audit.acts import ENTRADA, Act, Cause
from entrada.audit.chain import START, AuditEntry, Place, as_written, entry_of
from entrada.audit.trail import EVERYTHING, AuditQuery, AuditTrail, Extent
from entrada.compatibility import UTC
from entrada.storage.recorded import pruning

ENTRIES_KEPT, CUT_AT_ONCE = 10_000, 1_000
FOR_ROOM = Cause(actor=ENTRADA, reason="memory keeps the newest entries alone")


class MemoryAuditTrail(AuditTrail):
    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: deque[AuditEntry] = deque()
        self._anchor: Place = START
        self._exported: dict[str, int] = {}

    def record(self, *acts: Act) -> None:
        with self._lock:
            for act in acts:
                self._add(act)

    def newest(
        self, query: AuditQuery = EVERYTHING, *, limit: int = 100, before: int | None = None
    ) -> Sequence[AuditEntry]:
        with self._lock:
            found = [each for each in self._entries if is_asked_for(each, query)]
        return [each for each in reversed(found) if before is None or each.number < before][:limit]

    def following(self, number: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        with self._lock:
            return [each for each in self._entries if each.number > number][:limit]

    def extent(self) -> Extent:
        with self._lock:
            return Extent(anchor=self._anchor, head=self._head())

    def prune(self, *, before: datetime, cause: Cause, limit: int = 10_000) -> int:
        with self._lock:
            old = takewhile(lambda entry: entry.at < before, self._entries)
            return self._cut(min(limit, sum(1 for _ in old)), cause)

    def exported(self, target: str) -> int | None:
        return self._exported.get(target)

    def note_exported(self, target: str, number: int) -> None:
        self._exported[target] = number

    def erase(self, user: User) -> None:
        """Who this was at Entra is in no entry any more."""
        theirs = {(each.identity.tenant_id, each.identity.object_id) for each in user.identities}
        with self._lock:
            for index, entry in enumerate(self._entries):
                if entry.user_id == user.id or (entry.tenant_id, entry.object_id) in theirs:
                    self._entries[index] = replace(
                        entry, tenant_id=None, object_id=None, personal=None, salt=None
                    )

    def _head(self) -> Place:
        return self._entries[-1].place if self._entries else self._anchor

    def _add(self, act: Act) -> None:
        self._entries.append(entry_of(act, after=self._head(), now=datetime.now(UTC)))
        if len(self._entries) > ENTRIES_KEPT:
            self._cut(CUT_AT_ONCE, FOR_ROOM)

    def _cut(self, count: int, cause: Cause) -> int:
        for _ in range(count):
            self._anchor = self._entries.popleft().place
        if count:
            self._add(pruning(self._anchor, cut=count, cause=cause))
        return count


def is_asked_for(entry: AuditEntry, query: AuditQuery) -> bool:
    """Whether the query finds the entry."""
    if query.called is not None and as_written(query.called) not in (entry.personal or "").lower():
        return False
    is_theirs = (query.user_id is None and not query.object_ids) or (
        (query.user_id is not None and query.user_id in (entry.user_id, entry.actor_id))
        or entry.object_id in query.object_ids
    )
    return (
        is_theirs
        and query.tenant_id in (None, entry.tenant_id)
        and (not query.actions or entry.action in query.actions)
        and (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at < query.until)
    )
