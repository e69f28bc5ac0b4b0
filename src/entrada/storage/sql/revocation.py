"""The number that tells every process that what it remembers of sessions and users may be stale.

It grows in the transaction that changes something, so nobody sees the one without the other.
"""

from __future__ import annotations

from sqlalchemy import Connection, update

from entrada.storage.sql.prepared import run
from entrada.storage.sql.tables import revocation

GROW = update(revocation).values(epoch=revocation.c.epoch + 1)


def note_change(connection: Connection) -> None:
    run(connection, GROW, {})
