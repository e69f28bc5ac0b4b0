"""The people of dstack as the walks see them: dstack's own users, and our links beside them.

One object for both walks, a sign-in (`AdmissionStore`, `SpentSignIns`) and a re-check (`RecheckStore`).
Each method is called in a thread of ours and is one transaction of dstack's database: a user, the link and
the roles change together. A user's id is dstack's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from entrada.accounts.admission import Newcomer
from entrada.accounts.identity import EntraIdentity, Profile, RoleGrant, User, UserId
from entrada.clock import Clock
from entrada.errors import AccountDisabled
from entrada.integrations.dstack import users
from entrada.integrations.dstack.leavers import Leavers
from entrada.integrations.dstack.loop_database import LoopDatabase
from entrada.integrations.dstack.members import give_roles
from entrada.integrations.kit import links
from entrada.integrations.kit.directory import LinkedDirectory
from entrada.integrations.kit.links import Link

_SESSION_LIFE = timedelta(days=60)
"""How long a sign-in can be named by a broker: twice as long as one lives there that nobody refreshes."""

DELETED_AT_ONCE = 100
"""Links to users deleted in dstack that one transaction ends; a later look ends the rest."""


@dataclass(frozen=True, kw_only=True)
class ForRecheck:
    """What is stored of a sign-in for the next look, in the transaction that admits the person.

    `session_id` is what a broker's back channel will call it; None: nobody calls.
    """

    sealed_sign_in: str | None = field(repr=False)
    next_check_at: datetime
    session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class DstackStore:
    database: LoopDatabase
    clock: Clock
    for_recheck: ForRecheck | None = None
    leavers: Leavers | None = None
    """What else ends with somebody's access; None: nothing."""

    # A sign-in

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        """See `SpentSignIns`."""
        now = self.clock.now()
        return self.database.wait_for(
            self.database.transaction(
                lambda s: links.spend_sign_in(s.connection(), sign_in_id, expires_at=expires_at, now=now)
            )
        )

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`. Whom a re-check deactivated counts as enabled.

        Raises:
            AccountDisabled: an administrator deleted that user. A sign-in does not bring anybody back.
        """

        def work(session: Session) -> User | None:
            link = links.find_link(session.connection(), identity)
            if link is None:
                return None
            user = users.user_of(session, self.database.hooks, link.user_id)
            if user is None or user.deleted:
                raise AccountDisabled(
                    "Your account in dstack was deleted.",
                    hint="An administrator of the server can let you in anew: "
                    f"entrada dstack forget {link.username or link.email or link.identity.object_id}",
                )
            return users.as_user(session, self.database.hooks, user)

        return self.database.wait_for(self.database.transaction(work))

    def find_by_verified_email(self, email: str) -> Sequence[User]:
        """See `AdmissionStore`: the active users with that address, none if one of them is linked already."""
        return self.database.wait_for(
            self.database.transaction(lambda s: users.unlinked_by_email(s, self.database.hooks, email))
        )

    def create(
        self,
        *,
        user_id: UserId,  # noqa: ARG002  # dstack makes its own
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant],
        now: datetime,
    ) -> User:
        """See `AdmissionStore`."""

        def ride_along(session: Session, user: users.DstackUser) -> User:
            connection, made_id = session.connection(), UserId(str(user.id))
            links.put_link(connection, identity, user_id=made_id, linked_by="sign-in", now=now)
            self._note_sign_in(session, user, identity, profile, entra_grants, now)
            return users.as_user(session, self.database.hooks, user)

        return self.database.wait_for(users.create(self.database, profile, identity, ride_along))

    def link(self, *, user_id: UserId, identity: EntraIdentity, now: datetime) -> User:
        """See `AdmissionStore`. Whoever held the user's token until now holds nothing from here on."""

        def work(session: Session) -> User:
            user = users.existing(session, self.database.hooks, user_id)
            is_new = links.find_link(session.connection(), identity) is None
            links.put_link(session.connection(), identity, user_id=user_id, linked_by="e-mail", now=now)
            if is_new:
                users.replace_token(self.database.hooks, user)
                users.note(
                    session,
                    self.database.hooks,
                    user,
                    "Token refreshed: linked to Microsoft Entra ID by e-mail",
                )
            return users.as_user(session, self.database.hooks, user)

        return self.database.wait_for(self.database.change(uuid.UUID(user_id), work))

    def record_sign_in(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> User:
        """See `AdmissionStore`. Ends what a re-check began: the user is active again."""

        def work(session: Session) -> User:
            user = users.existing(session, self.database.hooks, user_id)
            users.reactivate(session, self.database.hooks, user)
            users.follow_email(session, identity, user, profile)
            self._note_sign_in(session, user, identity, profile, entra_grants, now)
            return users.as_user(session, self.database.hooks, user)

        return self.database.wait_for(self.database.change(uuid.UUID(user_id), work))

    def _note_sign_in(
        self,
        session: Session,
        user: users.DstackUser,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> None:
        user_id = UserId(str(user.id))
        links.note_sign_in(session.connection(), identity, user_id=user_id, profile=profile, now=now)
        if entra_grants is not None:
            give_roles(session, self.database.hooks, user, entra_grants)
        if self.for_recheck is not None:
            links.keep_sign_in(
                session.connection(),
                identity,
                sealed_sign_in=self.for_recheck.sealed_sign_in,
                next_check_at=self.for_recheck.next_check_at,
            )
            if self.for_recheck.session_id is not None:
                links.note_session(
                    session.connection(),
                    self.for_recheck.session_id,
                    user_id=user_id,
                    expires_at=now + _SESSION_LIFE,
                    now=now,
                )

    # A broker's back channel

    def end_session(self, session_id: str) -> int:
        """The token that this sign-in and every other of that user hold is another one; 0 if it is nobody's.

        What the next look finds, that the sign-in has ended or the person has left, is for `end_access`.
        """

        found = self.database.wait_for(
            self.database.transaction(lambda s: links.user_of_session(s.connection(), session_id))
        )
        return 0 if found is None else self._sign_out(found, session_id)

    def _sign_out(self, user_id: UserId, session_id: str) -> int:
        def work(session: Session) -> int:
            connection = session.connection()
            user = users.user_of(session, self.database.hooks, user_id, hold=True)
            if links.user_of_session(connection, session_id) is None or user is None or user.deleted:
                return 0
            users.sign_out(session, self.database.hooks, user)
            return links.forget_sessions_of(connection, user_id)

        return self.database.wait_for(self.database.change(uuid.UUID(user_id), work))

    # A re-check

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> Link | None:
        """See `RecheckStore`. Nobody asks Entra about a user whom dstack's administrators deleted."""

        def work(session: Session) -> Link | None:
            for _ in range(DELETED_AT_ONCE):
                link = links.claim_due(session.connection(), now=now, next_check_at=next_check_at)
                if link is None:
                    return None
                user = users.user_of(session, self.database.hooks, link.user_id)
                if user is not None and not user.deleted:
                    return link
                links.end_link(session.connection(), link, because="deleted in dstack", now=now)
            return None

        return self.database.wait_for(self.database.transaction(work))

    def renew(
        self,
        link: Link,
        *,
        newcomer: Newcomer,  # noqa: ARG002  # dstack shows nothing else of a person
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        """See `RecheckStore`."""

        def work(session: Session) -> None:
            user = users.user_of(session, self.database.hooks, link.user_id, hold=True)
            renewed = links.renew_link(
                session.connection(), link, sealed_sign_in=sealed_sign_in, next_check_at=next_check_at
            )
            if renewed and user is not None and not user.deleted and entra_grants is not None:
                give_roles(session, self.database.hooks, user, entra_grants)

        self.database.wait_for(self.database.change(uuid.UUID(link.user_id), work))

    def end_access(self, link: Link, *, because: str, now: datetime) -> bool:
        """See `RecheckStore`: the user is deactivated, and the token that UI, CLI and API share is another.

        Whom an administrator deactivated before is not marked as ours: a sign-in must not undo that.
        """

        leavers = self.leavers
        pair = None if leavers is None else leavers.new_pair(link.username or link.user_id)

        def work(session: Session) -> bool:
            connection = session.connection()
            user = users.user_of(session, self.database.hooks, link.user_id, hold=True)
            by_hand = user is not None and not user.active and not users.is_shut_out(session, user)
            if not links.end_link(connection, link, because=because, now=now):
                return False
            if by_hand:
                users.forget_ended(session, link.user_id)
            elif user is not None and not user.deleted:
                users.shut_out(session, self.database.hooks, user)
                if leavers is not None:
                    leavers.take_keys(session, user, pair)
            return True

        ended = self.database.wait_for(self.database.change(uuid.UUID(link.user_id), work))
        if ended and leavers is not None:
            leavers.stop_runs(link.user_id)
        return ended

    @property
    def directory(self) -> LinkedDirectory:
        """For whoever watches who leaves."""

        def transaction(work: Callable[[Connection], Any]) -> Any:
            return self.database.wait_for(
                self.database.transaction(lambda session: work(session.connection()))
            )

        return LinkedDirectory(transaction=transaction, end=self.end_access)

    # dstack's own pages and administrators

    def credentials_of(self, user_id: UserId) -> bytes | None:
        """What dstack's own sign-in answers with, as JSON; None if that user may not enter (any more)."""

        def work(session: Session) -> bytes | None:
            hooks = self.database.hooks
            user = users.user_of(session, hooks, user_id)
            if user is None or user.deleted or not user.active:
                return None
            body: bytes = hooks.CustomJSONResponse(hooks.user_model_to_user_with_creds(user)).body
            return body

        return self.database.wait_for(self.database.transaction(work))

    async def note_changed_by_hand(self, name: str) -> None:
        """An administrator changed this user: from now on it is theirs to let in, not a sign-in's.

        Called on dstack's loop.
        """

        def work(session: Session) -> None:
            user_id = users.id_of(session, self.database.hooks, name)
            if user_id is not None:
                users.forget_ended(session, user_id)

        await self.database.transaction(work)
