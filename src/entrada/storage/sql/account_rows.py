"""A user as rows: the statements that find and write them, and the user whom rows say.

A user is read in one statement with identities and grants, so it is of one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from entrada.accounts.groups import read_membership, written
from entrada.accounts.identity import (
    EntraIdentity,
    GrantSource,
    LinkedIdentity,
    Profile,
    RoleGrant,
    User,
    UserId,
)
from entrada.entra.authority import ObjectId, TenantId
from entrada.storage.sql.tables import identities, role_grants, sealed_sign_ins, users
from entrada.storage.storable import grants_in_order, identities_in_order, verified_email_key

ENDING = "manual until"
"""The source, as it is written, of a manual grant with an end: versions without ends know no such source."""
KNOWN_SOURCES = {source.value: source for source in GrantSource} | {ENDING: GrantSource.MANUAL}
"""A grant from any other source, which a newer version may have written, counts for nothing here."""


def users_in(some: FromClause) -> Select[Any]:
    """Each row holds a user, one of its identities and one of its grants; `some` has the columns of users."""
    return select(
        some.c.id,
        some.c.name,
        some.c.email,
        some.c.username,
        some.c.is_guest,
        some.c.email_is_verified,
        some.c.created_at,
        some.c.disabled_at,
        identities.c.tenant_id,
        identities.c.object_id,
        identities.c.linked_at,
        identities.c.last_sign_in_at,
        identities.c.membership,
        role_grants.c.role,
        role_grants.c.source,
        role_grants.c.granted_by,
        role_grants.c.granted_at,
        role_grants.c.ends_at,
    ).select_from(
        some.outerjoin(identities, identities.c.user_id == some.c.id).outerjoin(
            role_grants, role_grants.c.user_id == some.c.id
        )
    )


def users_where(condition: ColumnElement[bool]) -> Select[Any]:
    """Those users, by id."""
    return users_in(users).where(condition).order_by(users.c.id)


THIS_IDENTITY = (identities.c.tenant_id == bindparam("tid")) & (identities.c.object_id == bindparam("oid"))

GET = users_where(users.c.id == bindparam("user_id"))
FIND_BY_IDENTITY = users_where(
    users.c.id == select(identities.c.user_id).where(THIS_IDENTITY).scalar_subquery()
)
FIND_BY_VERIFIED_EMAIL = users_where(users.c.verified_email_key == bindparam("key"))
LIST = users_where(
    users.c.id.in_(
        select(users.c.id)
        .where(users.c.id > bindparam("after"))
        .order_by(users.c.id)
        .limit(bindparam("at_most"))
    )
)

BY_IDS = users_where(users.c.id.in_(bindparam("ids", expanding=True)))
DELETE = (
    delete(sealed_sign_ins).where(sealed_sign_ins.c.user_id == bindparam("user_id")),
    delete(role_grants).where(role_grants.c.user_id == bindparam("user_id")),
    delete(identities).where(identities.c.user_id == bindparam("user_id")),
    delete(users).where(users.c.id == bindparam("user_id")),
)

ADD_USER = insert(users)
ADD_IDENTITY = insert(identities)
ADD_GRANT = insert(role_grants)
SET_PROFILE = (
    update(users)
    .where(users.c.id == bindparam("user_id"))
    .values(
        {
            name: bindparam(name)
            for name in ("name", "email", "username", "is_guest", "email_is_verified", "verified_email_key")
        }
    )
)
SET_DISABLED = (
    update(users).where(users.c.id == bindparam("user_id")).values(disabled_at=bindparam("disabled_at"))
)
SET_LAST_SIGN_IN = update(identities).where(THIS_IDENTITY).values(last_sign_in_at=bindparam("now"))
SET_MEMBERSHIP = update(identities).where(THIS_IDENTITY).values(membership=bindparam("written"))
DROP_GRANT = delete(role_grants).where(
    role_grants.c.user_id == bindparam("user_id"),
    role_grants.c.role == bindparam("role"),
    role_grants.c.source == bindparam("source"),
)


WITH_ENDED = (
    select(role_grants.c.user_id)
    .where(role_grants.c.ends_at <= bindparam("now"))
    .distinct()
    .limit(bindparam("at_most"))
)
ENDED_AT_ONCE = 100


def only_user(connection: Connection, statement: Select[Any], names: dict[str, str]) -> User | None:
    """The user whom the statement finds, if any."""
    found = users_of(connection.execute(statement, names))
    return found[0] if found else None


def users_of(rows: Iterable[Row[Any]]) -> list[User]:
    """The users in these rows, which are in the order of users."""
    return [user_of(list(of_one)) for _, of_one in groupby(rows, key=attrgetter("id"))]


def user_of(rows: Sequence[Row[Any]]) -> User:
    """The user whom all these rows are of."""
    row = rows[0]
    return User(
        id=row.id,
        profile=Profile(
            name=row.name,
            email=row.email,
            username=row.username,
            is_guest=row.is_guest,
            email_is_verified=row.email_is_verified,
        ),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        identities=identities_in_order({linked_of(row) for row in rows if row.tenant_id is not None}),
        grants=grants_in_order({grant_of(row) for row in rows if is_known(row)}),
    )


def linked_of(row: Row[Any]) -> LinkedIdentity:
    """The linked identity in a row of `users_in`."""
    return LinkedIdentity(
        identity=EntraIdentity(tenant_id=TenantId(row.tenant_id), object_id=ObjectId(row.object_id)),
        linked_at=row.linked_at,
        last_sign_in_at=row.last_sign_in_at,
        membership=read_membership(row.membership),
    )


def is_known(row: Row[Any]) -> bool:
    """Whether the row of `users_in` holds a grant that counts; whose source says so must have an end."""
    return row.source in KNOWN_SOURCES and (row.source != ENDING or row.ends_at is not None)


def grant_of(row: Row[Any]) -> RoleGrant:
    """The grant in a row of `users_in`; its source must be known."""
    return RoleGrant(
        role=row.role,
        source=KNOWN_SOURCES[row.source],
        granted_by=row.granted_by,
        granted_at=row.granted_at,
        until=row.ends_at,
    )


def names_of(identity: EntraIdentity) -> dict[str, str]:
    """An identity as the statements name it."""
    return {"tid": identity.tenant_id, "oid": identity.object_id}


def row_of(profile: Profile) -> dict[str, object]:
    """The columns of `entrada_user` that hold a profile."""
    return {
        "name": profile.name,
        "email": profile.email,
        "username": profile.username,
        "is_guest": profile.is_guest,
        "email_is_verified": profile.email_is_verified,
        "verified_email_key": verified_email_key(profile),
    }


def add_identity(connection: Connection, user_id: UserId, linked: LinkedIdentity) -> None:
    """Link an identity; IntegrityError if it is linked already."""
    connection.execute(
        ADD_IDENTITY,
        {
            "tenant_id": linked.identity.tenant_id,
            "object_id": linked.identity.object_id,
            "user_id": user_id,
            "linked_at": linked.linked_at,
            "last_sign_in_at": linked.last_sign_in_at,
            "membership": written(linked.membership),
        },
    )


def source_of(grant: RoleGrant) -> str:
    """The source as it is written."""
    return grant.source.value if grant.until is None else ENDING


def manual_grants(user: User | None, role: str) -> list[RoleGrant]:
    """Those of this role, by hand: one, or two where a version that knows no end has given one besides."""
    held = () if user is None else user.grants
    return [grant for grant in held if grant.role == role and grant.source is GrantSource.MANUAL]


def add_grants(connection: Connection, user_id: UserId, grants: Sequence[RoleGrant]) -> None:
    """Insert grants; none is no statement."""
    if grants:
        connection.execute(
            ADD_GRANT,
            [
                {
                    "user_id": user_id,
                    "role": grant.role,
                    "source": source_of(grant),
                    "granted_by": grant.granted_by,
                    "granted_at": grant.granted_at,
                    "ends_at": grant.until,
                }
                for grant in grants
            ],
        )


def drop_grants(connection: Connection, user_id: UserId, grants: Sequence[RoleGrant]) -> None:
    """Delete grants; none is no statement."""
    if grants:
        connection.execute(
            DROP_GRANT,
            [{"user_id": user_id, "role": grant.role, "source": source_of(grant)} for grant in grants],
        )
