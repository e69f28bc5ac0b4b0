"""A file beside an SQLite database that says: it is being prepared, and this is how far it is.

    entrada.db    →    entrada-db.migrating    its time is that of the last sign of progress

SQLite itself tells nobody what a transaction does. It calls back every some thousand steps of its machine,
inside a single long statement too; so a process that is frozen, or gone, shows no progress. Who waits looks
only whether the time changes; the file decides nothing else, and one that was left behind never changes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection

from entrada.errors import StoreUnavailable
from entrada.storage.sql.database import MIGRATION_WAIT, say_waiting
from entrada.storage.sql.failures import BUSY, cause_of

STEPS = 50_000
"""Of SQLite's machine between two calls: some milliseconds."""
EVERY_SECONDS = 0.5


class MigrationSign:
    """The sign of the database at `database`. That it cannot be written stops nothing."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.name.replace('.', '-')}.migrating")

    def read(self) -> int | None:
        """What changes while there is progress; None: there is no sign."""
        try:
            return os.stat(self.path).st_mtime_ns
        except OSError:
            return None

    @contextmanager
    def shown(self, connection: sqlite3.Connection) -> Iterator[None]:
        """While this connection prepares the database."""
        told_at = float("-inf")

        def tell() -> int:
            nonlocal told_at
            now = time.monotonic()
            if now - told_at >= EVERY_SECONDS:
                told_at = now
                with suppress(OSError):
                    os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
                    os.utime(self.path)
            return 0  # go on

        tell()
        connection.set_progress_handler(tell, STEPS)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)
            with suppress(OSError):
                self.path.unlink()


def begin_patiently(
    begin: Callable[[], AbstractContextManager[Connection]], sign: MigrationSign, stack: ExitStack
) -> Connection:
    """A transaction in `stack`, waited for as long as another that prepares the database makes progress.

    Raises:
        StoreUnavailable: it made none for a minute, or the database does not answer for another reason.
    """
    moved_at, seen = time.monotonic(), sign.read()
    while True:
        try:
            return stack.enter_context(begin())
        except StoreUnavailable as failure:
            now, newest = time.monotonic(), sign.read()
            if newest is not None and newest != seen:
                moved_at, seen = now, newest
            if not is_busy(failure) or now - moved_at >= MIGRATION_WAIT.total_seconds():
                raise
            say_waiting()


def is_busy(failure: StoreUnavailable) -> bool:
    """Whether others write, and nothing else is wrong."""
    cause = failure.__cause__
    return cause_of(getattr(cause, "orig", cause)) == BUSY
