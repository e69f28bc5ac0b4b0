"""SQLite databases with the tables already made, so that a test starts in a millisecond."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from entrada.storage.sql import connect


def prepared_copy(path: Path) -> str:
    """A migrated empty database at `path`; its URL."""
    path.write_bytes(prepared())
    path.chmod(0o600)
    return f"sqlite:///{path}"


@cache
def prepared() -> bytes:
    folder = Path(tempfile.mkdtemp())
    try:
        database = connect(f"sqlite:///{folder / 'prepared.db'}")
        database.migrate()
        database.close()
        return (folder / "prepared.db").read_bytes()
    finally:
        shutil.rmtree(folder)
