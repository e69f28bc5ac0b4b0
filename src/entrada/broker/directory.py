"""Who leaves a watched directory has no grants either: the broker's own `DirectoryStore`.

What a change of the directory ends here (somebody disabled or deleted) ends, in the same transaction, their
grants at every installation, which hear of it by logout tokens. Revoked sessions and changed groups reach
grants by their re-check.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from entrada.accounts.delta_position import DeltaPosition
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.audit.acts import ENTRA, Cause
from entrada.broker.store import BrokerStore
from entrada.entra.authority import ObjectId, TenantId
from entrada.flows.tenant_watch import DirectoryStore
from entrada.storage.sql.broker_grants import end_grants, of_identity
from entrada.storage.sql.database import Database
from entrada.storage.sql.repeating import repeated
from entrada.storage.sql.sealed_sign_ins import end_access

NOBODY_HERE = UserId("")
"""Of whoever has grants, and no account at the broker itself."""


class DirectoryWithGrants:
    """`own` and `grants` are stored in `database`."""

    def __init__(self, database: Database, own: DirectoryStore[SealedSignIn], grants: BrokerStore) -> None:
        self._database, self._own, self._grants = database, own, grants

    def hold_position(
        self, tenant_id: TenantId, *, holder: str, now: datetime, until: datetime
    ) -> DeltaPosition | None:
        """See `DirectoryStore`."""
        return self._own.hold_position(tenant_id, holder=holder, now=now, until=until)

    def keep_position(self, position: DeltaPosition, *, holder: str) -> bool:
        """See `DirectoryStore`."""
        return self._own.keep_position(position, holder=holder)

    def positions(self) -> Sequence[DeltaPosition]:
        """See `DirectoryStore`."""
        return self._own.positions()

    def linked(self, tenant_id: TenantId, object_ids: Collection[ObjectId]) -> Sequence[SealedSignIn]:
        """See `DirectoryStore`: also whoever has grants alone."""
        links = list(self._own.linked(tenant_id, object_ids))
        found = {link.identity.object_id for link in links}
        newest = self._grants.newest_grants(tenant_id, set(object_ids) - found)
        return links + [
            SealedSignIn(
                identity=EntraIdentity(tenant_id=tenant_id, object_id=object_id),
                user_id=NOBODY_HERE,
                sealed_sign_in=None,
                last_sign_in_at=begun_at,
                next_check_at=None,
            )
            for object_id, begun_at in sorted(newest.items())
        ]

    def signed_in(
        self, tenant_id: TenantId, *, after: ObjectId | None, at_most: int
    ) -> Sequence[SealedSignIn]:
        """See `DirectoryStore`: at the broker itself."""
        return self._own.signed_in(tenant_id, after=after, at_most=at_most)

    def hasten(self, tenant_id: TenantId, object_ids: Collection[ObjectId] | None, *, now: datetime) -> int:
        """See `DirectoryStore`: at the broker itself."""
        return self._own.hasten(tenant_id, object_ids, now=now)

    @repeated
    def end_access(self, link: SealedSignIn, *, because: str, now: datetime) -> bool:
        """See `DirectoryStore`; with it end the grants that they have then."""
        cause, is_here = Cause(actor=ENTRA, at=now, reason=because), link.user_id != NOBODY_HERE
        with self._database.writing() as connection:
            if is_here:
                self._database.hold_user(connection, link.user_id)
            ended = is_here and end_access(connection, link, because=because, now=now)
            return bool(end_grants(connection, of_identity(link.identity), now=now, cause=cause)) or ended

    def end_sessions_before(self, identity: EntraIdentity, *, before: datetime) -> int:
        """See `DirectoryStore`: at the broker itself."""
        return self._own.end_sessions_before(identity, before=before)
