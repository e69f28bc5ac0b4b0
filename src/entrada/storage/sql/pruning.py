"""Forgetting what is past its limit, the oldest first, a few rows in each transaction: `prune`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Delete, bindparam, delete, select

from entrada.storage.sql.database import Database

PRUNED_AT_ONCE = 500
"""Rows in a transaction: others who write wait that long and no longer."""


def over_by(limit: Column[datetime]) -> Delete:
    """Forgets some of what is past this limit, the oldest first; by the index of that column."""
    key = limit.table.c.id
    oldest = select(key).where(limit <= bindparam("now")).order_by(limit).limit(PRUNED_AT_ONCE)
    return delete(limit.table).where(key.in_(oldest))


def prune(database: Database, statement: Delete, *, now: datetime, at_most: int) -> int:
    """How many rows `statement`, of `over_by`, has forgotten: about so many, and the rest in later calls."""
    pruned = 0
    while pruned < at_most:
        with database.writing() as connection:
            at_once = connection.execute(statement, {"now": now}).rowcount
        pruned += at_once
        if at_once < PRUNED_AT_ONCE:
            break
    return pruned
