"""A backup put in the place of an SQLite database, in one transaction of SQLite's own.

    with checked_copy(backup, beside=database) as draft:    sound, and of this version's tables
        restore(draft, database, kept=...)                  all of it, or the database is as it was

Nobody else may hold the database meanwhile. Sessions of the backup end before it is in place, with an entry
of the log that is numbered behind what the database, and the mark beside it, knew: none that ended is back,
and a server that looks later has nothing to end again.

Source: SQLite, "SQLite Backup API", "PRAGMA locking_mode", "Atomic Commit In SQLite".
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from entrada.audit.acts import Act, Action, Cause
from entrada.compatibility import sqlite_error_name
from entrada.errors import ConfigurationError
from entrada.sessions.revocation import LogPosition
from entrada.storage.sql.audit_trail import SqlAuditTrail
from entrada.storage.sql.database import WAIT
from entrada.storage.sql.failures import failures_named
from entrada.storage.sql.migrations import version_of
from entrada.storage.sql.outside_mark import OutsideMark
from entrada.storage.sql.revocation import read_position
from entrada.storage.sql.sessions import SqlSessionStore
from entrada.storage.sql.sqlite import SqliteDatabase
from entrada.storage.sql.sqlite_copy import copy_pages, faults_in, new_private_file, to_the_disk

BESIDE = ("-wal", "-shm", "-journal")


@contextmanager
def checked_copy(backup: Path, *, beside: Path) -> Iterator[Path]:
    """A copy of the backup beside the database, checked and brought up to date; gone after the block.

    Raises:
        ConfigurationError: it is no sound database of Entrada's, or a newer version's.
        OSError: it cannot be read, or there is no room for the copy.
    """
    with backup.open("rb"):
        pass
    draft = beside.absolute().with_name(f"{beside.name}.{secrets.token_hex(8)}")
    new_private_file(draft)
    try:
        try:
            with closing(_read_only(backup)) as source, closing(sqlite3.connect(draft)) as target:
                copy_pages(source, target)
                target.execute("PRAGMA journal_mode=DELETE")
                faults = faults_in(target)
        except sqlite3.DatabaseError as failure:
            faults = [str(failure)]
        if faults:
            raise ConfigurationError(
                f"{backup} is not a sound SQLite database ({faults[0]}). Nothing was changed.",
                hint="Restore another backup.",
            )
        _bring_up_to_date(draft, backup)
        yield draft
    finally:
        for each in (draft, *(draft.with_name(draft.name + end) for end in BESIDE), OutsideMark(draft).path):
            each.unlink(missing_ok=True)


def restore(draft: Path, database: Path, *, kept: Path, cause: Cause) -> int:
    """Puts the checked copy in the database's place; `kept` then holds what was there, if anything was.

    How many sessions of the backup ended. Its audit trail says so, and where the one that was there had come.

    Raises:
        ConfigurationError: somebody holds the database, or it is not one that SQLite can read.
        OSError: what is there cannot be kept.
        StoreUnavailable: it could not be written, and is as it was.
    """
    mark = OutsideMark(database.absolute())
    if not database.exists():
        _refuse_remains(database)
        ended, newest = _end_sessions(draft, beyond=mark.read(), cause=cause, replaced=None)
        os.link(draft, database)
    else:
        with closing(_held(database)) as live:
            _keep(live, kept)
            known = [each for each in (mark.read(), _position(live)) if each is not None]
            beyond = max(known, key=lambda each: each.sequence, default=None)
            replaced = _head(live)
            ended, newest = _end_sessions(draft, beyond=beyond, cause=cause, replaced=replaced)
            with failures_named(), closing(sqlite3.connect(draft)) as source:
                copy_pages(source, live)
    with suppress(OSError):  # an old mark makes the next server end all sessions again, and there are none
        mark.write(newest)
    return ended


def _read_only(backup: Path) -> sqlite3.Connection:
    """With what lies in the -wal beside it, if there is one; without, nothing is made beside it."""
    alone = not any(backup.with_name(backup.name + end).exists() for end in BESIDE)
    options = "mode=ro&immutable=1" if alone else "mode=ro"
    return sqlite3.connect(f"{backup.absolute().as_uri()}?{options}", uri=True)


def _bring_up_to_date(draft: Path, backup: Path) -> None:
    database = SqliteDatabase(draft, wait=WAIT)
    try:
        with database.reading() as connection:
            version = version_of(connection)
        if version is None:
            raise ConfigurationError(
                f"{backup} is a database, but not one of Entrada's. Nothing was changed.",
                hint="Restore a file that `entrada db backup` made.",
            )
        database.migrate()
    finally:
        database.close()


def _refuse_remains(database: Path) -> None:
    for end in BESIDE:
        if database.with_name(database.name + end).exists():
            raise ConfigurationError(
                f"{database.name}{end} is left of a database that is not there. Nothing was changed.",
                hint="Move it to where its database is, or away.",
            )


def _held(database: Path) -> sqlite3.Connection:
    """With every lock that there is on it, until it is closed; nothing lies in a -wal any more."""
    live = sqlite3.connect(
        f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None
    )
    try:
        live.execute("PRAGMA locking_mode=EXCLUSIVE")
        live.execute("PRAGMA journal_mode=DELETE")
        live.execute("BEGIN EXCLUSIVE")
        live.execute("COMMIT")
    except sqlite3.DatabaseError as failure:
        live.close()
        if sqlite_error_name(failure) in ("SQLITE_BUSY", "SQLITE_LOCKED"):
            raise ConfigurationError(
                f"A server, or another program, has {database} open. Nothing was changed.",
                hint="Stop every server on this database, and restore again.",
            ) from None
        raise ConfigurationError(
            f"{database}, which is there now, cannot be read or written ({failure}). Nothing was changed.",
            hint="Stop every server, move it and the files that begin with its name away, and restore again.",
        ) from None
    except BaseException:
        live.close()
        raise
    return live


def _keep(live: sqlite3.Connection, kept: Path) -> None:
    """As it is, sound or not; whole or not at all, and over no file."""
    draft = kept.with_name(f"{kept.name}.{secrets.token_hex(8)}")
    new_private_file(draft)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as target:
            copy_pages(live, target)
        to_the_disk(draft)
        os.link(draft, kept)
    finally:
        draft.unlink(missing_ok=True)


def _position(live: sqlite3.Connection) -> LogPosition | None:
    """How far its log of what ended had come; None where it can no longer say."""
    try:
        row = live.execute("SELECT epoch FROM entrada_revocation").fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if row is None or not isinstance(row[0], int) else LogPosition(row[0], 0)


def _head(live: sqlite3.Connection) -> str | None:
    """Where its audit trail ended; None where it can no longer say, or had none."""
    try:
        row = live.execute("SELECT number, hash FROM entrada_audit_head").fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if row is None else f"{row[0]}:{row[1]}"


def _end_sessions(
    draft: Path, *, beyond: LogPosition | None, cause: Cause, replaced: str | None
) -> tuple[int, LogPosition]:
    """How many, and where the log of the copy stands then."""
    database = SqliteDatabase(draft, wait=WAIT)
    try:
        restored = Act(action=Action.DATABASE_RESTORED, cause=cause, details={"replaced": replaced})
        SqlAuditTrail(database).record(restored)
        ended = SqlSessionStore(database).end_all(since=beyond, cause=cause)
        with database.reading() as connection:
            newest = read_position(connection)
    finally:
        database.close()
    with closing(sqlite3.connect(draft, isolation_level=None)) as alone:
        alone.execute("PRAGMA journal_mode=DELETE")
    to_the_disk(draft)
    return ended, newest
