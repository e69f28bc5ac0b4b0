"""PostgreSQL: for more than one server. Needs psycopg 3.

A single read runs without BEGIN and COMMIT around it. Changes of one user wait for each other on its row,
because under READ COMMITTED each statement sees another moment.
A transaction takes no longer than `wait` in all, the wait for a connection included, also where the server is
frozen (`bounded_psycopg`); and what a connection is asked once is asked at its beginning:

- whether it may be written. A replica is refused: it does not know yet what has just ended.
- whether it leads to one server process for good, or through a pooler that gives each transaction another
  one. There nothing may be set for longer than a transaction, because others would inherit it.

No statement is prepared by name at the server, which a pooler in transaction mode may not know.

Source: PostgreSQL, "Transaction Isolation", "Explicit Locking", "Database Connection Control Functions";
PgBouncer, "Features".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Dialect, Table, bindparam, create_engine, event, func, select, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from entrada.accounts.identity import UserId
from entrada.storage.sql.audit_entries import forget_noted, write_noted
from entrada.storage.sql.bounded_psycopg import BoundedConnection, MayOnlyBeRead, connect_in_time
from entrada.storage.sql.database import (
    CONNECTIONS_AT_MOST,
    CONNECTIONS_IDLE,
    MIGRATION_LOOK,
    MIGRATION_WAIT,
    Database,
    say_waiting,
)
from entrada.storage.sql.deadline import within
from entrada.storage.sql.failures import BUSY, Progress, failures_named, unavailable
from entrada.storage.sql.listening import RevocationListener
from entrada.storage.sql.revocation import TELL
from entrada.storage.sql.tables import users

HOLD_USER = select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update()
NOW = select(func.clock_timestamp())
HOLD_ADVISORY = select(func.pg_advisory_xact_lock(bindparam("key")))
TRY_ADVISORY = select(func.pg_try_advisory_xact_lock(bindparam("key")))
HOLDER = text(
    "SELECT a.state = 'active' AND coalesce(a.wait_event_type, '') <> 'Lock' AS works, a.state_change "
    "FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_database d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() "
    "AND l.objsubid = 1 AND l.classid::bigint = :high AND l.objid::bigint = :low"
)
"""Who has the advisory lock of this number, and whether the server does something for it just now."""
MIGRATION_AT_MOST = timedelta(hours=1)
"""How long all steps together, and waiting for another that runs them, may take."""
MIGRATION_POLL = timedelta(milliseconds=200)
SCHEMA_KEY = 0x656E7472616461
"""`entrada` in ASCII: the advisory lock of whoever prepares the database."""
SCHEMA_KEY_HALVES = {"high": SCHEMA_KEY >> 32, "low": SCHEMA_KEY & 0xFFFFFFFF}
"""As `pg_locks` shows it."""
ADMINISTRATION_KEY = SCHEMA_KEY + 1
"""The advisory lock of whoever changes what administrators are protected from."""

LOOK_AT_SERVER = "SELECT pg_backend_pid(), current_setting('transaction_read_only')"
POOLED = "entrada pooled"
"""Under this name `connection.info` says whether a pooler is in between."""


MAY_TRUNCATE = select(func.has_table_privilege(bindparam("name"), "TRUNCATE"))
TIMEOUTS = ("statement_timeout", "idle_in_transaction_session_timeout")
"""The second is for a server of ours that stands still: what it holds is let go of, and the others go on."""


class PostgresqlDatabase(Database):
    """The database that the URL names. Connects when it is first used."""

    def __init__(self, url: URL, *, wait: timedelta) -> None:
        usual = {
            "application_name": "entrada",
            "prepare_threshold": None,
            "connect_timeout": max(2, round(wait.total_seconds())),
            "tcp_user_timeout": milliseconds_of(wait),
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            # Of several hosts the one that may be written; of a single one `looked_at` says why not.
            **({"target_session_attrs": "read-write"} if isinstance(url.query.get("host"), tuple) else {}),
        }
        self._url = url
        self._usual = {name: value for name, value in usual.items() if name not in url.query}
        engine = create_engine(
            url,
            connect_args=self._usual,
            poolclass=QueuePool,
            pool_size=CONNECTIONS_IDLE,
            max_overflow=CONNECTIONS_AT_MOST - CONNECTIONS_IDLE,
            pool_timeout=wait.total_seconds(),
            pool_pre_ping=True,
            hide_parameters=True,
        )

        @event.listens_for(engine, "do_connect")
        def connect(
            _: Dialect, __: ConnectionPoolEntry, arguments: list[Any], named: dict[str, Any]
        ) -> BoundedConnection:
            return connect_in_time(arguments, named)

        @event.listens_for(engine, "connect")
        def look(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
            assert isinstance(connection, BoundedConnection)
            entry.info[POOLED] = looked_at(connection, wait=wait)

        @event.listens_for(engine, "handle_error")
        def give_up_what_may_only_be_read(context: ExceptionContext) -> None:
            if getattr(context.original_exception, "sqlstate", None) == MayOnlyBeRead.sqlstate:
                context.is_disconnect = True

        readers = engine.execution_options(isolation_level="AUTOCOMMIT")
        super().__init__(url.render_as_string(hide_password=True), engine, wait=wait, readers=readers)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See `Database`; within the promised time."""
        with within(self.wait), failures_named(Progress()), self._readers.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Database`; within the promised time."""
        with within(self.wait), self._transaction(self.wait) as connection:
            yield connection

    def hold_user(self, connection: Connection, user_id: UserId) -> None:
        """See `Database`."""
        connection.execute(HOLD_USER, {"user_id": user_id})

    def hold_administration(self, connection: Connection) -> None:
        """See `Database`."""
        connection.execute(HOLD_ADVISORY, {"key": ADMINISTRATION_KEY})

    def erased(self) -> None:
        """See `Database`: vacuum's to do, and an archive of PostgreSQL's log has a time of its own."""

    def now(self, connection: Connection, /) -> datetime:
        """See `Database`; the server's own."""
        now: datetime = connection.execute(NOW).scalar_one()
        return now

    def listening(self, heard: Callable[[], None]) -> RevocationListener:
        """See `Database`."""
        dialect = self._engine.dialect

        def connect() -> BoundedConnection:
            arguments, named = dialect.create_connect_args(self._url)
            return connect_in_time([*arguments], {**self._usual, **named, "autocommit": True})

        def send(message: str) -> None:
            with self.reading() as connection:
                connection.execute(TELL, {"message": message})

        return RevocationListener(connect=connect, wait=self.wait, send=send, heard=heard)

    def clear(self, connection: Connection, *tables: Table) -> None:
        """See `Database`; where we may, in no longer than it takes for one row.

        To delete a million one by one takes longer than a transaction may.
        """
        names = [table.name for table in tables]
        if all(connection.execute(MAY_TRUNCATE, {"name": name}).scalar_one() for name in names):
            connection.exec_driver_sql(f"TRUNCATE {', '.join(names)}")
        else:
            super().clear(connection, *tables)

    @contextmanager
    def _transaction(self, limit: timedelta) -> Iterator[Connection]:
        progress = Progress()
        with (
            failures_named(progress),
            self._engine.connect() as connection,
            connection.begin() as transaction,
        ):
            if connection.info.get(POOLED) or limit != self.wait:
                for timeout in TIMEOUTS:
                    connection.exec_driver_sql(f"SET LOCAL {timeout} = {milliseconds_of(limit)}")
            forget_noted(connection)
            yield connection
            write_noted(connection)
            progress.is_committing = True
            transaction.commit()

    def _after_fork_in_parent(self) -> None:
        """Nothing was held."""

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        with within(MIGRATION_AT_MOST), self._transaction(MIGRATION_AT_MOST) as connection:
            # One of ours that stands still in the middle lets go soon all the same.
            limit = milliseconds_of(MIGRATION_WAIT + self.wait)
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {limit}")
            wait_for_others(connection)
            yield connection


def wait_for_others(connection: Connection) -> None:
    """Until nobody else prepares the database, as long as that one makes progress: the server works on a
    statement of its transaction, or on another one than before.

    Raises:
        StoreUnavailable: it made none for a minute, or its role does not let us see it.
    """
    seen = None
    now = moved_at = time.monotonic()
    say_at = now + MIGRATION_LOOK.total_seconds()
    while not connection.execute(TRY_ADVISORY, {"key": SCHEMA_KEY}).scalar_one():
        now = time.monotonic()
        holder = connection.execute(HOLDER, SCHEMA_KEY_HALVES).first()
        if holder is None or holder.works or holder.state_change != seen:
            moved_at, seen = now, None if holder is None else holder.state_change
        if now - moved_at > MIGRATION_WAIT.total_seconds():
            raise unavailable(BUSY)
        if now >= say_at:
            say_waiting()
            say_at = now + MIGRATION_LOOK.total_seconds()
        time.sleep(MIGRATION_POLL.total_seconds())


def unknown_option(url: URL) -> str | None:
    """The name of an option that libpq does not have."""
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    return next((name for name in url.query if name not in known), None)


def looked_at(connection: BoundedConnection, *, wait: timedelta) -> bool:
    """Whether a pooler is between; where none is, the server ends each statement in `wait`.

    Raises:
        MayOnlyBeRead: a replica, or a server under maintenance.
    """
    cursor = connection.cursor()
    pid, read_only = cursor.execute(LOOK_AT_SERVER).fetchone() or (0, "on")
    if read_only != "off":
        connection.close()
        raise MayOnlyBeRead("the server may only be read")
    is_pooled: bool = pid != connection.info.backend_pid
    if not is_pooled:
        for timeout in TIMEOUTS:
            cursor.execute(f"SET {timeout} = {milliseconds_of(wait)}")
    cursor.close()
    connection.commit()
    return is_pooled


def milliseconds_of(time: timedelta) -> int:
    """As PostgreSQL's settings take it."""
    return round(time.total_seconds() * 1000)
