"""Sessions in SQL.

Ending sessions and growing the revocation epoch are one transaction. Only an ending that ended something
grows it: a stranger who calls the front-channel logout with made-up ids makes no process read anything.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Row,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from entrada.accounts.identity import EntraIdentity, UserId
from entrada.entra.authority import ObjectId, TenantId
from entrada.sessions.session import Session, SessionId
from entrada.sessions.store import SessionStore
from entrada.storage.sql.database import Database
from entrada.storage.sql.failures import DamagedRow
from entrada.storage.sql.prepared import run
from entrada.storage.sql.revocation import note_change
from entrada.storage.sql.tables import sessions, spent_sign_ins

SECRET_HASH_BYTES = 32

OPEN = insert(sessions)
FIND = select(sessions).where(sessions.c.id == bindparam("session_id"))
TOUCH = (
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"))
    .values(last_seen_at=bindparam("last_seen_at"), idle_expires_at=bindparam("idle_expires_at"))
)
SPEND = insert(spent_sign_ins)


def end_where(column: ColumnElement[str]) -> Delete:
    return delete(sessions).where(column == bindparam("value"))


END = end_where(sessions.c.id)
END_BY_ENTRA_SESSION = end_where(sessions.c.entra_session_id)
END_OF_USER = end_where(sessions.c.user_id)

PRUNE_SESSIONS = delete(sessions).where(
    or_(sessions.c.idle_expires_at <= bindparam("now"), sessions.c.absolute_expires_at <= bindparam("now"))
)
PRUNE_SPENT = delete(spent_sign_ins).where(spent_sign_ins.c.expires_at <= bindparam("now"))


class SqlSessionStore(SessionStore):
    """Sessions in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, session: Session, *, replaces: SessionId | None = None) -> None:
        try:
            with self._database.writing() as connection:
                run(connection, OPEN, row_of(session))
                if replaces is not None:
                    end(connection, END, replaces)
        except IntegrityError:
            raise ValueError("a session with this id is open already") from None

    def find(self, session_id: SessionId) -> Session | None:
        # A row that `open` cannot have written is no session; other sessions go on.
        with self._database.reading() as connection:
            try:
                row = next(iter(run(connection, FIND, {"session_id": session_id})), None)
            except DamagedRow:
                return None
        return None if row is None else session_of(row)

    def touch(self, session_id: SessionId, *, last_seen_at: datetime, idle_expires_at: datetime) -> None:
        with self._database.writing() as connection:
            run(
                connection,
                TOUCH,
                {"session_id": session_id, "last_seen_at": last_seen_at, "idle_expires_at": idle_expires_at},
            )

    def end(self, session_id: SessionId) -> bool:
        with self._database.writing() as connection:
            return end(connection, END, session_id) == 1

    def end_by_entra_session(self, entra_session_id: str) -> int:
        with self._database.writing() as connection:
            return end(connection, END_BY_ENTRA_SESSION, entra_session_id)

    def end_of_user(self, user_id: UserId) -> int:
        with self._database.writing() as connection:
            return end(connection, END_OF_USER, user_id)

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        try:
            with self._database.writing() as connection:
                run(connection, SPEND, {"id": sign_in_id, "expires_at": expires_at})
        except IntegrityError:
            return False
        return True

    def revocation_epoch(self) -> int:
        return self._database.revocation_epoch()

    def note_change(self) -> None:
        with self._database.writing() as connection:
            note_change(connection)

    def prune(self, *, now: datetime) -> int:
        with self._database.writing() as connection:
            pruned = run(connection, PRUNE_SESSIONS, {"now": now}).rowcount
            return pruned + run(connection, PRUNE_SPENT, {"now": now}).rowcount


def end(connection: Connection, statement: Delete, value: str) -> int:
    """How many sessions ended; the epoch grows if any did."""
    ended = run(connection, statement, {"value": value}).rowcount
    if ended:
        note_change(connection)
    return ended


def row_of(session: Session) -> dict[str, object]:
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
    )
