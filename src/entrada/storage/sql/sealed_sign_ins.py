"""Sealed sign-ins in SQL, beside accounts and sessions.

Looking whether anybody is due reads and locks nothing. Of those who are due and have no session some hundreds
are forgotten in one statement, and some thousands in one call; beyond them one is looked for who has one.
Ending access, the sessions that end by it and the entry in the log of what ended are one transaction; so are
new roles and the entry that tells live sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, select, tuple_, update

from entrada.accounts.admission import Newcomer
from entrada.accounts.identity import EntraIdentity, RoleGrant, User, UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn, SealedSignIns
from entrada.entra.authority import ObjectId, TenantId
from entrada.sessions.revocation import RevocationKind
from entrada.storage import recorded
from entrada.storage.recorded import BY_RECHECK
from entrada.storage.sql.account_rows import FIND_BY_IDENTITY, GET, names_of, only_user
from entrada.storage.sql.accounts import change_user
from entrada.storage.sql.audit_entries import note
from entrada.storage.sql.database import Database
from entrada.storage.sql.ended_tokens import ADD, THIS, THIS_ONE, add_unasked
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.revocation import add_revocation
from entrada.storage.sql.sessions import drop_sessions
from entrada.storage.sql.tables import sealed_sign_ins, sessions, users
from entrada.storage.storable import user_after_recheck

STILL_THE_NEWEST = THIS & (sealed_sign_ins.c.sealed_sign_in == bindparam("claimed"))

REPLACE = (
    update(sealed_sign_ins)
    .where(THIS)
    .values(
        user_id=bindparam("of_user"),
        sealed_sign_in=bindparam("sealed"),
        last_sign_in_at=bindparam("now"),
        next_check_at=bindparam("next_check_at"),
        ended_because=None,
    )
)
"""The moment of an ending stays: access tokens of before are over. Without its reason nothing has ended."""
HAS_USER = select(users.c.id).where(users.c.id == bindparam("user_id"))
OF_USER = (
    select(sealed_sign_ins)
    .where(sealed_sign_ins.c.user_id == bindparam("user_id"))
    .order_by(sealed_sign_ins.c.tenant_id, sealed_sign_ins.c.object_id)
)
DUE = (
    select(sealed_sign_ins)
    .where(sealed_sign_ins.c.next_check_at <= bindparam("now"))
    .order_by(sealed_sign_ins.c.next_check_at)
    .limit(1)
)
FORGOTTEN_AT_ONCE = 500
"""Rows in a transaction: others who write wait that long and no longer."""
FORGOTTEN_AT_MOST = 5_000
"""Rows in one call: it comes to an end while a million people are due who have no session."""
IS_DUE = sealed_sign_ins.c.next_check_at <= bindparam("now")
LIVE_SESSION = exists().where(
    sessions.c.user_id == sealed_sign_ins.c.user_id,
    sessions.c.idle_expires_at > bindparam("now"),
    sessions.c.absolute_expires_at > bindparam("now"),
)
DUE_WITH_SESSION = DUE.where(LIVE_SESSION)
KEY = tuple_(sealed_sign_ins.c.tenant_id, sealed_sign_ins.c.object_id)
OLDEST_DUE = (
    select(sealed_sign_ins.c.tenant_id, sealed_sign_ins.c.object_id)
    .where(IS_DUE)
    .order_by(sealed_sign_ins.c.next_check_at)
    .limit(FORGOTTEN_AT_ONCE)
    .with_for_update(skip_locked=True)  # several servers forget different people, and wait for nobody
)
FORGET = delete(sealed_sign_ins).where(KEY.in_(OLDEST_DUE), IS_DUE, ~LIVE_SESSION)
"""Of the oldest that are due, those without a session. Who signs in meanwhile is due later, and stays."""
FORGET_THIS = delete(sealed_sign_ins).where(THIS, sealed_sign_ins.c.next_check_at == bindparam("was_due_at"))
HAD_ENDED = sealed_sign_ins.c.ended_at.is_not(None)
NOBODY_ASKS = {"sealed_sign_in": None, "next_check_at": None}
EMPTY = (
    update(sealed_sign_ins).where(KEY.in_(OLDEST_DUE), IS_DUE, ~LIVE_SESSION, HAD_ENDED).values(NOBODY_ASKS)
)
EMPTY_THIS = (
    update(sealed_sign_ins)
    .where(THIS, sealed_sign_ins.c.next_check_at == bindparam("was_due_at"), HAD_ENDED)
    .values(NOBODY_ASKS)
)
"""Of whoever has had an ending before, the moment stays, for the tokens of before."""
CLAIM = (
    update(sealed_sign_ins)
    .where(THIS, sealed_sign_ins.c.next_check_at == bindparam("was_due_at"))
    .values(next_check_at=bindparam("next_check_at"))
)
HAS_SESSION = (
    select(sessions.c.id)
    .where(
        sessions.c.user_id == bindparam("user_id"),
        sessions.c.idle_expires_at > bindparam("now"),
        sessions.c.absolute_expires_at > bindparam("now"),
    )
    .limit(1)
)
RENEW = (
    update(sealed_sign_ins)
    .where(STILL_THE_NEWEST)
    .values(sealed_sign_in=bindparam("sealed"), next_check_at=bindparam("next_check_at"))
)
END = (
    update(sealed_sign_ins)
    .where(STILL_THE_NEWEST)
    .values(
        sealed_sign_in=None, next_check_at=None, ended_at=bindparam("now"), ended_because=bindparam("because")
    )
)
END_UNASKED = (
    update(sealed_sign_ins)
    .where(
        THIS,
        sealed_sign_ins.c.sealed_sign_in.is_(None),
        sealed_sign_ins.c.last_sign_in_at == bindparam("signed_in_at"),
    )
    .values(ended_at=bindparam("now"), ended_because=bindparam("because"))
)


@repeats_transactions
class SqlSealedSignIns(SealedSignIns):
    """Sealed sign-ins in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(
        self,
        identity: EntraIdentity,
        *,
        user_id: UserId,
        sealed_sign_in: str | None,
        now: datetime,
        next_check_at: datetime,
    ) -> None:
        """See `SealedSignIns`."""
        with self._database.writing() as connection:
            self._database.hold_user(connection, user_id)
            if connection.execute(HAS_USER, {"user_id": user_id}).first() is None:
                raise LookupError("there is no user with this id")
            due = None if sealed_sign_in is None else next_check_at
            values = {"of_user": user_id, "sealed": sealed_sign_in, "now": now, "next_check_at": due}
            if connection.execute(REPLACE, {**names_of(identity), **values}).rowcount == 1:
                return
            connection.execute(
                ADD,
                {
                    "tenant_id": identity.tenant_id,
                    "object_id": identity.object_id,
                    "user_id": user_id,
                    "sealed_sign_in": sealed_sign_in,
                    "last_sign_in_at": now,
                    "next_check_at": due,
                },
            )

    def of_user(self, user_id: UserId) -> Sequence[SealedSignIn]:
        """See `SealedSignIns`."""
        with self._database.reading() as connection:
            return [sign_in_of_row(row) for row in connection.execute(OF_USER, {"user_id": user_id})]

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> SealedSignIn | None:
        """See `RecheckStore`."""
        forgotten = 0
        while True:
            # Past the bound nobody else is forgotten, and whoever has a session is found beyond the rest.
            statement = DUE if forgotten < FORGOTTEN_AT_MOST else DUE_WITH_SESSION
            with self._database.reading() as connection:
                row = connection.execute(statement, {"now": now}).first()
            if row is None:
                return None
            due = sign_in_of_row(row)
            with self._database.writing() as connection:
                was = {**names_of(due.identity), "was_due_at": due.next_check_at}
                if has_session(connection, due.user_id, now):
                    if connection.execute(CLAIM, {**was, "next_check_at": next_check_at}).rowcount == 1:
                        return due
                    continue  # another server was faster
                at_once = connection.execute(EMPTY, {"now": now}).rowcount
                at_once += connection.execute(FORGET, {"now": now}).rowcount
                if not at_once:
                    connection.execute(EMPTY_THIS, was)
                    connection.execute(FORGET_THIS, was)
                forgotten += max(at_once, 1)

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`."""
        with self._database.reading() as connection:
            return only_user(connection, FIND_BY_IDENTITY, names_of(identity))

    def renew(
        self,
        link: SealedSignIn,
        *,
        newcomer: Newcomer,
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        """See `RecheckStore`."""
        with self._database.writing() as connection:
            self._database.hold_user(connection, link.user_id)
            values = {"sealed": sealed_sign_in, "next_check_at": next_check_at}
            if connection.execute(RENEW, {**claimed_names(link), **values}).rowcount != 1:
                return
            before = only_user(connection, GET, {"user_id": link.user_id})
            if before is not None:
                after = user_after_recheck(
                    before, link.identity, newcomer.profile, entra_grants, newcomer.membership
                )
                change_user(connection, before, after, cause=BY_RECHECK)

    def end_access(self, link: SealedSignIn, *, because: str, now: datetime) -> bool:
        """See `RecheckStore`."""
        with self._database.writing() as connection:
            self._database.hold_user(connection, link.user_id)
            return end_access(connection, link, because=because, now=now)


def end_access(connection: Connection, link: SealedSignIn, *, because: str, now: datetime) -> bool:
    """In the caller's transaction, which holds the user; False: it had ended, or they signed in anew."""
    if link.sealed_sign_in is None:
        return end_without_sign_in(connection, link, because=because, now=now)
    if connection.execute(END, {**claimed_names(link), "now": now, "because": because}).rowcount != 1:
        return False
    write_ended(connection, link, because=because, now=now)
    return True


def write_ended(connection: Connection, link: SealedSignIn, *, because: str, now: datetime) -> None:
    """No session of theirs goes on; the log of what ended names them also where there was none, because an
    access token may be remembered."""
    ended = drop_sessions(connection, link.user_id)
    if not ended:
        add_revocation(connection, RevocationKind.USER, link.user_id)
    over = recorded.access_ended(link.user_id, link.identity, ended=ended, because=because, now=now)
    note(connection, over)


def end_without_sign_in(connection: Connection, link: SealedSignIn, *, because: str, now: datetime) -> bool:
    """End the access of somebody about whom nobody could ask Entra; False if it had ended before.

    Then the moment is moved on: access tokens that were issued in between are over, too.
    """
    names, signed_in_at = names_of(link.identity), link.last_sign_in_at or now
    if connection.execute(THIS_ONE, names).first() is None:
        add_unasked(
            connection, link.identity, link.user_id, signed_in_at=signed_in_at, now=now, because=because
        )
    else:
        values = {"signed_in_at": signed_in_at, "now": now, "because": because}
        if connection.execute(END_UNASKED, {**names, **values}).rowcount != 1:
            return False
    if link.ended_at is not None:
        add_revocation(connection, RevocationKind.USER, link.user_id)
        return False
    write_ended(connection, link, because=because, now=now)
    return True


def has_session(connection: Connection, user_id: UserId, now: datetime) -> bool:
    """Whether the user has a session that has not expired."""
    return connection.execute(HAS_SESSION, {"user_id": user_id, "now": now}).first() is not None


def claimed_names(link: SealedSignIn) -> dict[str, object]:
    """What names a sign-in that was claimed, and is still the same one."""
    return {**names_of(link.identity), "claimed": link.sealed_sign_in}


def sign_in_of_row(row: Row[Any]) -> SealedSignIn:
    """The sign-in of a row."""
    return SealedSignIn(
        identity=EntraIdentity(tenant_id=TenantId(row.tenant_id), object_id=ObjectId(row.object_id)),
        user_id=UserId(row.user_id),
        sealed_sign_in=row.sealed_sign_in,
        last_sign_in_at=row.last_sign_in_at,
        next_check_at=row.next_check_at,
        ended_at=None if row.ended_because is None else row.ended_at,
        ended_because=row.ended_because,
        tokens_from=row.ended_at,
    )
