"""Who is linked here and how far their directories were read, in memory: a `DirectoryStore`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from threading import Lock

from entrada.accounts.delta_position import DeltaPosition
from entrada.accounts.identity import EntraIdentity
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.entra.authority import ObjectId, TenantId
from entrada.storage import recorded
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_sealed_sign_ins import MemorySealedSignIns
from entrada.storage.memory_sessions import MemorySessionStore


class MemoryDirectory:
    def __init__(
        self, accounts: MemoryAccountStore, sessions: MemorySessionStore, sealed_sign_ins: MemorySealedSignIns
    ) -> None:
        self._lock = Lock()
        self._accounts, self._sessions, self._sealed_sign_ins = accounts, sessions, sealed_sign_ins
        self._positions: dict[TenantId, tuple[str, datetime, DeltaPosition]] = {}

    def hold_position(
        self, tenant_id: TenantId, *, holder: str, now: datetime, until: datetime
    ) -> DeltaPosition | None:
        """See `DirectoryStore`."""
        with self._lock:
            held_by, held_until, position = self._positions.get(
                tenant_id, (holder, until, DeltaPosition(tenant_id=tenant_id))
            )
            if held_by != holder and now < held_until <= until + (until - now):
                return None
            self._positions[tenant_id] = holder, until, position
            return position

    def keep_position(self, position: DeltaPosition, *, holder: str) -> bool:
        """See `DirectoryStore`."""
        with self._lock:
            held_by, held_until, _ = self._positions.get(position.tenant_id, ("", datetime.min, position))
            if held_by != holder:
                return False
            self._positions[position.tenant_id] = holder, held_until, position
            return True

    def positions(self) -> Sequence[DeltaPosition]:
        """See `DirectoryStore`."""
        with self._lock:
            return [position for _, (_, _, position) in sorted(self._positions.items())]

    def linked(self, tenant_id: TenantId, object_ids: Collection[ObjectId]) -> Sequence[SealedSignIn]:
        """See `DirectoryStore`."""
        identities = [EntraIdentity(tenant_id=tenant_id, object_id=one) for one in sorted(object_ids)]
        users = [(identity, self._accounts.find_by_identity(identity)) for identity in identities]
        return [
            next(
                (each for each in self._sealed_sign_ins.of_user(user.id) if each.identity == identity),
                SealedSignIn(
                    identity=identity,
                    user_id=user.id,
                    sealed_sign_in=None,
                    last_sign_in_at=None,
                    next_check_at=None,
                ),
            )
            for identity, user in users
            if user is not None
        ]

    def signed_in(
        self, tenant_id: TenantId, *, after: ObjectId | None, at_most: int
    ) -> Sequence[SealedSignIn]:
        """See `DirectoryStore`."""
        theirs = [
            kept
            for kept in self._sealed_sign_ins.everybody()
            if kept.identity.tenant_id == tenant_id
            and kept.sealed_sign_in is not None
            and kept.identity.object_id > (after or "")
        ]
        return sorted(theirs, key=lambda kept: kept.identity.object_id)[:at_most]

    def hasten(self, tenant_id: TenantId, object_ids: Collection[ObjectId] | None, *, now: datetime) -> int:
        """See `DirectoryStore`."""
        return self._sealed_sign_ins.hasten(
            lambda identity: (
                identity.tenant_id == tenant_id and (object_ids is None or identity.object_id in object_ids)
            ),
            now=now,
        )

    def end_access(self, link: SealedSignIn, *, because: str, now: datetime) -> bool:
        """See `DirectoryStore`."""
        return self._sealed_sign_ins.end_access(link, because=because, now=now)

    def end_sessions_before(self, identity: EntraIdentity, *, before: datetime) -> int:
        """See `DirectoryStore`."""
        user = self._accounts.find_by_identity(identity)
        theirs = [] if user is None else self._sessions.list_sessions(user_id=user.id, limit=10_000)
        return sum(
            self._sessions.end(session.id, cause=recorded.BY_DIRECTORY)
            for session in theirs
            if session.identity == identity and session.created_at < before
        )
