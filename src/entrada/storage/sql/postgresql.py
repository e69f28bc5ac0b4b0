"""PostgreSQL: for more than one server. Needs psycopg 3.

A single read runs without BEGIN and COMMIT around it. Changes of one user wait for each other on its row,
because under READ COMMITTED each statement sees another moment.
A transaction takes no longer than `wait` in all, the wait for a connection included, also where the server is
frozen (`bounded_psycopg`).

Source: PostgreSQL, "Transaction Isolation", "Explicit Locking".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import URL, Connection, Dialect, bindparam, create_engine, event, func, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from entrada.accounts.identity import UserId
from entrada.storage.sql.bounded_psycopg import BoundedConnection, connect_in_time, within
from entrada.storage.sql.database import CONNECTIONS_AT_MOST, CONNECTIONS_IDLE, MIGRATION_WAIT, Database
from entrada.storage.sql.failures import failures_named
from entrada.storage.sql.tables import users

HOLD_USER = select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update()
NOW = select(func.clock_timestamp())
HOLD_SCHEMA = select(func.pg_advisory_xact_lock(bindparam("key")))
SCHEMA_KEY = 0x656E7472616461
"""`entrada` in ASCII: the advisory lock of whoever prepares the database."""


class PostgresqlDatabase(Database):
    """The database that the URL names. Connects when it is first used."""

    def __init__(self, url: URL, *, wait: timedelta) -> None:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": max(2, round(wait.total_seconds()))},
            poolclass=QueuePool,
            pool_size=CONNECTIONS_IDLE,
            max_overflow=CONNECTIONS_AT_MOST - CONNECTIONS_IDLE,
            pool_timeout=wait.total_seconds(),
            pool_pre_ping=True,
            hide_parameters=True,
        )

        self._wait = wait

        @event.listens_for(engine, "do_connect")
        def connect(
            _: Dialect, __: ConnectionPoolEntry, arguments: list[Any], named: dict[str, Any]
        ) -> BoundedConnection:
            return connect_in_time(arguments, named)

        @event.listens_for(engine, "connect")
        def bound_every_statement(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            milliseconds = round(wait.total_seconds() * 1000)
            cursor = connection.cursor()
            cursor.execute(f"SET statement_timeout = {milliseconds}")
            cursor.close()
            connection.commit()

        readers = engine.execution_options(isolation_level="AUTOCOMMIT")
        super().__init__(url.render_as_string(hide_password=True), engine, readers=readers)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See `Database`; within the promised time."""
        with within(self._wait), super().reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Database`; within the promised time."""
        with within(self._wait), self._patiently_writing() as connection:
            yield connection

    def hold_user(self, connection: Connection, user_id: UserId) -> None:
        """See `Database`."""
        connection.execute(HOLD_USER, {"user_id": user_id})

    def now(self, connection: Connection, /) -> datetime:
        """See `Database`; the server's own."""
        now: datetime = connection.execute(NOW).scalar_one()
        return now

    @contextmanager
    def _patiently_writing(self) -> Iterator[Connection]:
        with failures_named(), self._engine.begin() as connection:
            yield connection

    def _after_fork_in_parent(self) -> None:
        """Nothing was held."""

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        with within(MIGRATION_WAIT + self._wait), self._patiently_writing() as connection:
            milliseconds = round(MIGRATION_WAIT.total_seconds() * 1000)
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
            connection.execute(HOLD_SCHEMA, {"key": SCHEMA_KEY})
            yield connection
