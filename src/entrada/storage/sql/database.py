"""One database: its connections, its transactions, its schema.

    database.migrate()      brings the tables up to date
    database.reading()      one statement, which sees one moment
    database.writing()      one transaction: all of it or nothing
    database.close()

Statements are SQLAlchemy Core, made once when a module is loaded, so that each is compiled once.
`sqlite` and `postgresql` say what differs.

Source: SQLAlchemy, "Using Connection Pools with Multiprocessing or os.fork()".
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Table, delete

from entrada.accounts.identity import UserId
from entrada.audit.acts import Act, Action
from entrada.sessions.revocation import LogPosition, Revocations
from entrada.storage.sql.audit_entries import note
from entrada.storage.sql.failures import failures_named
from entrada.storage.sql.migrations import HEAD, is_usable, upgrade, version_of
from entrada.storage.sql.revocation import read_revocations

if TYPE_CHECKING:
    from entrada.storage.sql.listening import RevocationListener

WAIT = timedelta(seconds=5)
"""How long a transaction waits for others, and a thread for a connection, before it gives up."""

MIGRATION_WAIT = timedelta(minutes=1)
"""How long a process that starts waits for another that prepares the database and makes no progress. While it
makes some, it is waited for: a million accounts take a minute, and nobody knows how many there are."""

MIGRATION_LOOK = timedelta(seconds=5)
"""After which time it is looked again whether it makes progress, and said that somebody waits."""

CONNECTIONS_IDLE, CONNECTIONS_AT_MOST = 5, 20

log = logging.getLogger("entrada")


class Database(ABC):
    """A database with its pool of connections. Safe for threads, and across a fork outside a transaction."""

    def __init__(self, name: str, engine: Engine, *, wait: timedelta, readers: Engine | None = None) -> None:
        self.name = name
        """The URL without its password, for logs."""
        self.wait = wait
        """How long a transaction may take, waiting for others included."""
        self._engine = engine
        self._readers = readers or engine
        with OPENING:
            OPEN.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def migrate(self) -> None:
        """Bring a fresh or older database up to date; quick when it is so already, or newer and fits.

        Processes that start together do it once: the others wait. Cut off in the middle, nothing of it stays.

        Raises:
            ConfigurationError: a newer Entrada has prepared this database, and this one does not fit it.
            StoreUnavailable: it did not answer, or another that prepares it makes no progress for a minute.
        """
        with self.reading() as connection:
            if is_usable(connection):
                return
        with self._migrating() as connection:
            before = version_of(connection)
            is_older = before not in (None, HEAD)
            upgrade(connection, applied=say_step if is_older else None)
            if is_older:
                details = {"from": before, "to": HEAD}
                note(connection, Act(action=Action.DATABASE_UPGRADED, details=details))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """For one statement: it sees one moment, where two would see two."""
        with failures_named(), self._readers.connect() as connection:
            yield connection

    @abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction, rolled back when the block raises."""

    @abstractmethod
    def hold_user(self, connection: Connection, user_id: UserId) -> None:
        """From here to the end of the transaction nobody else changes this user."""

    def clear(self, connection: Connection, *tables: Table) -> None:
        """All rows of these tables go; a table that refers to another is named before it."""
        for table in tables:
            connection.execute(delete(table))

    @abstractmethod
    def now(self, connection: Connection, /) -> datetime:
        """The time by the clock that all servers at this database share."""

    def listening(self, heard: Callable[[], None]) -> RevocationListener | None:  # noqa: ARG002
        """What calls `heard` when something ended anywhere; None: this database does not say so by itself."""
        return None

    @abstractmethod
    def hold_administration(self, connection: Connection) -> None:
        """From here to the transaction's end nobody else changes anything under rules of administration."""

    @abstractmethod
    def erased(self) -> None:
        """Called when somebody was deleted: what the files of this database still say of them goes, too."""

    def revocations(self, since: LogPosition | None) -> Revocations:
        """See SessionStore."""
        with self.reading() as connection:
            return read_revocations(connection, since)

    def furthest_position(self, since: LogPosition | None) -> LogPosition | None:
        """The furthest position of the log that is remembered outside the database."""
        return since

    def close(self) -> None:
        """Close the idle connections. The database opens new ones if it is used again."""
        self._engine.dispose()

    @abstractmethod
    def _migrating(self) -> AbstractContextManager[Connection]:
        """A transaction that only one process at a time is in, waited for patiently."""

    def _before_fork(self) -> None:
        """SQLite's locks and a PostgreSQL connection belong to one process: none may cross over."""
        self.close()

    @abstractmethod
    def _after_fork_in_parent(self) -> None:
        """Let go of what `_before_fork` held."""

    def _after_fork_in_child(self) -> None:
        INHERITED.append(self._engine.pool)
        self._engine.dispose(close=False)


def say_step(step: str) -> None:
    """For the log, while an older database is brought up to date."""
    log.warning("The database is brought up to date: step %s of %s is done.", step, HEAD)


def say_waiting() -> None:
    """For the log of a process that waits for another."""
    log.warning("Another process brings the database up to date: waiting while it makes progress.")


OPEN: WeakSet[Database] = WeakSet()
OPENING = Lock()
"""Held during a fork, so that no database is opened meanwhile."""
INHERITED: list[object] = []
"""In a forked child: what threads of the parent had in use, held for ever so that nobody here closes it."""


FORKING: list[Database] = []
"""During a fork: the databases there were when it began."""


def before_fork() -> None:
    """Let go of what a child must not inherit. Runs in the parent, before the fork."""
    OPENING.acquire()
    FORKING[:] = OPEN
    for database in FORKING:
        database._before_fork()


def after_fork_in_parent() -> None:
    """Take up again what was let go of."""
    for database in FORKING:
        database._after_fork_in_parent()
    FORKING.clear()
    OPENING.release()


def after_fork_in_child() -> None:
    """Begin anew with connections of its own."""
    for database in FORKING:
        database._after_fork_in_child()
    FORKING.clear()
    OPENING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=before_fork, after_in_parent=after_fork_in_parent, after_in_child=after_fork_in_child
    )
