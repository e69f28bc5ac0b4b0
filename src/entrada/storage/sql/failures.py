"""What a database's failure means for a person, in one place.

Everything a driver raises becomes `StoreUnavailable` with the cause in the sentence and the next step in
the hint; except a broken uniqueness rule, which the stores themselves understand.
Neither names a host, a path, a statement or a value: the page shows both to whoever is signing in.

Source: SQLite, "Result and Error Codes"; PostgreSQL, "Appendix A. PostgreSQL Error Codes".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from entrada.compatibility import sqlite_error_name
from entrada.errors import Fixer, StoreUnavailable

BUSY = (
    "it is busy with other writes",
    "Try again in a moment. If this stays, look for a program that holds it.",
)
FULL = ("its disk is full", "Free space on the disk that holds the database.")
READ_ONLY = (
    "it is read-only",
    "Let the account that runs Entrada write the database and the folder it lies in ($[database_url]).",
)
NOT_OPENED = (
    "it cannot be opened",
    "See that the folder named in $[database_url] exists, and that Entrada's account may write it.",
)
DAMAGED = (
    "it is damaged, or not a database of Entrada's at all",
    "See what $[database_url] names, and restore it from a backup if it is the right one.",
)
DISK = ("its disk reports an error", "Look at the disk that holds the database, and at the system's log.")
NOT_PREPARED = (
    "its tables are missing",
    "Restart Entrada, which makes them when it starts.",
)
REFUSED = (
    "it refuses Entrada's user or password, or has no such database",
    "Correct $[database_url].",
)
MARK_NOT_READ = (
    "the file beside it that says what had ended cannot be read",
    "Let the account that runs Entrada read and write every file beside the database ($[database_url]).",
)
MAY_ONLY_BE_READ = (
    "it is a server that may only be read, such as a replica",
    "Let $[database_url] name the server that may be written. After a fail-over, see that the name leads to "
    "the new one.",
)
TOO_SLOW = ("it took too long", "Try again in a moment. If this stays, look at the load of the database.")
NOT_REACHED = (
    "it cannot be reached",
    "See that it runs, and where $[database_url] says, and that it accepts what the options there ask for.",
)

SQLITE_CAUSES = {
    "SQLITE_BUSY": BUSY,
    "SQLITE_LOCKED": BUSY,
    "SQLITE_FULL": FULL,
    "SQLITE_READONLY": READ_ONLY,
    "SQLITE_PERM": READ_ONLY,
    "SQLITE_CANTOPEN": NOT_OPENED,
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_NOTADB": DAMAGED,
    "SQLITE_IOERR": DISK,
    "SQLITE_ERROR": NOT_PREPARED,
}
"""By the first two words of SQLite's name for the error."""

POSTGRESQL_CAUSES = {
    "25006": MAY_ONLY_BE_READ,
    "28": REFUSED,
    "3D": REFUSED,
    "42": NOT_PREPARED,
    "40": BUSY,
    "53100": FULL,
    "53": BUSY,
    "55P03": BUSY,
    "57014": TOO_SLOW,
    "58": DISK,
    "XX": DAMAGED,
}
"""By SQLSTATE, or its class."""


PASSING = {"40001", "40P01", "57P01", "57P02"}
"""Serialization failure, deadlock, a connection ended from above: the next attempt may succeed."""
DECIDED = {"40001", "40P01"}
"""With these the server says that nothing of the transaction stays, whatever it was doing."""


class RolledBack(Exception):
    """The cause of a failure of which is known that nothing was changed: the whole may be tried again."""


def may_be_repeated(failure: StoreUnavailable) -> bool:
    """Whether nothing was changed, and the next attempt may succeed."""
    return isinstance(failure.__cause__, RolledBack)


class DamagedRow(Exception):
    """A row holds what no store writes: altered by hand, or damaged."""


class Progress:
    """How far a transaction has come: once COMMIT is on its way, a lost connection leaves open what became
    of it.
    """

    is_committing = False

    def is_undone(self, failure: DBAPIError) -> bool:
        """Whether it failed for a reason that passes, with nothing changed."""
        state = getattr(failure.orig, "sqlstate", None)
        if self.is_committing:
            return state in DECIDED
        return state in PASSING or (state is None and failure.connection_invalidated)


@contextmanager
def failures_named(progress: Progress | None = None) -> Iterator[None]:
    """Raises StoreUnavailable for everything that a database can fail with, save a broken uniqueness rule.

    With `progress`, `may_be_repeated` tells whether to try again.
    """
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as failure:
        raise unavailable(BUSY) from failure
    except DBAPIError as failure:
        reason: Exception = failure
        if progress is not None and progress.is_undone(failure):
            reason = RolledBack()
            reason.__cause__ = failure
        raise unavailable(cause_of(failure.orig)) from reason
    except DamagedRow as failure:
        raise unavailable(DAMAGED) from failure
    except sqlite3.Error as failure:
        raise unavailable(cause_of(failure)) from failure


def unavailable(cause: tuple[str, str]) -> StoreUnavailable:
    """The error for a cause named above, with who can fix it."""
    what, hint = cause
    fixer = Fixer.NOBODY if cause in (BUSY, TOO_SLOW) else Fixer.ADMINISTRATOR
    return StoreUnavailable(
        f"The database of this application did not answer: {what}.", hint=hint, fixer=fixer
    )


def cause_of(failure: BaseException | None) -> tuple[str, str]:
    """What happened and what to do, read from the driver's error code, never from its text."""
    if isinstance(failure, sqlite3.Error):
        return SQLITE_CAUSES.get(sqlite_error_name(failure), DISK)
    state = getattr(failure, "sqlstate", None) or ""
    return POSTGRESQL_CAUSES.get(state) or POSTGRESQL_CAUSES.get(state[:2]) or NOT_REACHED
