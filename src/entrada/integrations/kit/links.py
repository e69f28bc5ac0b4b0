"""Who signs in as which user of a product: tables of our own in the product's database.

    entrada_link                    (tenant_id, object_id) → the product's user, and when to ask Entra again
    entrada_link_grant              roles the product's user holds because Entra says so
    entrada_link_spent_sign_in      sign-ins that were answered already
    entrada_link_delta_position     how far the changes of a directory were read (see directory)
    entrada_link_session            sign-ins that a broker's back channel may name, where a product wants that

Plain functions over a synchronous SQLAlchemy connection, each inside the caller's transaction: a link and
what it does to the product's own rows are committed together or not at all. Nothing here commits.
Users are named, not referenced: the product's tables are its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Index, MetaData, Row, Table, Text, delete, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, UserId
from entrada.entra.authority import ObjectId, TenantId
from entrada.errors import IdentityAlreadyLinked
from entrada.storage.sql.tables import AnyText, UtcTime
from entrada.storage.storable import storable_profile

metadata = MetaData()

links = Table(
    "entrada_link",
    metadata,
    Column("tenant_id", AnyText, primary_key=True),
    Column("object_id", AnyText, primary_key=True),
    Column("user_id", AnyText, nullable=False),
    Column("linked_at", UtcTime, nullable=False),
    Column("linked_by", AnyText, nullable=False),
    Column("last_sign_in_at", UtcTime),
    Column("name", AnyText),
    Column("username", AnyText),
    Column("email", AnyText),
    Column("sealed_sign_in", Text),
    Column("next_check_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("ended_because", AnyText),
    Index("ix_entrada_link_user_id", "user_id"),
    Index("ix_entrada_link_next_check_at", "next_check_at"),
)

grants = Table(
    "entrada_link_grant",
    metadata,
    Column("user_id", AnyText, primary_key=True),
    Column("role", AnyText, primary_key=True),
    Column("granted_by", AnyText, nullable=False),
    Column("granted_at", UtcTime, nullable=False),
)

spent_sign_ins = Table(
    "entrada_link_spent_sign_in",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("expires_at", UtcTime, nullable=False),
    Index("ix_entrada_link_spent_sign_in_expires_at", "expires_at"),
)

sessions = Table(
    "entrada_link_session",
    metadata,
    Column("session_id", AnyText, primary_key=True),
    Column("user_id", AnyText, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Index("ix_entrada_link_session_expires_at", "expires_at"),
)

_CREATION_LOCK = 0x656E747261646101
"""Two servers that start together on one PostgreSQL make the tables one after the other."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """An Entra identity that signs in as a user of the product.

    `name`, `username` and `email` are for showing. `sealed_sign_in` is what a refresh needs; None: the
    person has not signed in since the link was made, or their access was ended.
    """

    identity: EntraIdentity
    user_id: UserId
    linked_at: datetime
    linked_by: str
    last_sign_in_at: datetime | None
    name: str | None
    username: str | None
    email: str | None
    sealed_sign_in: str | None = field(repr=False)
    next_check_at: datetime | None
    ended_at: datetime | None
    """Since when Entra no longer answers for this person; None: it does, or nobody asked yet."""
    ended_because: str | None


def create_tables(connection: Connection) -> None:
    """Make what is missing; safe while other servers do the same."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))


def find_link(connection: Connection, identity: EntraIdentity) -> Link | None:
    """The link of an identity, or None."""
    row = connection.execute(select(links).where(_is(identity))).one_or_none()
    return None if row is None else link_of_row(row)


def links_of(connection: Connection, user_id: UserId) -> Sequence[Link]:
    """Every identity that signs in as this user, the oldest first."""
    rows = connection.execute(
        select(links).where(links.c.user_id == user_id).order_by(links.c.linked_at, links.c.object_id)
    )
    return [link_of_row(row) for row in rows]


