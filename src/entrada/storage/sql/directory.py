"""Who is linked here and how far their directories were read, in SQL: a `DirectoryStore`.

Looking who of a page of changes is known reads an index of identities and locks nothing, so a directory that
changes a great deal costs little here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Select, bindparam, delete, func, select, update

from entrada.accounts.delta_position import DeltaPosition
from entrada.accounts.identity import EntraIdentity
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.entra.authority import ObjectId, TenantId
from entrada.sessions.revocation import RevocationKind
from entrada.storage import recorded
from entrada.storage.sql import delta_positions
from entrada.storage.sql.audit_entries import note
from entrada.storage.sql.database import Database
from entrada.storage.sql.parts import in_parts
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.revocation import add_revocation
from entrada.storage.sql.sealed_sign_ins import SqlSealedSignIns, sign_in_of_row
from entrada.storage.sql.tables import delta_positions as positions
from entrada.storage.sql.tables import identities, sealed_sign_ins, sessions

_COLUMNS = (
    identities.c.tenant_id,
    identities.c.object_id,
    identities.c.user_id,
    sealed_sign_ins.c.sealed_sign_in,
    func.coalesce(sealed_sign_ins.c.last_sign_in_at, identities.c.last_sign_in_at).label("last_sign_in_at"),
    sealed_sign_ins.c.next_check_at,
    sealed_sign_ins.c.ended_at,
    sealed_sign_ins.c.ended_because,
)
LINKED: Select[tuple[object, ...]] = (
    select(*_COLUMNS)
    .select_from(
        identities.outerjoin(
            sealed_sign_ins,
            (sealed_sign_ins.c.tenant_id == identities.c.tenant_id)
            & (sealed_sign_ins.c.object_id == identities.c.object_id),
        )
    )
    .where(
        identities.c.tenant_id == bindparam("tid"),
        identities.c.object_id.in_(bindparam("oids", expanding=True)),
    )
)
SIGNED_IN = (
    select(sealed_sign_ins)
    .where(
        sealed_sign_ins.c.tenant_id == bindparam("tid"),
        sealed_sign_ins.c.object_id > bindparam("after"),
        sealed_sign_ins.c.sealed_sign_in.is_not(None),
    )
    .order_by(sealed_sign_ins.c.object_id)
    .limit(bindparam("at_most"))
)
HASTEN_ALL = (
    update(sealed_sign_ins)
    .where(
        sealed_sign_ins.c.tenant_id == bindparam("tid"), sealed_sign_ins.c.next_check_at > bindparam("now")
    )
    .values(next_check_at=bindparam("now"))
)
HASTEN = HASTEN_ALL.where(sealed_sign_ins.c.object_id.in_(bindparam("oids", expanding=True)))
BEFORE = (
    select(sessions.c.id, sessions.c.user_id)
    .join(
        identities,
        (identities.c.user_id == sessions.c.user_id)
        & (identities.c.tenant_id == sessions.c.tenant_id)
        & (identities.c.object_id == sessions.c.object_id),
    )
    .where(
        sessions.c.tenant_id == bindparam("tid"),
        sessions.c.object_id == bindparam("oid"),
        sessions.c.created_at < bindparam("before"),
    )
)
END = delete(sessions).where(sessions.c.id == bindparam("value"))


@repeats_transactions
class SqlDirectory:
    """In a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sealed_sign_ins = SqlSealedSignIns(database)

    def hold_position(
        self, tenant_id: TenantId, *, holder: str, now: datetime, until: datetime
    ) -> DeltaPosition | None:
        """See `DirectoryStore`."""
        with self._database.reading() as connection:
            if delta_positions.is_anothers(
                connection, positions, tenant_id, holder=holder, now=now, until=until
            ):
                return None
        with self._database.writing() as connection:
            return delta_positions.hold_position(
                connection, positions, tenant_id, holder=holder, now=now, until=until
            )

    def keep_position(self, position: DeltaPosition, *, holder: str) -> bool:
        """See `DirectoryStore`."""
        with self._database.writing() as connection:
            return delta_positions.keep_position(connection, positions, position, holder=holder)

    def positions(self) -> Sequence[DeltaPosition]:
        """See `DirectoryStore`."""
        with self._database.reading() as connection:
            return delta_positions.read_positions(connection, positions)

    def linked(self, tenant_id: TenantId, object_ids: Collection[ObjectId]) -> Sequence[SealedSignIn]:
        """See `DirectoryStore`."""
        found: list[SealedSignIn] = []
        for some in in_parts(sorted(object_ids)):
            with self._database.reading() as connection:
                rows = connection.execute(LINKED, {"tid": tenant_id, "oids": some})
                found += [sign_in_of_row(row) for row in rows]
        return found

    def signed_in(
        self, tenant_id: TenantId, *, after: ObjectId | None, at_most: int
    ) -> Sequence[SealedSignIn]:
        """See `DirectoryStore`."""
        with self._database.reading() as connection:
            rows = connection.execute(SIGNED_IN, {"tid": tenant_id, "after": after or "", "at_most": at_most})
            return [sign_in_of_row(row) for row in rows]

    def hasten(self, tenant_id: TenantId, object_ids: Collection[ObjectId] | None, *, now: datetime) -> int:
        """See `DirectoryStore`."""
        if object_ids is None:
            with self._database.writing() as connection:
                return connection.execute(HASTEN_ALL, {"tid": tenant_id, "now": now}).rowcount
        hastened = 0
        # Most of a group's members never sign in here: no lock is taken for those.
        for some in in_parts([link.identity.object_id for link in self.linked(tenant_id, object_ids)]):
            with self._database.writing() as connection:
                hastened += connection.execute(HASTEN, {"tid": tenant_id, "now": now, "oids": some}).rowcount
        return hastened

    def end_access(self, link: SealedSignIn, *, because: str, now: datetime) -> bool:
        """See `DirectoryStore`."""
        return self._sealed_sign_ins.end_access(link, because=because, now=now)

    def end_sessions_before(self, identity: EntraIdentity, *, before: datetime) -> int:
        """See `DirectoryStore`."""
        names = {"tid": identity.tenant_id, "oid": identity.object_id, "before": before}
        with self._database.reading() as connection:
            if connection.execute(BEFORE, names).first() is None:
                return 0
        with self._database.writing() as connection:
            ended = connection.execute(BEFORE, names).all()
            for row in ended:
                connection.execute(END, {"value": row.id})
            for row in ended:
                add_revocation(connection, RevocationKind.SESSION, row.id)
                note(connection, recorded.ending(row.id, row.user_id, recorded.BY_DIRECTORY))
            return len(ended)
