"""How far the log of what ended had come, remembered in a file outside the SQLite database.

A backup holds the log as it was. Restored, it would make sessions good again that ended since; the mark,
which is not in the backup, tells that the database went back in time. It is written after a transaction, so
it is never ahead of the database, but after a power cut that lost transactions, which is going back, too.

    entrada.db    →    entrada-db.sequence    one line, two numbers: sequence and nonce

The name is one that copying `entrada.db*` does not catch. Whoever copies the whole folder and puts it back
restores the mark as well: then only running processes, and `SessionStore.end_all`, can tell.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from entrada.sessions.revocation import LogPosition

LONGEST = 64
UNREADABLE = LogPosition(2**62, 0)
"""What a damaged mark says: further than any log, so that everything is ended rather than believed."""


class OutsideMark:
    """The mark beside the database at `database`."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(f"{database.name.replace('.', '-')}.sequence")

    def read(self) -> LogPosition | None:
        """The position; None before anything has ended.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                return position_in(file.read(LONGEST))
        except FileNotFoundError:
            return None

    def write(self, position: LogPosition) -> None:
        """Remember a position of a committed transaction, unless another process has written a later one.

        Raises:
            OSError: the file cannot be written.
        """
        with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            lock(file.fileno())
            known = position_in(file.read(LONGEST))
            if known is None:
                self._give_to_owner(file.fileno())
            if known is None or known == UNREADABLE or known.sequence < position.sequence:
                file.seek(0)
                file.write(f"{position.sequence:020} {position.nonce:020}\n".encode())
                file.truncate()

    def _give_to_owner(self, descriptor: int) -> None:
        """Whoever may use the database may use the mark, also where root's command made it."""
        of_database = self._database.stat()
        if sys.platform != "win32" and os.geteuid() == 0:
            os.fchown(descriptor, of_database.st_uid, of_database.st_gid)
        os.chmod(self.path, of_database.st_mode & 0o666)


def lock(descriptor: int) -> None:
    """Until the file is closed nobody else holds it. Windows, where only a demo runs, goes without."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def position_in(line: bytes) -> LogPosition | None:
    """None for an empty file, which is one that is being made."""
    if not line:
        return None
    words = line.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return UNREADABLE
    return LogPosition(int(words[0]), int(words[1]))
