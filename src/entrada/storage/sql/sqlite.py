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

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from threading import Condition, Lock, get_ident

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from entrada.accounts.identity import UserId
from entrada.compatibility import UTC, sqlite_error_name
from entrada.errors import StoreUnavailable
from entrada.sessions.revocation import LogPosition, Revocations
from entrada.storage.sql.audit_entries import forget_noted, write_noted
from entrada.storage.sql.database import INHERITED, MIGRATION_LOOK, Database
from entrada.storage.sql.failures import BUSY, MARK_NOT_READ, NOT_OPENED, failures_named, unavailable
from entrada.storage.sql.migration_sign import MigrationSign, begin_patiently
from entrada.storage.sql.outside_mark import OutsideMark
from entrada.storage.sql.revocation import NEWEST, read_revocations

log = logging.getLogger(__name__)

LOOK_AGAIN_AFTER_SECONDS = 0.02
FORK_MARGIN = timedelta(seconds=1)
"""A thread may wait as long as any transaction does; a fork waits a little longer for it to be over."""


class SqliteDatabase(Database):
    """One file, made if it is not there.

    Raises:
        StoreUnavailable: the folder is missing, or may not be written.
    """

    def __init__(self, path: Path, *, wait: timedelta) -> None:
        self.path = path.absolute()
        self._turn = Lock()
        self._idle: list[Connection] = []
        self._in_use = ForkGate()
        self._file = WatchedFile(self.path, self._open)
        self._seen: tuple[tuple[int, int, int], LogPosition] | None = None
        self._opened: tuple[int, int] | None = None
        """Which file is open; None: nothing is. Never a later one than any connection reads."""
        self._mark = OutsideMark(self.path)
        make_file(self.path)
        engine = create_engine(
            "sqlite+pysqlite://", creator=self._open, poolclass=NullPool, hide_parameters=True
        )
        super().__init__(f"sqlite:///{self.path}", engine, wait=wait)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See `Database`."""
        with failures_named(), self._borrowed() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Database`; one writer at a time."""
        if not self._turn.acquire(timeout=self.wait.total_seconds()):
            raise unavailable(BUSY)
        try:
            with failures_named(), self._borrowed() as connection:
                driver = driver_of(connection)
                driver.execute("BEGIN IMMEDIATE")
                forget_noted(connection)
                yield connection
                write_noted(connection)
                driver.execute("COMMIT")
                self._mark_outside(connection)
        finally:
            self._turn.release()

    def hold_user(self, connection: Connection, user_id: UserId) -> None:
        """BEGIN IMMEDIATE holds everything already."""

    def now(self, _: Connection, /) -> datetime:
        """See `Database`; this machine's, which all who have the file open run on."""
        return datetime.now(UTC)

    def hold_administration(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE holds everything already."""

    def erased(self) -> None:
        """See `Database`: the write-ahead log, which still has what stood there before, is emptied.

        Where a reader holds it for longer than we wait, it is emptied when the last one closes it.
        """
        try:
            with failures_named(), self._borrowed() as connection:
                row = driver_of(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                is_held = bool(row[0])
        except StoreUnavailable:
            is_held = True
        if is_held:
            log.warning("What was deleted stands in %s-wal until nobody has it open.", self.path.name)

    def revocations(self, since: LogPosition | None) -> Revocations:
        """See `Database`."""
        seen, version = self._seen, self._version()
        if self._opened not in (None, version[:2]):
            # Another file lies there now, and what is open reads the old one.
            self._close_all()
            version = self._version()
        elif seen is not None and since is not None and seen == (version, since):
            return Revocations(position=since)
        mark = self._read_mark()
        with self.reading() as connection:
            revocations = read_revocations(connection, mark if since is None else since)
            if not revocations.went_back and since is not None and mark is not None:
                went_back = read_revocations(connection, mark).went_back
                revocations = replace(revocations, went_back=went_back)
        self._seen = version, revocations.position
        if since is None and not revocations.went_back:
            return Revocations(position=revocations.position)
        return revocations

    def furthest_position(self, since: LogPosition | None) -> LogPosition | None:
        """See `Database`."""
        known = [position for position in (since, self._read_mark()) if position is not None]
        return max(known, key=attrgetter("sequence"), default=None)

    def close(self) -> None:
        """Close what is open."""
        self._close_all()
        super().close()

    def _version(self) -> tuple[int, int, int]:
        with self._in_use:
            return self._file.version()

    def _close_all(self) -> None:
        self._opened = None
        self._file.close()
        idle, self._idle = self._idle, []
        while idle:
            idle.pop().close()

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        """A connection for the block alone; closed rather than used again when the block raises.

        SQLAlchemy's pool would do the same, and cost more than the statement.
        """
        with self._in_use:
            idle = self._idle
            try:
                connection = idle.pop()
            except IndexError:
                connection = self._engine.connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            if idle is self._idle:
                idle.append(connection)
            else:  # another file lies there meanwhile
                connection.close()

    def _read_mark(self) -> LogPosition | None:
        try:
            return self._mark.read()
        except OSError as failure:
            raise unavailable(MARK_NOT_READ) from failure

    def _mark_outside(self, connection: Connection) -> None:
        """Remember outside what the transaction entered into the log, if it did.

        Not over a mark that this database does not know: that one says that it went back in time, and stays
        until everything has been ended.
        """
        newest = connection.info.pop(NEWEST, None)
        if newest is None:
            return
        try:
            mark = self._mark.read()
            if mark is None or not read_revocations(connection, mark).went_back:
                self._mark.write(newest)
        except OSError as failure:
            log.warning("%s cannot be written: %s", self._mark.path.name, type(failure).__name__)

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        sign = MigrationSign(self.path)
        patient = SqliteDatabase(self.path, wait=MIGRATION_LOOK)
        try:
            with ExitStack() as stack:
                connection = begin_patiently(patient.writing, sign, stack)
                with sign.shown(driver_of(connection)):
                    yield connection
        finally:
            patient.close()

    def _before_fork(self) -> None:
        """No connection may be open, in use or not: SQLite's locks and its view of the log file are the
        process's own, and a mutex that another thread holds stays shut in the child.
        """
        self._turn.acquire()
        self._in_use.shut(wait=self.wait + FORK_MARGIN)
        self.close()

    def _after_fork_in_parent(self) -> None:
        self._in_use.open()
        self._turn.release()

    def _after_fork_in_child(self) -> None:
        INHERITED.append((self._idle, self._file))
        self._turn, self._idle, self._in_use = Lock(), [], ForkGate()
        self._file, self._seen, self._opened = WatchedFile(self.path, self._open), None, None
        super()._after_fork_in_child()

    def _open(self) -> sqlite3.Connection:
        if self._opened is None:
            # Before it is opened: a file moved there in between is taken for another, and opened anew.
            with suppress(OSError):
                there = os.stat(self.path)
                self._opened = there.st_dev, there.st_ino
        return open_connection(self.path, wait=self.wait)


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The sqlite3 connection inside SQLAlchemy's."""
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
        # What is deleted is overwritten: not every SQLite is built so that it is by itself.
        connection.execute("PRAGMA secure_delete=ON")
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
            if sqlite_error_name(failure) != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_AFTER_SECONDS)
        else:
            return