def all_links(connection: Connection) -> Sequence[Link]:
    """Every link there is, the oldest first."""
    rows = connection.execute(select(links).order_by(links.c.linked_at, links.c.object_id))
    return [link_of_row(row) for row in rows]


def put_link(
    connection: Connection, identity: EntraIdentity, *, user_id: UserId, linked_by: str, now: datetime
) -> None:
    """Link an identity to a user; linking the same again changes nothing.

    Raises:
        IdentityAlreadyLinked: it signs in as another user; both stay as they are.
    """
    made = _insert_once(
        connection,
        links,
        {
            "tenant_id": identity.tenant_id,
            "object_id": identity.object_id,
            "user_id": user_id,
            "linked_at": now,
            "linked_by": linked_by,
        },
    )
    if not made:
        present = find_link(connection, identity)
        if present is None or present.user_id != user_id:
            raise IdentityAlreadyLinked


def remove_link(connection: Connection, identity: EntraIdentity) -> bool:
    """Forget a link, such as one to a user that the product has deleted; True if it was there."""
    return connection.execute(delete(links).where(_is(identity))).rowcount > 0


def note_sign_in(
    connection: Connection, identity: EntraIdentity, *, user_id: UserId, profile: Profile, now: datetime
) -> None:
    """The person signed in as this user: they are there again, whatever a re-check said before.

    Raises:
        LookupError: the identity is not linked to this user.
    """
    kept = storable_profile(profile)
    noted = connection.execute(
        update(links)
        .where(_is(identity), links.c.user_id == user_id)
        .values(
            last_sign_in_at=now,
            name=kept.name,
            username=kept.username,
            email=kept.email,
            ended_at=None,
            ended_because=None,
        )
    )
    if noted.rowcount != 1:
        raise LookupError("the identity is not linked to this user")


def keep_sign_in(
    connection: Connection, identity: EntraIdentity, *, sealed_sign_in: str | None, next_check_at: datetime
) -> None:
    """Store what the next re-check needs; None stores nothing, and the person is not looked up again."""
    connection.execute(
        update(links)
        .where(_is(identity))
        .values(
            sealed_sign_in=sealed_sign_in, next_check_at=None if sealed_sign_in is None else next_check_at
        )
    )


def claim_due(connection: Connection, *, now: datetime, next_check_at: datetime) -> Link | None:
    """The link that has waited longest for its re-check, now this caller's alone until `next_check_at`."""
    while True:
        row = connection.execute(
            select(links)
            .where(links.c.next_check_at <= now, links.c.sealed_sign_in.is_not(None))
            .order_by(links.c.next_check_at)
            .limit(1)
        ).one_or_none()
        if row is None:
            return None
        link = link_of_row(row)
        claimed = connection.execute(
            update(links)
            .where(_is(link.identity), links.c.next_check_at == link.next_check_at)
            .values(next_check_at=next_check_at)
        )
        if claimed.rowcount == 1:
            return link


def end_link(connection: Connection, link: Link, *, because: str, now: datetime) -> bool:
    """Entra no longer answers for this person. The link stays, so that the next sign-in finds the user.

    False, and nothing changed, if they signed in again since `link` was read: that sign-in is newer than
    what was found out.
    """
    ended = connection.execute(
        update(links)
        .where(
            _is(link.identity),
            links.c.sealed_sign_in == link.sealed_sign_in,  # IS NULL, where nobody could ask
            links.c.ended_at.is_(None),
        )
        .values(sealed_sign_in=None, next_check_at=None, ended_at=now, ended_because=because)
    )
    return ended.rowcount == 1


def renew_link(connection: Connection, link: Link, *, sealed_sign_in: str, next_check_at: datetime) -> bool:
    """Keep what the next re-check needs; False if the person signed in again since `link` was read."""
    renewed = connection.execute(
        update(links)
        .where(_is(link.identity), links.c.sealed_sign_in == link.sealed_sign_in)
        .values(sealed_sign_in=sealed_sign_in, next_check_at=next_check_at)
    )
    return renewed.rowcount == 1


