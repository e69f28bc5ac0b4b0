"""Accounts in memory, beside the sessions of `entrada.storage.memory_sessions`.

Everything is gone when the process ends, and no other process sees any of it.
Safe for threads. The values are frozen, so what is handed out cannot change what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from threading import Lock

from entrada.accounts.administration import AdministrationRules, tenant_administered_for_good
from entrada.accounts.groups import Membership
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
from entrada.errors import IdentityAlreadyLinked
from entrada.storage import recorded
from entrada.storage.memory_audit import MemoryAuditTrail
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.storage.storable import (
    email_key,
    has_other_rights,
    is_called,
    is_found_by,
    is_linked,
    manual_grant,
    new_manual_grant,
    new_user,
    user_after_recheck,
    user_after_sign_in,
    verified_email_key,
    with_grant,
    with_identity,
    with_membership,
    without_grant,
)


class MemoryAccountStore(AccountStore):
    """Accounts of this process.

    `sessions`, where given, is told of every change that a live session must notice, and loses the
    sessions of a user who is disabled, as it is when both share one SQL database.
    """

    def __init__(self, *, sessions: MemorySessionStore | None = None, clock: Clock | None = None) -> None:
        self.audit = MemoryAuditTrail() if sessions is None else sessions.audit
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._sessions = sessions
        self._users: dict[UserId, User] = {}
        self._owners: dict[EntraIdentity, UserId] = {}
        self.has_ended: Callable[[LinkedIdentity], bool] = lambda _: False
        """Whether Entra no longer answers for it since its last sign-in: `MemorySealedSignIns` knows."""
        self.end_tokens: Callable[[User, datetime], None] = lambda _user, _now: None
        """Access tokens of this user from before are over; called without our lock."""

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        with self._lock:
            owner = self._owners.get(identity)
            return self._now(self._users[owner]) if owner is not None else None

    def get(self, user_id: UserId) -> User | None:
        user = self._users.get(user_id)
        return None if user is None else self._now(user)

    def find_by_verified_email(self, email: str) -> Sequence[User]:
        key = email_key(email)
        with self._lock:
            found = [
                self._now(user) for user in self._users.values() if verified_email_key(user.profile) == key
            ]
        return sorted(found, key=lambda user: user.id)

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
        with self._lock:
            if identity in self._owners:
                raise IdentityAlreadyLinked
            if user_id in self._users:
                raise ValueError("a user with this id exists already")
            self._owners[identity] = user_id
            self._users[user_id] = user
            self.audit.record(*recorded.creation(user))
        return user

    def link(self, *, user_id: UserId, identity: EntraIdentity, now: datetime) -> User:
        with self._lock:
            user = self._existing(user_id)
            owner = self._owners.setdefault(identity, user_id)
            if owner != user_id:
                raise IdentityAlreadyLinked
            if is_linked(user, identity):
                return user
            self.audit.record(recorded.linking(user_id, identity, now=now))
            return self._replace(with_identity(user, LinkedIdentity(identity=identity, linked_at=now)))

    def record_sign_in(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> User:
        with self._lock:
            before = self._existing(user_id)
            after = user_after_sign_in(before, identity, profile, entra_grants, now)
            cause = Cause(actor=ENTRA, at=now, reason=recorded.SIGN_IN)
            self.audit.record(*recorded.grants(before, after, cause))
            return self._now(self._replace(after, note=is_news(before, after)))

    def record_groups(self, *, user_id: UserId, identity: EntraIdentity, membership: Membership) -> User:
        with self._lock:
            before = self._existing(user_id)
            if not is_linked(before, identity):
                raise LookupError("this identity is not linked to this user")
            after = with_membership(before, identity, membership)
            return self._now(self._replace(after, note=is_news(before, after)))

    def record_recheck(
        self,
        user_id: UserId,
        *,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        membership: Membership,
    ) -> None:
        """What Entra says between two sign-ins. See `SealedSignIns.renew`."""
        with self._lock:
            before = self._users.get(user_id)
            if before is not None:
                after = user_after_recheck(before, identity, profile, entra_grants, membership)
                self.audit.record(*recorded.grants(before, after, recorded.BY_RECHECK))
                self._replace(after, note=is_news(before, after))

    def set_disabled(
        self,
        user_id: UserId,
        *,
        disabled: bool,
        now: datetime,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        cause = replace(cause, at=now)
        changed = self._set_disabled(user_id, disabled=disabled, now=now, cause=cause, rules=rules)
        if changed is not None and disabled:
            self.end_tokens(changed, now)
        return changed

    def _set_disabled(
        self,
        user_id: UserId,
        *,
        disabled: bool,
        now: datetime,
        cause: Cause,
        rules: AdministrationRules | None,
    ) -> User | None:
        with self._lock:
            user = self._users.get(user_id)
            if user is None:
                return None
            self._check(rules, user, replace(user, disabled_at=now if disabled else None))
            ended = self._drop_sessions(user_id) if disabled or not user.is_enabled else 0
            if disabled != user.is_enabled:
                if ended:
                    self.audit.record(recorded.ending_of_user(user_id, ended=ended, cause=cause))
                return user
            if ended and not disabled:
                self.audit.record(recorded.ending_of_user(user_id, ended=ended, cause=cause))
            self.audit.record(recorded.disabling(user_id, disabled=disabled, ended=ended, cause=cause))
            return self._replace(replace(user, disabled_at=now if disabled else None), note=True)

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
        with self._lock:
            user = self._users.get(user_id)
            held = manual_grant(user, role)
            if user is None or (held is not None and held.until == until):
                return user
            self._check(rules, user, with_grant(user, grant))
            cause = replace(cause, at=now)
            self.audit.record(recorded.grant_act(Action.ROLE_GRANTED, user_id, grant, cause))
            return self._replace(with_grant(user, grant), note=True)

    def revoke_role(
        self,
        user_id: UserId,
        *,
        role: str,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        with self._lock:
            user = self._users.get(user_id)
            lost = manual_grant(user, role)
            if user is None or lost is None:
                return user
            self._check(rules, user, without_grant(user, lost))
            self.audit.record(recorded.grant_act(Action.ROLE_REVOKED, user_id, lost, cause))
            return self._replace(without_grant(user, lost), note=True)

    def end_grants(self, *, now: datetime) -> int:
        ended = 0
        with self._lock:
            for user in [each for each in self._users.values() if each.at(now) is not each]:
                lost = [grant for grant in user.grants if grant.has_ended(now)]
                self.audit.record(*recorded.endings_of_roles(user.id, lost, now=now))
                self._replace(user.at(now), note=True)
                ended += len(lost)
        return ended

    def delete(
        self, user_id: UserId, *, cause: Cause = BY_ENTRADA, rules: AdministrationRules | None = None
    ) -> User | None:
        with self._lock:
            user = self._users.get(user_id)
            if user is None:
                return None
            self._check(rules, user, None)
            del self._users[user_id]
            for linked in user.identities:
                self._owners.pop(linked.identity, None)
            ended = self._drop_sessions(user_id)
            if self._sessions is not None and not ended:
                self._sessions.note_rights_changed(user_id)  # access tokens are remembered without a session
            self.audit.erase(user)
            self.audit.record(recorded.deletion(user_id, ended=ended, cause=cause))
            return user

    def _check(self, rules: AdministrationRules | None, before: User, after: User | None) -> None:
        if rules is not None:
            others = [
                user
                for user in self._users.values()
                if user.id != before.id and not all(map(self.has_ended, user.identities))
            ]
            rules.check(
                before,
                after,
                get=self.get,
                has_another=lambda tenant_id: any(
                    tenant_administered_for_good(user, rules.roles) == tenant_id for user in others
                ),
            )

    def _drop_sessions(self, user_id: UserId) -> int:
        return 0 if self._sessions is None else self._sessions.drop_sessions(user_id)

    def _now(self, user: User) -> User:
        return user.at(self._clock.now())

    def search(self, text: str, *, limit: int = 20) -> Sequence[User]:
        with self._lock:
            found = [self._now(user) for user in self._users.values() if is_found_by(user, text)]
        return sorted(found, key=lambda user: (not is_called(user, text), user.id))[:limit]

    def find_whole(self, text: str, *, limit: int = 20) -> Sequence[User]:
        with self._lock:
            return [self._now(user) for user in self._users.values() if is_called(user, text)][:limit]

    def find_people(
        self, query: PeopleQuery, *, limit: int = 50, after: UserId | None = None
    ) -> Sequence[User]:
        with self._lock:
            last = None if after is None else self._users.get(after)
            if after is not None and last is None:
                return []
            everybody = map(self._now, self._users.values())
            found = sorted((user for user in everybody if self._fits(user, query)), key=by_name)
            return [user for user in found if last is None or by_name(user) > by_name(last)][:limit]

    def list_lines(self) -> Sequence[tuple[str, str]]:
        with self._lock:
            grants = [grant for user in self._users.values() for grant in user.grants]
        return sorted({(each.granted_by, each.role) for each in grants if each.source is GrantSource.ENTRA})

    def _fits(self, user: User, query: PeopleQuery) -> bool:
        at = query.signed_in_at
        return (
            (not query.text or is_found_by(user, query.text))
            and query.role in (None, *user.roles)
            and (query.given_for is None or _is_given_for(user, query.given_for))
            and query.is_enabled in (None, user.is_enabled)
            and query.tenant_id in (None, *(linked.identity.tenant_id for linked in user.identities))
            and (at is None or (self._sessions is not None and self._sessions.has_session(user.id, now=at)))
        )

    def list_users(self, *, limit: int = 100, after: UserId | None = None) -> Sequence[User]:
        with self._lock:
            ids = sorted(user_id for user_id in self._users if after is None or user_id > after)
            return [self._now(self._users[user_id]) for user_id in ids[:limit]]

    def _existing(self, user_id: UserId) -> User:
        if user_id not in self._users:
            raise LookupError("there is no user with this id")
        return self._users[user_id]

    def _replace(self, user: User, *, note: bool = False) -> User:
        self._users[user.id] = user
        if note and self._sessions is not None:
            self._sessions.note_rights_changed(user.id)
        return user


def by_name(user: User) -> tuple[str, str]:
    """The order in which `find_people` lists."""
    return email_key(user.profile.name), user.id


def _is_given_for(user: User, reasons: frozenset[str]) -> bool:
    given = {grant.granted_by for grant in user.grants if grant.source is GrantSource.ENTRA}
    return bool(given & reasons) if reasons else not given


def is_news(before: User, after: User) -> bool:
    """Whether live sessions must learn of the difference."""
    return after.profile != before.profile or has_other_rights(before, after)
