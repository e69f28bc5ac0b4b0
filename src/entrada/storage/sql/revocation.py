"""The log of what ended, in SQL.

An entry is written in the transaction that ends something, so nobody sees the one without the other. The one
row of `entrada_revocation` numbers the entries: whoever changes it holds it to the end of the transaction,
so the numbers have no gaps and appear in their order. On PostgreSQL listeners hear of it at the commit.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from entrada.sessions.revocation import (
    ENTRIES_RETAINED,
    LogPosition,
    Revocation,
    RevocationKind,
    Revocations,
    new_nonce,
    read_since,
)
from entrada.storage.sql.tables import revocation, revoked

CHANNEL = "entrada_revoked"
"""Where PostgreSQL says that the log has grown. A message is the entry's number, and names nobody."""
TELL = select(func.pg_notify(CHANNEL, bindparam("message")))

NEWEST = "entrada newest entry"
"""Under this name `connection.info` holds the position of the last entry the transaction wrote."""

GROW = update(revocation).values(epoch=revocation.c.epoch + 1)
GROW_BEYOND = update(revocation).values(
    epoch=case((revocation.c.epoch > bindparam("beyond"), revocation.c.epoch), else_=bindparam("beyond")) + 1
)
NUMBER = select(revocation.c.epoch)
ADD = insert(revoked)
KNOWN_KINDS = {kind.value: kind for kind in RevocationKind}
"""An entry of another kind, which a newer version may have written, leaves a gap: everything is doubted."""
FORGET = delete(revoked).where(revoked.c.sequence <= bindparam("before"))

POSITION = select(revocation.c.epoch, func.coalesce(revoked.c.nonce, 0)).select_from(
    revocation.outerjoin(revoked, revoked.c.sequence == revocation.c.epoch)
)
ENTRIES = (
    select(revoked.c.sequence, revoked.c.nonce, revoked.c.kind, revoked.c.subject)
    .where(revoked.c.sequence >= bindparam("since"))
    .order_by(revoked.c.sequence)
)
OLDEST = select(func.min(revoked.c.sequence))


def add_revocation(
    connection: Connection, kind: RevocationKind, subject: str, *, beyond: LogPosition | None = None
) -> None:
    """One more entry; numbered behind `beyond`, where that is given and further than this log."""
    if beyond is None:
        connection.execute(GROW)
    else:
        connection.execute(GROW_BEYOND, {"beyond": beyond.sequence})
    position = LogPosition(connection.execute(NUMBER).scalar_one(), new_nonce())
    connection.execute(
        ADD,
        {
            "sequence": position.sequence,
            "nonce": position.nonce,
            "kind": kind.value,
            "subject": subject,
        },
    )
    if position.sequence % 64 == 0:
        connection.execute(FORGET, {"before": position.sequence - ENTRIES_RETAINED})
    if connection.dialect.name == "postgresql":
        connection.execute(TELL, {"message": str(position.sequence)})
    connection.info[NEWEST] = position


def read_position(connection: Connection) -> LogPosition:
    """Where the log stands."""
    sequence, nonce = connection.execute(POSITION).one()
    return LogPosition(sequence, nonce)


def read_revocations(connection: Connection, since: LogPosition | None) -> Revocations:
    """What the log says after `since`. What is added while it is read may be left for the next reading."""
    position = read_position(connection)
    if since is None or since == position:
        return read_since(since, position, (), oldest=None)
    rows = [
        Revocation(row.sequence, row.nonce, KNOWN_KINDS[row.kind], row.subject)
        for row in connection.execute(ENTRIES, {"since": since.sequence})
        if row.sequence <= position.sequence and row.kind in KNOWN_KINDS
    ]
    oldest = connection.execute(OLDEST).scalar()
    return read_since(since, position, rows, oldest=oldest)
