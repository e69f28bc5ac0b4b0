"""A whole copy of an SQLite database, made while servers write to it; and whether a file is sound.

    copy_to_new_file(database, copy)    one moment of it, 0600, whole or not there at all
    faults_in(connection)               what SQLite finds wrong; nothing if it is sound

SQLite's own backup copies what a plain copy of the file misses: what lies in the -wal beside it.

Source: SQLite, "SQLite Backup API", "PRAGMA integrity_check", "PRAGMA foreign_key_check".
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from entrada.compatibility import sqlite_error_name
from entrada.storage.sql.database import WAIT
from entrada.storage.sql.failures import failures_named
from entrada.storage.sql.sqlite import open_connection

FAULTS_AT_MOST = 10


def copy_to_new_file(database: Path, copy: Path) -> None:
    """Under another name first: `copy` appears when all of it is on the disk and was found sound.

    Raises:
        FileExistsError: there is such a file; it is left as it is.
        OSError: it cannot be written there.
        StoreUnavailable: the database, or the copy, cannot be read or is not sound.
    """
    if copy.exists() or copy.is_symlink():
        raise FileExistsError(copy)
    draft = copy.with_name(f"{copy.name}.{secrets.token_hex(8)}")
    new_private_file(draft)
    try:
        with failures_named(), closing(open_connection(database.absolute(), wait=WAIT)) as source:
            _copy(source, draft)
        to_the_disk(draft)
        os.link(draft, copy)  # never over a file that somebody put there meanwhile
        to_the_disk(copy.parent)
    finally:
        draft.unlink(missing_ok=True)


def faults_in(connection: sqlite3.Connection) -> list[str]:
    """The first of what is wrong, in SQLite's words; reads every page."""
    rows = connection.execute(f"PRAGMA integrity_check({FAULTS_AT_MOST})").fetchall()
    faults = [str(fault) for (fault,) in rows if fault != "ok"]
    if not faults:
        lost = connection.execute("PRAGMA foreign_key_check").fetchmany(FAULTS_AT_MOST)
        faults = [f"a row of {table} names one of {parent} that is not there" for table, _, parent, _ in lost]
    return faults


def _copy(source: sqlite3.Connection, draft: Path) -> None:
    with closing(sqlite3.connect(draft, isolation_level=None)) as target:
        copy_pages(source, target)
        # One file, with nothing beside it that could be forgotten.
        target.execute("PRAGMA journal_mode=DELETE")
        if faults_in(target):
            raise sqlite3.DatabaseError("database disk image is malformed")


def copy_pages(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """All of one moment, in one transaction.

    Raises:
        OSError: the disk of the copy is full.
        sqlite3.Error: anything else.
    """
    try:
        source.backup(target)
    except sqlite3.OperationalError as failure:
        if sqlite_error_name(failure) == "SQLITE_FULL":  # the copy's disk: the source is only read
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise


def new_private_file(path: Path) -> None:
    """Empty, and its owner's alone.

    Raises:
        OSError: it is there, or cannot be made.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def to_the_disk(path: Path) -> None:
    """What was written to this file, or folder, survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
