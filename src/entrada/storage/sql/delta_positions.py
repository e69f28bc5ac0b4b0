"""How far the changes of directories were read, in SQL: in our own database and in a product's.

Plain functions over a connection, each inside the caller's transaction. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from entrada.accounts.delta_position import DeltaPosition, read_links, written_links
from entrada.entra.authority import TenantId


def is_anothers(
    connection: Connection, table: Table, tenant_id: TenantId, *, holder: str, now: datetime, until: datetime
) -> bool:
    """Whether another server holds this tenant: a read that locks nothing.

    One that is held for longer than servers hold was taken before the clock was set back.
    """
    row = connection.execute(
        select(table.c.held_by, table.c.held_until).where(table.c.tenant_id == tenant_id)
    ).one_or_none()
    return row is not None and row.held_by != holder and now < row.held_until <= _longest(now, until)


def _longest(now: datetime, until: datetime) -> datetime:
    return until + (until - now)


def hold_position(
    connection: Connection, table: Table, tenant_id: TenantId, *, holder: str, now: datetime, until: datetime
) -> DeltaPosition | None:
    """See `DirectoryStore`."""
    held = connection.execute(
        update(table)
        .where(
            table.c.tenant_id == tenant_id,
            or_(
                table.c.held_by == holder,
                table.c.held_until <= now,
                table.c.held_until > _longest(now, until),
            ),
        )
        .values(held_by=holder, held_until=until)
    )
    if held.rowcount == 0:
        present = connection.execute(select(table.c.tenant_id).where(table.c.tenant_id == tenant_id)).first()
        if present is not None:
            return None
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(table).values(tenant_id=tenant_id, held_by=holder, held_until=until)
        connection.execute(new.on_conflict_do_nothing())
    row = connection.execute(select(table).where(table.c.tenant_id == tenant_id)).one()
    return position_of_row(row) if row.held_by == holder else None  # another server was faster


def keep_position(connection: Connection, table: Table, position: DeltaPosition, *, holder: str) -> bool:
    """See `DirectoryStore`."""
    kept = connection.execute(
        update(table)
        .where(table.c.tenant_id == position.tenant_id, table.c.held_by == holder)
        .values(
            links=written_links(position.links),
            looked_at=position.looked_at,
            asked_at=position.asked_at,
            problem=position.problem,
        )
    )
    return kept.rowcount == 1


def read_positions(connection: Connection, table: Table) -> Sequence[DeltaPosition]:
    """See `DirectoryStore`."""
    return [position_of_row(row) for row in connection.execute(select(table).order_by(table.c.tenant_id))]


def position_of_row(row: Row[Any]) -> DeltaPosition:
    """The position of a row."""
    return DeltaPosition(
        tenant_id=TenantId(row.tenant_id),
        links=read_links(row.links),
        looked_at=row.looked_at,
        asked_at=row.asked_at,
        problem=row.problem,
    )
