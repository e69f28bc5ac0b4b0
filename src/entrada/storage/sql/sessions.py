"""Sessions in SQL.

Ending sessions and saying so in the log are one transaction. Only an ending that ended something is in the
log, and a `sid` is looked for before anything is written: a stranger who calls the front-channel logout with
made-up ids makes no process read or wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Connection,
    Row,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from entrada.accounts.identity import EntraIdentity, UserId
from entrada.audit.acts import BY_ENTRADA, Cause
from entrada.entra.authority import ObjectId, TenantId
from entrada.sessions.revocation import LogPosition, RevocationKind, Revocations
from entrada.sessions.session import Device, Session, SessionId
from entrada.sessions.store import SessionStore
from entrada.storage import recorded
from entrada.storage.sql.audit_entries import note
from entrada.storage.sql.database import Database
from entrada.storage.sql.failures import DamagedRow
from entrada.storage.sql.pruning import over_by, prune
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.revocation import add_revocation
from entrada.storage.sql.tables import session_grants, sessions, spent_sign_ins

SECRET_HASH_BYTES = 32

OPEN = insert(sessions)
FIND = select(sessions).where(sessions.c.id == bindparam("session_id"))
LIST = (
    select(sessions)
    .where(sessions.c.id > bindparam("after"))
    .order_by(sessions.c.id)
    .limit(bindparam("at_most"))
)
LIST_OF_USER = LIST.where(sessions.c.user_id == bindparam("user_id"))
COUNT = (
    select(func.count())
    .select_from(sessions)
    .where(
        sessions.c.idle_expires_at > bindparam("now"),
        sessions.c.absolute_expires_at > bindparam("now"),
    )
)
TOUCH = (
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"))
    .values(last_seen_at=bindparam("last_seen_at"), idle_expires_at=bindparam("idle_expires_at"))
)
SPEND = insert(spent_sign_ins)


OWNER = select(sessions.c.user_id).where(sessions.c.id == bindparam("value"))
END = delete(sessions).where(sessions.c.id == bindparam("value"))
END_OF_USER = delete(sessions).where(sessions.c.user_id == bindparam("value"))
ALL = select(func.count()).select_from(sessions)
FIND_BY_ENTRA_SESSION = select(sessions.c.id, sessions.c.user_id).where(
    sessions.c.entra_session_id == bindparam("value")
)


PRUNED_AT_MOST = 5_000
"""Rows of each kind in one call, so that it comes to an end while a million are over."""
PRUNE = (
    over_by(sessions.c.idle_expires_at),
    over_by(sessions.c.absolute_expires_at),
    over_by(spent_sign_ins.c.expires_at),
)


@repeats_transactions
class SqlSessionStore(SessionStore):
    """Sessions in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, session: Session, *, replaces: SessionId | None = None) -> None:
        try:
            with self._database.writing() as connection:
                connection.execute(OPEN, row_of(session))
                owner = None if replaces is None else drop_session(connection, replaces)
                if replaces is not None and owner is not None:
                    note(connection, recorded.replacing(replaces, owner, session))
                note(connection, recorded.opening(session))
        except IntegrityError:
            raise ValueError("a session with this id is open already") from None

    def find(self, session_id: SessionId) -> Session | None:
        # A row that `open` cannot have written is no session; other sessions go on.
        with self._database.reading() as connection:
            try:
                row = connection.execute(FIND, {"session_id": session_id}).first()
            except DamagedRow:
                return None
        return None if row is None else session_of(row)

    def list_sessions(
        self, *, user_id: UserId | None = None, limit: int = 100, after: SessionId | None = None
    ) -> Sequence[Session]:
        names = {"after": after or "", "at_most": limit}
        with self._database.reading() as connection:
            if user_id is None:
                rows = connection.execute(LIST, names).all()
            else:
                rows = connection.execute(LIST_OF_USER, {**names, "user_id": user_id}).all()
        return [session for row in rows if (session := session_of(row)) is not None]

    def count(self, *, now: datetime) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(COUNT, {"now": now}).scalar_one())

    def touch(self, session_id: SessionId, *, last_seen_at: datetime, idle_expires_at: datetime) -> bool:
        values = {
            "session_id": session_id,
            "last_seen_at": last_seen_at,
            "idle_expires_at": idle_expires_at,
        }
        with self._database.writing() as connection:
            return connection.execute(TOUCH, values).rowcount == 1

    def end(self, session_id: SessionId, *, cause: Cause = BY_ENTRADA) -> bool:
        with self._database.writing() as connection:
            owner = drop_session(connection, session_id)
            if owner is not None:
                note(connection, recorded.ending(session_id, owner, cause))
            return owner is not None

    def end_by_entra_session(self, entra_session_id: str, *, cause: Cause = BY_ENTRADA) -> int:
        names = {"value": entra_session_id}
        with self._database.reading() as connection:
            found = connection.execute(FIND_BY_ENTRA_SESSION, names).all()
        if not found:
            return 0
        with self._database.writing() as connection:
            found = connection.execute(FIND_BY_ENTRA_SESSION, names).all()
            # First all rows, then the log: on PostgreSQL the other way round two such calls could lock each
            # other out.
            ended = [each for each in found if connection.execute(END, {"value": each.id}).rowcount]
            for each in ended:
                add_revocation(connection, RevocationKind.SESSION, each.id)
                note(connection, recorded.ending(each.id, each.user_id, cause))
            return len(ended)

    def end_of_user(self, user_id: UserId, *, cause: Cause = BY_ENTRADA) -> int:
        with self._database.writing() as connection:
            ended = drop_sessions(connection, user_id)
            if ended:
                note(connection, recorded.ending_of_user(user_id, ended=ended, cause=cause))
            return ended

    def end_all(self, *, since: LogPosition | None = None, cause: Cause = BY_ENTRADA) -> int:
        beyond = self._database.furthest_position(since)
        with self._database.writing() as connection:
            ended: int = connection.execute(ALL).scalar_one()
            self._database.clear(connection, session_grants, sessions)
            add_revocation(connection, RevocationKind.EVERYTHING, "", beyond=beyond)
            note(connection, recorded.ending_of_all(ended=ended, cause=cause))
            return ended

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        try:
            with self._database.writing() as connection:
                connection.execute(SPEND, {"id": sign_in_id, "expires_at": expires_at})
        except IntegrityError:
            return False
        return True

    def revocations(self, since: LogPosition | None) -> Revocations:
        return self._database.revocations(since)

    def note_rights_changed(self, user_id: UserId) -> None:
        with self._database.writing() as connection:
            add_revocation(connection, RevocationKind.RIGHTS, user_id)

    def prune(self, *, now: datetime) -> int:
        return sum(prune(self._database, each, now=now, at_most=PRUNED_AT_MOST) for each in PRUNE)


