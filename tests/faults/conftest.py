"""Three servers for a fault to happen to, on SQLite and on PostgreSQL.

`three` stands for a whole module, asks Entra again every second, and is mended after each test.
`begin_three(ENTRADA_…="…")` makes others, for one test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine

from clients.postgres import running_postgres
from entrada.emulator import RunningEmulator
from walks.conftest import _as_at_the_start, _no_authorities_of_this_machine, emulator, http  # noqa: F401
from walks.nursery import nursery_of, nursery_process

from .three import Three, settings_of, shared_database

BeginThree = Callable[..., Three]
NUMBERS = itertools.count()
SQLITE, POSTGRESQL = "sqlite", "postgresql"
ON_BOTH = pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])
ON_POSTGRESQL = pytest.mark.parametrize("kind", [POSTGRESQL])
ON_SQLITE = pytest.mark.parametrize("kind", [SQLITE])


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """`host:port` of one PostgreSQL for all of these tests."""
    with running_postgres() as address:
        yield address


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What every server here is a fork of."""
    with nursery_process(tmp_path_factory.mktemp("forks")) as process:
        yield process


@pytest.fixture(scope="module", params=[SQLITE, POSTGRESQL])
def standing(
    request: pytest.FixtureRequest,
    emulator: RunningEmulator,  # noqa: F811
    http: httpx.Client,  # noqa: F811
    forks: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Three]:
    """The three of a module."""
    folder = tmp_path_factory.mktemp("three")
    with _three(request, request.param, folder, forks, http, emulator) as begin:
        yield begin(ENTRADA_RECHECK_EVERY="1s")


@pytest.fixture
def three(standing: Three) -> Iterator[Three]:
    """All three answer, and nobody is signed in whom an earlier test knew."""
    standing.mend()
    yield standing
    standing.mend()


@pytest.fixture
def begin_three(
    request: pytest.FixtureRequest,
    kind: str,
    emulator: RunningEmulator,  # noqa: F811
    http: httpx.Client,  # noqa: F811
    forks: Any,
    tmp_path: Path,
) -> Iterator[BeginThree]:
    """Three servers that answer, with these settings."""
    with _three(request, kind, tmp_path, forks, http, emulator) as begin:
        yield begin


@contextmanager
def _three(
    request: pytest.FixtureRequest,
    kind: str,
    folder: Path,
    forks: Any,
    http: httpx.Client,  # noqa: F811
    emulator: RunningEmulator,  # noqa: F811
) -> Iterator[BeginThree]:
    with ExitStack() as running:
        made = running.enter_context(nursery_of(forks, {}, folder))

        def begin(number: int = 3, **settings: str) -> Three:
            url = f"sqlite:///{folder / 'entrada.db'}"
            if kind == POSTGRESQL:
                url = new_database(request.getfixturevalue("postgres_address"))
            database = shared_database(url)
            running.callback(database.engine.dispose)
            begun = Three(
                nursery=made,
                database=database,
                http=http,
                emulator=emulator,
                settings=settings_of(emulator, url, **settings),
            )
            for place in range(number):
                begun.start(place)
            begun.ready()
            return begun

        yield begin


def new_database(address: str) -> str:
    """The URL of an empty one."""
    name = f"three{next(NUMBERS)}"
    engine = create_engine(f"postgresql+psycopg://postgres@{address}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return f"postgresql://postgres@{address}/{name}"
