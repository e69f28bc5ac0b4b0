"""Leases in SQL: one row for each name, which stays when the lease is over, so that its fence only grows.

Whoever asks while another has it reads and locks nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from entrada.leases import Lease, LeaseStore
from entrada.storage.sql.database import Database
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.tables import EPOCH, MICROSECOND, leases

FIND = select(leases).where(leases.c.name == bindparam("called"))
HOLD = FIND.with_for_update()
ADD = insert(leases)
CHANGE = (
    update(leases)
    .where(leases.c.name == bindparam("called"))
    .values(
        holder=bindparam("by"),
        fence=bindparam("number"),
        ends_at=bindparam("until"),
        life_us=bindparam("lasting_us"),
    )
)
THIS = (
    (leases.c.name == bindparam("called"))
    & (leases.c.holder == bindparam("by"))
    & (leases.c.fence == bindparam("number"))
)
RELEASE = update(leases).where(THIS).values(ends_at=EPOCH)


@repeats_transactions
class SqlLeases(LeaseStore):
    """Leases in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, *, holder: str, life: timedelta) -> Lease | None:
        """See `LeaseStore`."""
        with self._database.reading() as connection:
            row = connection.execute(FIND, {"called": name}).first()
            if row is not None and row.holder != holder and not is_over(row, self._database.now(connection)):
                return None
        try:
            with self._database.writing() as connection:
                return self._taken(connection, name, holder, life)
        except IntegrityError:
            return None  # another has taken it for the first time just now

    def _taken(self, connection: Connection, name: str, holder: str, life: timedelta) -> Lease | None:
        row = connection.execute(HOLD, {"called": name}).first()
        now = self._database.now(connection)  # after the wait for the row
        if row is None:
            lease = Lease(name=name, holder=holder, fence=1)
            mine = {"name": name, "holder": holder, "fence": 1}
            connection.execute(ADD, {**mine, "ends_at": now + life, "life_us": life // MICROSECOND})
            return lease
        if row.holder != holder and not is_over(row, now):
            return None
        lease = Lease(name=name, holder=holder, fence=row.fence + is_over(row, now))
        times = {"until": now + life, "lasting_us": life // MICROSECOND}
        connection.execute(CHANGE, {**names_of(lease), **times})
        return lease

    def release(self, lease: Lease) -> bool:
        """See `LeaseStore`."""
        with self._database.writing() as connection:
            return connection.execute(RELEASE, names_of(lease)).rowcount == 1

    def holder(self, name: str) -> Lease | None:
        """See `LeaseStore`."""
        with self._database.reading() as connection:
            row = connection.execute(FIND, {"called": name}).first()
            if row is None or is_over(row, self._database.now(connection)):
                return None
        return Lease(name=row.name, holder=row.holder, fence=row.fence)


def is_over(row: Row[tuple[object, ...]], now: datetime) -> bool:
    """One that ends later than twice its life from now was written before the clock was set back."""
    life = row.life_us * MICROSECOND
    return not now < row.ends_at <= now + 2 * life


def names_of(lease: Lease) -> dict[str, object]:
    """What names a taking."""
    return {"called": lease.name, "by": lease.holder, "number": lease.fence}
