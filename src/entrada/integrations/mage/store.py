"""Mage's database, one method a transaction: what the walk, other sign-ins and the re-check need of it.

Our own connections, taken from Mage's engine: Mage's sessions belong to its threads. A sign-in and all that
it changes is one transaction: user, roles, link, sealed sign-in and token are there together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine, inspect, select
from sqlalchemy.exc import IntegrityError

from entrada.accounts.admission import AdmissionPolicy, Newcomer, admit
from entrada.accounts.identity import EntraIdentity, RoleGrant, User
from entrada.clock import Clock
from entrada.errors import StoreUnavailable
from entrada.flows.identification import Identified
from entrada.integrations.kit import links
from entrada.integrations.kit.directory import LinkedDirectory
from entrada.integrations.kit.links import Link
from entrada.integrations.mage import sessions
from entrada.integrations.mage.sessions import EndedSession, MageToken, OpenSession
from entrada.integrations.mage.tables import (
    MageTables,
    application_id,
    create_tables,
    find_user,
    key_of,
)
from entrada.integrations.mage.users import MageUsers
from entrada.storage.sql.failures import failures_named

T = TypeVar("T")
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class MageStore:
    """Also a `SpentSignIns` and a `RecheckStore`. `break_glass` are names in lower case."""

    engine: Engine
    tables: MageTables
    clock: Clock
    break_glass: frozenset[str] = frozenset()

    def create_tables(self) -> None:
        """Raises:
        StoreUnavailable: the database does not answer, or does not let us.
        """
        self._in_transaction(create_tables)

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        """True for the first caller with this id, False for every later one."""
        now = self.clock.now()
        return self._in_transaction(
            lambda connection: links.spend_sign_in(connection, sign_in_id, expires_at=expires_at, now=now)
        )

    def sign_in(
        self,
        identified: Identified,
        *,
        admission: AdmissionPolicy,
        sealed_sign_in: str | None,
        next_check_at: datetime,
        expires_at: datetime,
        replaces: str | None,
    ) -> tuple[User, MageToken]:
        """Admit this person and open a session. `replaces` is the token this browser had until now.

        Raises:
            AdmissionRefused: not let in; nothing was created or changed.
            StoreUnavailable: see the tree.
        """
        newcomer, now = identified.newcomer, self.clock.now()

        def carry_out(connection: Connection) -> tuple[User, MageToken]:
            user = admit(newcomer, policy=admission, accounts=self._users(connection), now=now)
            links.keep_sign_in(
                connection,
                newcomer.identity,
                sealed_sign_in=sealed_sign_in,
                next_check_at=next_check_at,
            )
            if replaces is not None:
                sessions.end_session(connection, self.tables, replaces)
            token = sessions.open_session(
                connection,
                self.tables,
                user_id=user.id,
                identity=newcomer.identity,
                entra_session_id=identified.id_token.session_id,
                logout_hint=identified.id_token.login_hint,
                expires_at=expires_at,
            )
            return user, token

        return self._in_transaction(carry_out)

    def note_session(self, token: str, *, expires_at: datetime) -> bool:
        """A session that Mage's own sign-in opened counts from now on; False where there is none such."""
        now = self.clock.now()

        def carry_out(connection: Connection) -> bool:
            try:
                sessions.note_session(connection, self.tables, token, expires_at=expires_at, now=now)
            except LookupError:
                return False
            return True

        return self._in_transaction(carry_out)

    def open_sessions(self, tokens: Collection[str]) -> Sequence[OpenSession]:
        """Those of the tokens that open Mage now."""
        now = self.clock.now()
        return self._in_transaction(
            lambda connection: sessions.find_open(connection, self.tables, tokens, now=now)
        )

    def is_open(self, token: str, user_number: int | None) -> bool:
        """Whether this token opens Mage now, for this user. No answer is no."""
        try:
            found = self.open_sessions([token])
        except StoreUnavailable:
            return False
        return [session.user_number for session in found] == [user_number]

    def is_session_token(self, text: str) -> bool:
        """Whether this text is the token of a session."""
        return self._in_transaction(
            lambda connection: sessions.is_session_token(connection, self.tables, text)
        )

    def end_session(self, token: str) -> EndedSession | None:
        """End one session; what is needed to end it at Entra, too, or None if there was none."""
        return self._in_transaction(lambda connection: sessions.end_session(connection, self.tables, token))

    def end_by_entra_session(self, entra_session_id: str) -> int:
        """End every session with this `sid`; how many there were."""
        return self._in_transaction(
            lambda connection: sessions.end_by_entra_session(connection, self.tables, entra_session_id)
        )

    def end_foreign_sessions(self) -> int:
        """Every session that Entra did not open ends, but those of the owners for an emergency.

        A database that Mage has not started on yet holds none.
        """

        def look(connection: Connection) -> int:
            if not inspect(connection).has_table(self.tables.access_tokens.name):
                return 0
            try:
                return sessions.end_foreign(
                    connection, self.tables, kept=self.break_glass, now=self.clock.now()
                )
            except StoreUnavailable:
                return 0  # no application yet, so no session either

        return self._in_transaction(look)

    def access_is_over(self, user_number: int) -> bool:
        """Whether Entra has ended this user's access: everyone linked to them, and there is somebody."""

        def look(connection: Connection) -> bool:
            row = connection.execute(
                select(self.tables.users).where(self.tables.users.c.id == user_number)
            ).one_or_none()
            found = [] if row is None else links.links_of(connection, key_of(row))
            return bool(found) and all(link.ended_at is not None for link in found)

        return self._in_transaction(look)

    def unknown_roles(self, names: Sequence[str]) -> Sequence[str]:
        """Those of the names that are no role in Mage.

        Raises:
            StoreUnavailable: also as long as Mage has not finished starting, and made its own roles.
        """
        roles = self.tables.roles

        def look(connection: Connection) -> set[str]:
            application_id(connection, self.tables)
            return set(connection.execute(select(roles.c.name).where(roles.c.name.in_(names))).scalars())

        return sorted(set(names) - self._in_transaction(look))

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> Link | None:
        """See `RecheckStore`."""
        return self._in_transaction(
            lambda connection: links.claim_due(connection, now=now, next_check_at=next_check_at)
        )

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`."""
        return self._in_transaction(lambda connection: self._users(connection).find_by_identity(identity))

    def renew(
        self,
        link: Link,
        *,
        newcomer: Newcomer,  # noqa: ARG002  # Mage shows nothing of a profile but names
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        """See `RecheckStore`."""

        def carry_out(connection: Connection) -> None:
            row = find_user(connection, self.tables, link.user_id)
            if row is None or not links.renew_link(
                connection, link, sealed_sign_in=sealed_sign_in, next_check_at=next_check_at
            ):
                return
            if entra_grants is not None:
                self._users(connection).apply_grants(row, entra_grants)

        self._in_transaction(carry_out)

    def end_access(self, link: Link, *, because: str, now: datetime) -> bool:
        """Every session of the user ends, and `access_is_over` keeps the password from opening another."""

        def carry_out(connection: Connection) -> bool:
            if not links.end_link(connection, link, because=because, now=now):
                return False
            row = find_user(connection, self.tables, link.user_id)
            if row is not None:
                sessions.end_of_user(connection, self.tables, row.id)
            return True

        return self._in_transaction(carry_out)

    @property
    def directory(self) -> LinkedDirectory:
        """For whoever watches who leaves."""
        return LinkedDirectory(transaction=self._in_transaction, end=self.end_access)

    def forget_expired(self) -> None:
        """Delete what is past its limit: sessions and spent sign-ins."""
        now = self.clock.now()
        self._in_transaction(lambda connection: sessions.forget_expired(connection, now=now))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """For the commands that look at everyone. All of it is committed, or nothing.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        try:
            with failures_named(), self.engine.begin() as connection:
                yield connection
        except StoreUnavailable as failure:
            if failure.__cause__ is None:
                raise  # ours, about what the database holds
            raise StoreUnavailable(
                "Mage's database did not answer.",
                hint="Try again in a moment. If this stays, look at Mage's log and at its database.",
            ) from failure.__cause__

    def _in_transaction(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives. Where another sign-in took the same name meanwhile, once more from the start."""
        for _ in range(_TRIES - 1):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except IntegrityError:
                continue
        try:
            with self.transaction() as connection:
                return work(connection)
        except IntegrityError as failure:
            raise StoreUnavailable("Mage's database is busy with other sign-ins.") from failure

    def _users(self, connection: Connection) -> MageUsers:
        return MageUsers(connection=connection, tables=self.tables, break_glass=self.break_glass)


def check_interval(every: timedelta) -> timedelta:
    """How often to see whether anyone is due: often enough that `every` means what it says."""
    return min(max(every / 10, timedelta(seconds=1)), timedelta(seconds=30))
