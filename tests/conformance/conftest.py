"""Each test of this folder runs against every store in `stores.MAKERS`, or names those it is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from clients.postgres import running_postgres
from conformance.leases import LEASES, Leases
from conformance.products import ALL_PEOPLE, PEOPLE, People
from conformance.stores import ALL, MAKERS, Server, Stores
from entrada.accounts.store import AccountStore
from entrada.sessions.store import SessionStore


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One server for the run; a test that wants none starts none."""
    with ExitStack() as stack:

        @cache
        def started() -> str:
            return f"postgresql://postgres@{stack.enter_context(running_postgres('entrada'))}/entrada"

        yield started


@pytest.fixture(params=ALL)
def stores(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[Stores]:
    with MAKERS[request.param](tmp_path, postgresql) as made:
        yield made


@pytest.fixture(params=ALL_PEOPLE)
def people(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[People]:
    with PEOPLE[request.param](tmp_path, postgresql) as made:
        yield made


@pytest.fixture(params=ALL)
def leases(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[Leases]:
    with LEASES[request.param](tmp_path, postgresql) as made:
        yield made


@pytest.fixture
def accounts(stores: Stores) -> AccountStore:
    return stores.accounts


@pytest.fixture
def sessions(stores: Stores) -> SessionStore:
    return stores.sessions
