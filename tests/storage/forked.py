"""Children of the test process: made by fork in a millisecond, and killed in the middle of what they do."""

from __future__ import annotations

import os
import signal
import sqlite3
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from entrada.storage.sql import sqlite

DONE, FAILED = 0, 3


def fork(work: Callable[[], object]) -> int:
    """Do `work` in a child; its process id. The child ends with DONE, or FAILED with the traceback shown."""
    with warnings.catch_warnings():
        # Python 3.12 warns of threads, such as those that a test before this one has left at rest.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    status = FAILED
    try:
        work()
        status = DONE
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ending_of(child: int) -> int:
    """DONE, FAILED, or minus the signal that killed the child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], str]) -> tuple[int, int]:
    """A child that does `work`, for `said_by`."""
    reader, writer = os.pipe()
    child = fork(lambda: os.write(writer, work().encode()))
    os.close(writer)
    return child, reader


def said_by(child: tuple[int, int]) -> str:
    """What the child's work returned."""
    process, reader = child
    with open(reader, encoding="utf-8") as lines:
        said = lines.read()
    assert ending_of(process) == DONE
    return said


def die_before_statement(number: int) -> None:
    """In a child: every SQLite connection opened from now on kills the process before that statement.

    Statements that change nothing in the database, such as settings of a connection, do not count.
    """
    left = [number]
    open_as_always = sqlite.open_connection

    def counting(statement: str) -> None:
        if not statement.startswith(("PRAGMA", "SELECT")):
            left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def open_connection(path: Path, **options: object) -> sqlite3.Connection:
        connection = open_as_always(path, **options)  # type: ignore[arg-type]  # passed on as it came
        connection.set_trace_callback(counting)
        return connection

    sqlite.open_connection = open_connection


def kill(child: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