class ForkGate:
    """Knows which threads are using the database, so that a fork can wait until no other is."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside: list[int] = []
        self._is_shut = False

    def __enter__(self) -> None:
        thread = get_ident()
        with self._changed:
            while self._is_shut and thread not in self._inside:
                self._changed.wait()
            self._inside.append(thread)

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside.remove(get_ident())
            if self._is_shut:
                self._changed.notify_all()

    def shut(self, *, wait: timedelta) -> None:
        """Let nobody in, and wait until the others have left; no longer than `wait`, come what may."""
        own = {get_ident()}
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: own.issuperset(self._inside), timeout=wait.total_seconds())

    def open(self) -> None:
        """Let others in again."""
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()


class WatchedFile:
    """Whether anybody has written to the database lately, or put another file in its place.

    Keeps a connection of its own that never writes: `PRAGMA data_version` then changes whenever anybody
    else wrote, in this process or another.
    """

    def __init__(self, path: Path, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._open_connection = open_connection
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None

    def version(self) -> tuple[int, int, int]:
        """Differs from what it was when the file was written or replaced since.

        Raises:
            StoreUnavailable: the file is gone, or cannot be read.
        """
        with self._lock:
            try:
                # By name: a file that was moved into its place would not be seen by a connection.
                there = os.stat(self._path)
                if self._connection is None:
                    self._connection = self._open_connection()
                (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            except OSError as failure:
                self._forget()
                raise unavailable(NOT_OPENED) from failure
            except sqlite3.Error:
                self._forget()
                with failures_named():
                    raise
            return there.st_dev, there.st_ino, version

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