def drop_session(connection: Connection, session_id: SessionId) -> UserId | None:
    """Whose session this was, which has ended; None: there is none to end."""
    owner = connection.execute(OWNER, {"value": session_id}).scalar()
    if owner is None or connection.execute(END, {"value": session_id}).rowcount != 1:
        return None
    add_revocation(connection, RevocationKind.SESSION, session_id)
    return UserId(owner)


def drop_sessions(connection: Connection, user_id: UserId) -> int:
    """How many sessions of the user ended."""
    ended = connection.execute(END_OF_USER, {"value": user_id}).rowcount
    if ended:
        add_revocation(connection, RevocationKind.USER, user_id)
    return ended


def row_of(session: Session) -> dict[str, object]:
    """The columns of `entrada_session`."""
    return {
        "id": session.id,
        "secret_hash": session.secret_hash,
        "user_id": session.user_id,
        "tenant_id": session.identity.tenant_id,
        "object_id": session.identity.object_id,
        "created_at": session.created_at,
        "last_seen_at": session.last_seen_at,
        "idle_expires_at": session.idle_expires_at,
        "absolute_expires_at": session.absolute_expires_at,
        "entra_session_id": session.entra_session_id,
        "logout_hint": session.logout_hint,
        "user_agent": session.opened_by.user_agent or None,
        "address": session.opened_by.address or None,
        "authenticated_at": session.authenticated_at,
    }


def session_of(row: Row[tuple[object, ...]]) -> Session | None:
    """The session of a row; None if the row cannot have been written by `open`."""
    if not isinstance(row.secret_hash, bytes) or len(row.secret_hash) != SECRET_HASH_BYTES:
        return None
    return Session(
        id=SessionId(row.id),
        secret_hash=row.secret_hash,
        user_id=UserId(row.user_id),
        identity=EntraIdentity(tenant_id=TenantId(row.tenant_id), object_id=ObjectId(row.object_id)),
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        idle_expires_at=row.idle_expires_at,
        absolute_expires_at=row.absolute_expires_at,
        entra_session_id=row.entra_session_id,
        logout_hint=row.logout_hint,
        opened_by=Device(user_agent=row.user_agent or "", address=row.address or ""),
        authenticated_at=row.authenticated_at,
    )
