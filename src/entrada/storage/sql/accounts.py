"""Accounts in SQL.

A user is read in one statement with identities and grants, so it is of one moment.
Whatever a live session must notice (a role, a profile, a disabled account) is entered into the log of what
ended in the transaction that changes it, and a disabled user's sessions end in it: no caller can forget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from entrada.accounts.administration import AdministrationRules
from entrada.accounts.groups import Membership, read_membership, written
from entrada.accounts.identity import (
    EntraIdentity,
    GrantSource,
    LinkedIdentity,
    Profile,
    RoleGrant,
    User,
    UserId,
)
from entrada.accounts.people import PeopleQuery
from entrada.accounts.store import AccountStore
from entrada.audit.acts import BY_ENTRADA, ENTRA, Action, Cause
from entrada.clock import Clock, SystemClock
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.errors import IdentityAlreadyLinked
from entrada.sessions.revocation import RevocationKind
from entrada.storage import recorded
from entrada.storage.sql.audit_entries import erase, note
from entrada.storage.sql.broker_grants import end_grants_of_user
from entrada.storage.sql.database import Database
from entrada.storage.sql.people import LINES, find_called, find_ids, find_whole, has_administrator
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.revocation import add_revocation
from entrada.storage.sql.sessions import drop_sessions
from entrada.storage.sql.tables import identities, role_grants, sealed_sign_ins, users
from entrada.storage.storable import (
    email_key,
    grants_in_order,
    has_other_rights,
    identities_in_order,
    is_called,
    is_linked,
    new_manual_grant,
    new_user,
    user_after_sign_in,
    verified_email_key,
    with_grant,
    with_identity,
    with_membership,
    without_grant,
)

BY_ENTRA = Cause(actor=ENTRA)
ENDING = "manual until"
"""The source, as it is written, of a manual grant with an end: versions without ends know no such source."""
KNOWN_SOURCES = {source.value: source for source in GrantSource} | {ENDING: GrantSource.MANUAL}
"""A grant from any other source, which a newer version may have written, counts for nothing here."""


def users_where(condition: ColumnElement[bool]) -> Select[Any]:
    """Each row holds a user, one of its identities and one of its grants."""
    return (
        select(
            users.c.id,
            users.c.name,
            users.c.email,
            users.c.username,
            users.c.is_guest,
            users.c.email_is_verified,
            users.c.created_at,
            users.c.disabled_at,
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
        )
        .select_from(
            users.outerjoin(identities, identities.c.user_id == users.c.id).outerjoin(
                role_grants, role_grants.c.user_id == users.c.id
            )
        )
        .where(condition)
        .order_by(users.c.id)
    )


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


@repeats_transactions
class SqlAccountStore(AccountStore):
    """Accounts in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        with self._database.reading() as connection:
            return self._now(only_user(connection, FIND_BY_IDENTITY, names_of(identity)))

    def get(self, user_id: UserId) -> User | None:
        with self._database.reading() as connection:
            return self._now(only_user(connection, GET, {"user_id": user_id}))

    def find_by_verified_email(self, email: str) -> Sequence[User]:
        with self._database.reading() as connection:
            return self._all_now(connection.execute(FIND_BY_VERIFIED_EMAIL, {"key": email_key(email)}))

    def create(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant],
        now: datetime,
    ) -> User:
        user = new_user(user_id, identity, profile, entra_grants, now)
        try:
            with self._database.writing() as connection:
                connection.execute(ADD_USER, {"id": user_id, "created_at": now, **row_of(user.profile)})
                add_identity(connection, user_id, user.identities[0])
                add_grants(connection, user_id, user.grants)
                note(connection, *recorded.creation(user))
        except IntegrityError:
            if self.find_by_identity(identity) is not None:
                raise IdentityAlreadyLinked from None
            raise ValueError("a user with this id exists already") from None
        return user

    def link(self, *, user_id: UserId, identity: EntraIdentity, now: datetime) -> User:
        linked = LinkedIdentity(identity=identity, linked_at=now)
        try:
            with self._database.writing() as connection:
                user = self._held(connection, user_id)
                if is_linked(user, identity):
                    return user
                add_identity(connection, user_id, linked)
                note(connection, recorded.linking(user_id, identity, now=now))
        except IntegrityError:
            raise IdentityAlreadyLinked from None
        return with_identity(user, linked)

    def record_sign_in(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> User:
        with self._database.writing() as connection:
            before = self._held(connection, user_id)
            after = user_after_sign_in(before, identity, profile, entra_grants, now)
            connection.execute(SET_LAST_SIGN_IN, {**names_of(identity), "now": now})
            cause = Cause(actor=ENTRA, at=now, reason=recorded.SIGN_IN)
            change_user(connection, before, after, cause=cause)
        return after.at(self._clock.now())

    def record_groups(self, *, user_id: UserId, identity: EntraIdentity, membership: Membership) -> User:
        with self._database.writing() as connection:
            before = self._held(connection, user_id)
            if not is_linked(before, identity):
                raise LookupError("this identity is not linked to this user")
            after = with_membership(before, identity, membership)
            change_user(connection, before, after, cause=BY_ENTRA)
        return after.at(self._clock.now())

    def set_disabled(
        self,
        user_id: UserId,
        *,
        disabled: bool,
        now: datetime,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        disabled_at, cause = now if disabled else None, replace(cause, at=now)
        with self._database.writing() as connection:
            user = self._held_or_none(connection, user_id)
            if user is None:
                return None
            self._check(connection, rules, user, replace(user, disabled_at=disabled_at))
            ended = drop_sessions(connection, user_id) if disabled else 0
            if disabled:
                end_grants_of_user(connection, user, now=now, cause=cause)
            if disabled != user.is_enabled:
                if ended:
                    note(connection, recorded.ending_of_user(user_id, ended=ended, cause=cause))
                return user
            connection.execute(SET_DISABLED, {"user_id": user_id, "disabled_at": disabled_at})
            note(connection, recorded.disabling(user_id, disabled=disabled, ended=ended, cause=cause))
            add_revocation(connection, RevocationKind.RIGHTS, user_id)
        return replace(user, disabled_at=disabled_at)

    def grant_role(
        self,
        user_id: UserId,
        *,
        role: str,
        granted_by: str,
        now: datetime,
        until: datetime | None = None,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        grant = new_manual_grant(role, granted_by=granted_by, now=now, until=until)
        with self._database.writing() as connection:
            user = self._held_or_none(connection, user_id)
            held = manual_grants(user, role)
            if user is None or [each.until for each in held] == [until]:
                return user
            self._check(connection, rules, user, with_grant(user, grant))
            drop_grants(connection, user_id, held)
            add_grants(connection, user_id, [grant])
            given = recorded.grant_act(Action.ROLE_GRANTED, user_id, grant, replace(cause, at=now))
            note(connection, given)
            add_revocation(connection, RevocationKind.RIGHTS, user_id)
        return with_grant(user, grant)

    def revoke_role(
        self,
        user_id: UserId,
        *,
        role: str,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        with self._database.writing() as connection:
            user = self._held_or_none(connection, user_id)
            held = manual_grants(user, role)
            if user is None or not held:
                return user
            lost = held[0]
            self._check(connection, rules, user, without_grant(user, lost))
            drop_grants(connection, user_id, held)
            note(connection, recorded.grant_act(Action.ROLE_REVOKED, user_id, lost, cause))
            add_revocation(connection, RevocationKind.RIGHTS, user_id)
        return without_grant(user, lost)

    def end_grants(self, *, now: datetime) -> int:
        ended = 0
        with self._database.reading() as connection:
            found = connection.execute(WITH_ENDED, {"now": now, "at_most": ENDED_AT_ONCE}).scalars().all()
        for user_id in found:
            with self._database.writing() as connection:
                user = self._held_or_none(connection, UserId(user_id))
                lost = [grant for grant in user.grants if grant.has_ended(now)] if user is not None else []
                if lost:
                    drop_grants(connection, UserId(user_id), lost)
                    note(connection, *recorded.endings_of_roles(UserId(user_id), lost, now=now))
                    add_revocation(connection, RevocationKind.RIGHTS, user_id)
            ended += len(lost)
        return ended

    def delete(
        self, user_id: UserId, *, cause: Cause = BY_ENTRADA, rules: AdministrationRules | None = None
    ) -> User | None:
        with self._database.writing() as connection:
            user = self._held_or_none(connection, user_id)
            if user is not None:
                self._check(connection, rules, user, None)
                ended = drop_sessions(connection, user_id)
                now = cause.at or datetime.now(UTC)
                end_grants_of_user(connection, user, now=now, cause=cause, is_forgotten=True)
                if not ended:  # access tokens are remembered without a session
                    add_revocation(connection, RevocationKind.RIGHTS, user_id)
                for statement in DELETE:
                    connection.execute(statement, {"user_id": user_id})
                erase(connection, user)
                note(connection, recorded.deletion(user_id, ended=ended, cause=cause))
        if user is not None:
            self._database.erased()
        return user

    def search(self, text: str, *, limit: int = 20) -> Sequence[User]:
        with self._database.reading() as connection:
            found = self._by_ids(connection, find_called(connection, text, limit=limit))
        return sorted(found, key=lambda user: not is_called(user, text))

    def find_whole(self, text: str, *, limit: int = 20) -> Sequence[User]:
        with self._database.reading() as connection:
            found = self._by_ids(connection, find_whole(connection, text, limit=limit))
        return [user for user in found if is_called(user, text)]

    def find_people(
        self, query: PeopleQuery, *, limit: int = 50, after: UserId | None = None
    ) -> Sequence[User]:
        with self._database.reading() as connection:
            return self._by_ids(connection, find_ids(connection, query, limit=limit, after=after))

    def list_lines(self) -> Sequence[tuple[str, str]]:
        with self._database.reading() as connection:
            return sorted((row.granted_by, row.role) for row in connection.execute(LINES))

    def list_users(self, *, limit: int = 100, after: UserId | None = None) -> Sequence[User]:
        with self._database.reading() as connection:
            return self._all_now(connection.execute(LIST, {"after": after or "", "at_most": limit}))

    def _check(
        self, connection: Connection, rules: AdministrationRules | None, before: User, after: User | None
    ) -> None:
        """Before anything else is written, so that two such changes wait for each other here alone."""
        if rules is None:
            return
        self._database.hold_administration(connection)
        rules.check(
            before,
            after,
            get=lambda user_id: self._now(only_user(connection, GET, {"user_id": user_id})),
            has_another=lambda tenant_id: has_administrator(
                connection, tenant_id, rules.roles, beside=before.id
            ),
        )

    def _now(self, user: User | None) -> User | None:
        return None if user is None else user.at(self._clock.now())

    def _all_now(self, rows: Iterable[Row[Any]]) -> Sequence[User]:
        now = self._clock.now()
        return [user.at(now) for user in users_of(rows)]

    def _by_ids(self, connection: Connection, ids: Sequence[UserId]) -> Sequence[User]:
        found = {user.id: user for user in self._all_now(connection.execute(BY_IDS, {"ids": ids}))}
        return [found[user_id] for user_id in ids if user_id in found]

    def _held(self, connection: Connection, user_id: UserId) -> User:
        user = self._held_or_none(connection, user_id)
        if user is None:
            raise LookupError("there is no user with this id")
        return user

    def _held_or_none(self, connection: Connection, user_id: UserId) -> User | None:
        self._database.hold_user(connection, user_id)
        return only_user(connection, GET, {"user_id": user_id})


def change_user(connection: Connection, before: User, after: User, *, cause: Cause) -> None:
    """Profile, grants and groups as they are now, and the entry by which live sessions learn of it.

    Each role that came or went is written into the audit trail.
    """
    profile_changed = row_of(after.profile) != row_of(before.profile)
    if profile_changed:
        connection.execute(SET_PROFILE, {"user_id": after.id, **row_of(after.profile)})
    if after.grants != before.grants:
        drop_grants(connection, after.id, [grant for grant in before.grants if grant not in after.grants])
        add_grants(connection, after.id, [grant for grant in after.grants if grant not in before.grants])
        note(connection, *recorded.grants(before, after, cause))
    for linked in after.identities:
        if linked.membership != before.membership_of(linked.identity):
            names = {**names_of(linked.identity), "written": written(linked.membership)}
            connection.execute(SET_MEMBERSHIP, names)
    if profile_changed or has_other_rights(before, after):
        add_revocation(connection, RevocationKind.RIGHTS, after.id)


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
    """The linked identity in a row of `users_where`."""
    return LinkedIdentity(
        identity=EntraIdentity(tenant_id=TenantId(row.tenant_id), object_id=ObjectId(row.object_id)),
        linked_at=row.linked_at,
        last_sign_in_at=row.last_sign_in_at,
        membership=read_membership(row.membership),
    )


def is_known(row: Row[Any]) -> bool:
    """Whether the row of `users_where` holds a grant that counts; whose source says so must have an end."""
    return row.source in KNOWN_SOURCES and (row.source != ENDING or row.ends_at is not None)


def grant_of(row: Row[Any]) -> RoleGrant:
    """The grant in a row of `users_where`; its source must be known."""
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
