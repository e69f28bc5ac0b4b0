"""SQLite, made fit for several threads and processes on one file.

- WAL: readers and the one writer do not wait for each other.
- A writing transaction begins with BEGIN IMMEDIATE. One that only finds out later that it writes meets
  SQLITE_BUSY at once, whatever the time-out, when another process wrote meanwhile.
- The threads of one process queue for their turn here, and only the processes poll for the file.
- synchronous=NORMAL: a killed process loses nothing; a power cut may lose the last transactions, whole ones.
- The file is made for its owner alone (0600); SQLite gives -wal and -shm the mode of the file.
- A file that vanishes is an error, not a new empty database.

Source: SQLite, "Write-Ahead Logging", "Transaction", "PRAGMA data_version", "URI Filenames";
SQLAlchemy, "SQLite: Transaction Isolation Level".
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from entrada.accounts.identity import UserId
from entrada.storage.sql.database import INHERITED, MIGRATION_WAIT, Database
from entrada.storage.sql.failures import BUSY, NOT_OPENED, failures_named, unavailable

LOOK_AGAIN_AFTER_SECONDS = 0.02
EPOCH = "SELECT epoch FROM entrada_revocation"


class SqliteDatabase(Database):
    """One file, made if it is not there.

    Raises:
        StoreUnavailable: the folder is missing, or may not be written.
    """

    def __init__(self, path: Path, *, wait: timedelta) -> None:
        self.path = path.absolute()
        self._wait = wait
        self._turn = Lock()
        self._resting: list[Connection] = []
        self._epoch = WatchedNumber(self._open, EPOCH)
        make_file(self.path)
        engine = create_engine(
            "sqlite+pysqlite://", creator=self._open, poolclass=NullPool, hide_parameters=True
        )
        super().__init__(f"sqlite:///{self.path}", engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with failures_named(), self._borrowed() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        if not self._turn.acquire(timeout=self._wait.total_seconds()):
            raise unavailable(BUSY)
        try:
            with failures_named(), self._borrowed() as connection:
                driver = driver_of(connection)
                driver.execute("BEGIN IMMEDIATE")
                yield connection
                driver.execute("COMMIT")
        finally:
            self._turn.release()

    def hold_user(self, connection: Connection, user_id: UserId) -> None:
        """BEGIN IMMEDIATE holds everything already."""

    def revocation_epoch(self) -> int:
        return self._epoch.read()

    def close(self) -> None:
        self._epoch.close()
        while self._resting:
            self._resting.pop().close()
        super().close()

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        """A connection for the block alone; closed rather than used again when the block raises.

        SQLAlchemy's pool would do the same, and cost more than the statement.
        """
        try:
            connection = self._resting.pop()
        except IndexError:
            connection = self._engine.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._resting.append(connection)

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        patient = SqliteDatabase(self.path, wait=MIGRATION_WAIT)
        try:
            with patient.writing() as connection:
                yield connection
        finally:
            patient.close()

    def _before_fork(self) -> None:
        self._turn.acquire()
        self.close()

    def _after_fork_in_parent(self) -> None:
        self._turn.release()

    def _after_fork_in_child(self) -> None:
        INHERITED.append(self._resting)
        self._turn, self._resting = Lock(), []
        self._epoch = WatchedNumber(self._open, EPOCH)
        super()._after_fork_in_child()

    def _open(self) -> sqlite3.Connection:
        return open_connection(self.path, wait=self._wait)


def driver_of(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def make_file(path: Path) -> None:
    """An empty file that only its owner may read, where there is none yet.

    One that is there is not even opened: closing it would take from this process every lock that its other
    connections hold on it (SQLite, "How To Corrupt An SQLite Database File", 2.2).

    Raises:
        StoreUnavailable: the folder is missing, or may not be written.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as failure:
        if not path.exists():
            raise unavailable(NOT_OPENED) from failure


def open_connection(path: Path, *, wait: timedelta) -> sqlite3.Connection:
    """A connection that begins no transaction by itself and waits at most `wait` for other writers."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=wait.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        switch_to_wal(connection, deadline=time.monotonic() + wait.total_seconds())
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def switch_to_wal(connection: sqlite3.Connection, *, deadline: float) -> None:
    """Nothing to do but for the first connection ever, and then SQLite does not wait for others by itself."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as failure:
            if failure.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_AFTER_SECONDS)
        else:
            return


class WatchedNumber:
    """One number in the database, read again only when the file was written since.

    Keeps a connection of its own that never writes: `PRAGMA data_version` then changes whenever anybody
    else wrote, in this process or another.
    """

    def __init__(self, open_connection: Callable[[], sqlite3.Connection], query: str) -> None:
        self._open_connection = open_connection
        self._query = query
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._number = 0

    def read(self) -> int:
        with self._lock:
            try:
                return self._read()
            except sqlite3.Error:
                self._forget()
                with failures_named():
                    raise

    def close(self) -> None:
        with self._lock:
            self._forget()

    def _read(self) -> int:
        if self._connection is None:
            self._connection = self._open_connection()
        # The version first: a write between the two reads then only makes the next call read again.
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            (self._number,) = self._connection.execute(self._query).fetchone()
            self._version = version
        return self._number

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._version = None
