"""The audit trail in SQL, to be read and cut; `audit_entries` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Row,
    ScalarSelect,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError

from entrada.audit.acts import Act, Action, Cause
from entrada.audit.chain import AuditEntry, Place, as_written
from entrada.audit.trail import EVERYTHING, AuditQuery, AuditTrail, Extent
from entrada.compatibility import UTC
from entrada.storage.recorded import pruning
from entrada.storage.sql.audit_entries import COLUMNS, HOLD_HEAD, is_sound, note
from entrada.storage.sql.database import Database
from entrada.storage.sql.failures import DamagedRow
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.tables import UtcTime, audit_entries, audit_exports, audit_head

NEAREST = 2000
REFUSALS = (Action.SIGN_IN_REFUSED.value, Action.REQUEST_REFUSED.value)


class WrittenTime(UtcTime):
    """What is no time reads as one that no entry has, so that the entry is named rather than none is read."""

    cache_ok = True

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """The value as it is read."""
        try:
            return super().process_result_value(value, dialect)
        except DamagedRow:
            return datetime.min.replace(tzinfo=UTC)


AT = type_coerce(audit_entries.c.at, WrittenTime()).label("at")
ALL = select(*(AT if name == "at" else audit_entries.c[name] for name in COLUMNS))
NEWEST = ALL.order_by(audit_entries.c.number.desc()).limit(bindparam("at_most"))
FOLLOWING = (
    ALL.where(audit_entries.c.number > bindparam("behind"))
    .order_by(audit_entries.c.number)
    .limit(bindparam("at_most"))
)
EXTENT = select(audit_head)
FIRST_TO_STAY = select(func.min(audit_entries.c.number)).where(audit_entries.c.at >= bindparam("before"))
HASH = select(audit_entries.c.hash).where(audit_entries.c.number == bindparam("of_number"))
CUT = delete(audit_entries).where(audit_entries.c.number <= bindparam("through"))
MOVE_ANCHOR = update(audit_head).values(cut_number=bindparam("to_number"), cut_hash=bindparam("to_hash"))

EXPORTED = select(audit_exports.c.number).where(audit_exports.c.target == bindparam("to_target"))
NOTE_EXPORTED = (
    update(audit_exports)
    .where(audit_exports.c.target == bindparam("to_target"))
    .values(number=bindparam("up_to"))
)
FIRST_EXPORTED = insert(audit_exports)


@repeats_transactions
class SqlAuditTrail(AuditTrail):
    """Entries in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, *acts: Act) -> None:
        with self._database.writing() as connection:
            note(connection, *acts)

    def newest(
        self, query: AuditQuery = EVERYTHING, *, limit: int = 100, before: int | None = None
    ) -> Sequence[AuditEntry]:
        statement = NEWEST.where(*conditions_of(query, before))
        with self._database.reading() as connection:
            return [entry_of_row(row) for row in connection.execute(statement, {"at_most": limit})]

    def following(self, number: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        names = {"behind": number, "at_most": limit}
        with self._database.reading() as connection:
            return [entry_of_row(row) for row in connection.execute(FOLLOWING, names)]

    def extent(self) -> Extent:
        with self._database.reading() as connection:
            row = connection.execute(EXTENT).first()
            if row is None or not isinstance(row.number, int) or not isinstance(row.cut_number, int):
                raise DamagedRow
        return Extent(
            anchor=Place(number=row.cut_number, hash=row.cut_hash),
            head=Place(number=row.number, hash=row.hash),
        )

    def prune(self, *, before: datetime, cause: Cause, limit: int = 10_000) -> int:
        with self._database.writing() as connection:
            head = connection.execute(HOLD_HEAD).first()
            row = connection.execute(EXTENT).first()
            if head is None or row is None or not is_sound(*head) or not isinstance(row.cut_number, int):
                raise DamagedRow
            first = connection.execute(FIRST_TO_STAY, {"before": before}).scalar()
            through = min(head.number if first is None else first - 1, row.cut_number + limit)
            if through <= row.cut_number:
                return 0
            hash = connection.execute(HASH, {"of_number": through}).scalar()
            if hash is None:
                return 0  # a gap, which `entrada audit verify` names; nothing is cut over it
            cut = connection.execute(CUT, {"through": through}).rowcount
            connection.execute(MOVE_ANCHOR, {"to_number": through, "to_hash": hash})
            note(connection, pruning(Place(number=through, hash=hash), cut=cut, cause=cause))
            return cut

    def exported(self, target: str) -> int | None:
        with self._database.reading() as connection:
            number: int | None = connection.execute(EXPORTED, {"to_target": target}).scalar()
        return number

    def note_exported(self, target: str, number: int) -> None:
        names = {"to_target": target, "up_to": number}
        try:
            with self._database.writing() as connection:
                if connection.execute(NOTE_EXPORTED, names).rowcount != 1:
                    connection.execute(FIRST_EXPORTED, {"target": target, "number": number})
        except IntegrityError:  # another server was faster, and will be again
            return


def conditions_of(query: AuditQuery, before: int | None) -> list[ColumnElement[bool]]:
    """What an entry must fulfil."""
    columns, found = audit_entries.c, []
    who: list[ColumnElement[bool]] = []
    if query.user_id is not None:
        who += [columns.user_id == query.user_id, columns.actor_id == query.user_id]
    if query.object_ids:
        who.append(columns.object_id.in_(query.object_ids))
    if who:
        found.append(or_(*who))
    if query.called is not None:
        called = as_written(query.called)
        found += [
            columns.action.in_(REFUSALS),  # nobody else is entered by name: the index finds these few
            func.lower(columns.personal).contains(called, autoescape=True),
        ]
    if query.tenant_id is not None:
        found.append(columns.tenant_id == query.tenant_id)
    if query.actions:
        # Of one person there are few entries: they are found by person, not by what most entries are.
        action = columns.action.concat("") if who else columns.action
        found.append(action.in_(query.actions))
    if query.since is not None:
        found += [columns.at >= query.since, columns.number >= nearest_number(since=query.since)]
    if query.until is not None:
        found += [columns.at < query.until, columns.number <= nearest_number(until=query.until)]
    if before is not None:
        found.append(columns.number < before)
    return found


def nearest_number(*, since: datetime | None = None, until: datetime | None = None) -> ScalarSelect[Any]:
    """Where in the chain a time begins or ends, so that not all of it is read.

    Numbers follow the time but where a clock was set back: then the least, or the greatest, of the nearest
    few is taken. An entry beyond those, of a clock that was wrong by more, is not found by time.
    """
    columns = audit_entries.c
    near = select(columns.number)
    if since is not None:
        near = near.where(columns.at >= since).order_by(columns.at)
    elif until is not None:
        near = near.where(columns.at < until).order_by(columns.at.desc())
    found = near.limit(NEAREST).subquery().c.number
    return select(func.min(found) if since is not None else func.max(found)).scalar_subquery()


def entry_of_row(row: Row[Any]) -> AuditEntry:
    """The entry of a row. Bytes, which somebody else has written, read as a text that none of ours is."""
    values: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS}
    if not isinstance(row.number, int):
        raise DamagedRow
    values.update({name: repr(value) for name, value in values.items() if isinstance(value, bytes)})
    return AuditEntry(**values)
