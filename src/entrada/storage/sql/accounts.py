"""Accounts in SQL; how a user is written is in `account_rows`.

Whatever a live session must notice (a role, a profile, a disabled account) is entered into the log of what
ended in the transaction that changes it, and a disabled user's sessions end in it: no caller can forget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
)
from sqlalchemy.exc import IntegrityError

from entrada.accounts.administration import AdministrationRules
from entrada.accounts.groups import Membership, written
from entrada.accounts.identity import (
    EntraIdentity,
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
from entrada.errors import IdentityAlreadyLinked
from entrada.sessions.revocation import RevocationKind
from entrada.storage import recorded
from entrada.storage.sql.account_rows import (
    ADD_USER,
    BY_IDS,
    DELETE,
    ENDED_AT_ONCE,
    FIND_BY_IDENTITY,
    FIND_BY_VERIFIED_EMAIL,
    GET,
    LIST,
    SET_DISABLED,
    SET_LAST_SIGN_IN,
    SET_MEMBERSHIP,
    SET_PROFILE,
    WITH_ENDED,
    add_grants,
    add_identity,
    drop_grants,
    manual_grants,
    names_of,
    only_user,
    row_of,
    users_of,
)
from entrada.storage.sql.audit_entries import erase, note
from entrada.storage.sql.broker_grants import end_grants_of_user
from entrada.storage.sql.database import Database
from entrada.storage.sql.ended_tokens import end_tokens
from entrada.storage.sql.people import (
    find_called,
    find_lines,
    find_page,
    find_whole,
    has_administrator,
)
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.revocation import add_revocation
from entrada.storage.sql.sessions import drop_sessions
from entrada.storage.storable import (
    email_key,
    has_other_rights,
    is_called,
    is_linked,
    new_manual_grant,
    new_user,
    user_after_sign_in,
    with_grant,
    with_identity,
    with_membership,
    without_grant,
)

BY_ENTRA = Cause(actor=ENTRA)


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
            # On enabling, too: a sign-in that raced the disabling may have left one behind.
            ended = drop_sessions(connection, user_id) if disabled or not user.is_enabled else 0
            if disabled:
                end_grants_of_user(connection, user, now=now, cause=cause)
                end_tokens(connection, user, now=now)
            if disabled != user.is_enabled:
                if ended:
                    note(connection, recorded.ending_of_user(user_id, ended=ended, cause=cause))
                return user
            connection.execute(SET_DISABLED, {"user_id": user_id, "disabled_at": disabled_at})
            if ended and not disabled:
                note(connection, recorded.ending_of_user(user_id, ended=ended, cause=cause))
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
            return self._all_now(find_page(connection, query, limit=limit, after=after))

    def list_lines(self) -> Sequence[tuple[str, str]]:
        with self._database.reading() as connection:
            return sorted(find_lines(connection))

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
