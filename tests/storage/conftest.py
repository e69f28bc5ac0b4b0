"""An SQLite database with its tables, in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from entrada.storage.sql import Database, connect
from storage.prepared import prepared_copy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entrada.db"


@pytest.fixture
def url(path: Path) -> str:
    return prepared_copy(path)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()
