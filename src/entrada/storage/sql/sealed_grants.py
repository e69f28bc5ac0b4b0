"""Sealed grants in SQL. The database itself takes a row away with its session's, in the same transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from entrada.sessions.sealed_grants import SealedGrant, SealedGrants
from entrada.sessions.session import SessionId
from entrada.storage.sql.database import Database
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.tables import session_grants

THIS = session_grants.c.session_id == bindparam("of_session")
HELD = THIS & (session_grants.c.holder == bindparam("of_holder"))
FREE = {"holder": None, "held_until": None}

ADD = insert(session_grants)
REPLACE = update(session_grants).where(THIS).values(sealed=bindparam("new"), **FREE)
FIND = select(session_grants.c.sealed, session_grants.c.held_until).where(THIS)
HOLD = (
    update(session_grants)
    .where(
        THIS,
        session_grants.c.sealed == bindparam("found"),
        or_(
            session_grants.c.held_until.is_(None),
            session_grants.c.held_until <= bindparam("now"),
            session_grants.c.held_until > bindparam("longest"),
        ),
    )
    .values(holder=bindparam("new_holder"), held_until=bindparam("until"))
)
RENEW = update(session_grants).where(HELD).values(sealed=bindparam("new"), **FREE)
LET_GO = update(session_grants).where(HELD).values(**FREE)


@repeats_transactions
class SqlSealedGrants(SealedGrants):
    """Sealed grants in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, session_id: SessionId, sealed: str) -> bool:
        """See `SealedGrants`."""
        try:
            with self._database.writing() as connection:
                names = {"of_session": session_id, "new": sealed}
                if connection.execute(REPLACE, names).rowcount != 1:
                    connection.execute(ADD, {"session_id": session_id, "sealed": sealed})
        except IntegrityError:
            return False
        return True

    def find(self, session_id: SessionId) -> SealedGrant | None:
        """See `SealedGrants`."""
        with self._database.reading() as connection:
            row = connection.execute(FIND, {"of_session": session_id}).first()
        return (
            None
            if row is None
            else SealedGrant(session_id=session_id, sealed=row.sealed, held_until=row.held_until)
        )

    def hold(self, grant: SealedGrant, *, holder: str, now: datetime, until: datetime) -> bool:
        """See `SealedGrants`."""
        values = {
            "of_session": grant.session_id,
            "found": grant.sealed,
            "now": now,
            "longest": until + (until - now),
            "new_holder": holder,
            "until": until,
        }
        with self._database.writing() as connection:
            return connection.execute(HOLD, values).rowcount == 1

    def renew(self, session_id: SessionId, *, holder: str, sealed: str) -> bool:
        """See `SealedGrants`."""
        values = {"of_session": session_id, "of_holder": holder, "new": sealed}
        with self._database.writing() as connection:
            return connection.execute(RENEW, values).rowcount == 1

    def let_go(self, session_id: SessionId, *, holder: str) -> None:
        """See `SealedGrants`."""
        with self._database.writing() as connection:
            connection.execute(LET_GO, {"of_session": session_id, "of_holder": holder})