def grants_of(connection: Connection, user_id: UserId) -> Sequence[RoleGrant]:
    """What the user holds because Entra says so, in the order of the roles' names."""
    rows = connection.execute(select(grants).where(grants.c.user_id == user_id).order_by(grants.c.role))
    return [
        RoleGrant(
            role=row.role, source=GrantSource.ENTRA, granted_by=row.granted_by, granted_at=row.granted_at
        )
        for row in rows
    ]


def replace_grants(connection: Connection, user_id: UserId, wanted: Sequence[RoleGrant]) -> None:
    """Record what Entra gives now; a grant that stays keeps its `granted_at`.

    Raises:
        ValueError: one of them is not Entra's.
    """
    require_from_entra(wanted)
    present = {grant.role: grant for grant in grants_of(connection, user_id)}
    connection.execute(delete(grants).where(grants.c.user_id == user_id))
    for grant in {grant.role: grant for grant in wanted}.values():
        since = present[grant.role].granted_at if grant.role in present else grant.granted_at
        connection.execute(
            grants.insert().values(
                user_id=user_id, role=grant.role, granted_by=grant.granted_by, granted_at=since
            )
        )


def require_from_entra(grants: Sequence[RoleGrant]) -> None:
    """Raises:
    ValueError: one of the grants is not Entra's, and would be taken back as if it were.
    """
    if any(grant.source is not GrantSource.ENTRA for grant in grants):
        raise ValueError("a sign-in may bring only grants whose source is Entra")


def note_session(
    connection: Connection, session_id: str, *, user_id: UserId, expires_at: datetime, now: datetime
) -> None:
    """Remember whose sign-in that is, for the day it is named; forgets those past their limit."""
    connection.execute(delete(sessions).where(sessions.c.expires_at < now))
    _insert_once(
        connection, sessions, {"session_id": session_id, "user_id": user_id, "expires_at": expires_at}
    )


def user_of_session(connection: Connection, session_id: str) -> UserId | None:
    """Whose sign-in that is; None: nobody's, or it is forgotten."""
    found = connection.execute(
        select(sessions.c.user_id).where(sessions.c.session_id == session_id)
    ).scalar_one_or_none()
    return None if found is None else UserId(found)


def forget_sessions_of(connection: Connection, user_id: UserId) -> int:
    """None of this user's sign-ins is named again; how many there were."""
    return connection.execute(delete(sessions).where(sessions.c.user_id == user_id)).rowcount


def spend_sign_in(connection: Connection, sign_in_id: str, *, expires_at: datetime, now: datetime) -> bool:
    """True for the first caller with this id, False for every later one, in all processes."""
    connection.execute(delete(spent_sign_ins).where(spent_sign_ins.c.expires_at < now))
    return _insert_once(connection, spent_sign_ins, {"id": sign_in_id, "expires_at": expires_at})


def _insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """True if the row is new, without raising where it is not: that would end PostgreSQL's transaction."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing()
    # Else it is read after an INSERT's cursor is closed, and psycopg 3 has forgotten it by then.
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def _is(identity: EntraIdentity) -> Any:
    return (links.c.tenant_id == identity.tenant_id) & (links.c.object_id == identity.object_id)


def link_of_row(row: Row[Any]) -> Link:
    """The link of a row."""
    return Link(
        identity=EntraIdentity(tenant_id=TenantId(row.tenant_id), object_id=ObjectId(row.object_id)),
        user_id=UserId(row.user_id),
        linked_at=row.linked_at,
        linked_by=row.linked_by,
        last_sign_in_at=row.last_sign_in_at,
        name=row.name,
        username=row.username,
        email=row.email,
        sealed_sign_in=row.sealed_sign_in,
        next_check_at=row.next_check_at,
        ended_at=row.ended_at,
        ended_because=row.ended_because,
    )
