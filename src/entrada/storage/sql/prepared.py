"""Runs a statement: on SQLite prepared once, elsewhere through SQLAlchemy.

SQLAlchemy writes the SQL and knows how each type is bound and read. On SQLite that is asked for once a
statement and remembered; what it does anew at every execution costs five times what SQLite itself needs,
and was the largest part of a sign-in. Over a network, as with PostgreSQL, it does not matter.

For statements made when a module is loaded: each is remembered for ever.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from sqlalchemy import Connection, Insert, Select, UpdateBase
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.compiler import SQLCompiler

SQLITE = SQLiteDialect_pysqlite()

Values = Mapping[str, Any]
Conversion = Callable[[Any], Any] | None


class Outcome(Protocol):
    """What a statement did, and the rows it found."""

    @property
    def rowcount(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True, slots=True)
class Rows:
    rowcount: int
    found: Sequence[Any]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.found)


def run(
    connection: Connection, statement: Select[Any] | UpdateBase, values: Values | Sequence[Values]
) -> Outcome:
    """As `connection.execute`; a sequence of values runs the statement once for each.

    Raises:
        IntegrityError: a uniqueness rule is broken.
    """
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, sqlite3.Connection):
        return connection.execute(statement, values)
    each = [values] if isinstance(values, Mapping) else values
    prepared = prepare(statement, tuple(each[0]))
    bound = [prepared.bind(one) for one in each]
    try:
        if len(bound) == 1:
            cursor = driver.execute(prepared.sql, bound[0])
        else:
            cursor = driver.executemany(prepared.sql, bound)
    except sqlite3.IntegrityError as broken:
        raise IntegrityError(None, None, broken) from None
    return Rows(cursor.rowcount, prepared.read(cursor) if prepared.row else ())


@dataclass(frozen=True, slots=True)
class Prepared:
    """SQL with a question mark for each of `places`, and how what it finds becomes rows."""

    sql: str
    places: Sequence[Place]
    row: Callable[[Iterable[Any]], Any] | None
    columns: Sequence[Conversion]

    def bind(self, values: Values) -> list[Any]:
        return [place.value_from(values) for place in self.places]

    def read(self, cursor: sqlite3.Cursor) -> list[Any]:
        row, columns = self.row, self.columns
        assert row is not None
        return [
            row([convert(value) if convert else value for value, convert in zip(found, columns, strict=True)])
            for found in cursor
        ]


@dataclass(frozen=True, slots=True)
class Place:
    """One question mark: a value that is given by name, or one that stands in the statement itself."""

    name: str
    is_given: bool
    fixed: Any
    convert: Conversion

    def value_from(self, values: Values) -> Any:
        value = values[self.name] if self.is_given else self.fixed
        return self.convert(value) if self.convert else value


@cache
def prepare(statement: Select[Any] | UpdateBase, names: tuple[str, ...]) -> Prepared:
    """`names` are those of the values it will be given; an insert fills these columns and no others."""
    compiled = statement.compile(
        dialect=SQLITE, column_keys=list(names) if isinstance(statement, Insert) else None
    )
    assert isinstance(compiled, SQLCompiler)
    columns = statement.selected_columns if isinstance(statement, Select) else ()
    return Prepared(
        sql=str(compiled),
        places=[place_of(compiled, name) for name in compiled.positiontup or ()],
        row=row_maker([str(column.key) for column in columns]) if columns else None,
        columns=[column.type.dialect_impl(SQLITE).result_processor(SQLITE, None) for column in columns],
    )


def row_maker(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    row = namedtuple("Row", names)  # type: ignore[misc]  # the names are a table's
    return row._make


def place_of(compiled: SQLCompiler, name: str) -> Place:
    bind = compiled.binds[name]
    return Place(
        name=name,
        is_given=bind.required,
        fixed=compiled.params[name],
        convert=bind.type.dialect_impl(SQLITE).bind_processor(SQLITE),
    )
