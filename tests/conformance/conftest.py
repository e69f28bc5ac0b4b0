"""Each test of this folder runs against every store in `stores.MAKERS`, or names those it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.stores import MAKERS, Stores
from entrada.accounts.store import AccountStore
from entrada.sessions.store import SessionStore


@pytest.fixture(params=MAKERS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    with MAKERS[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def accounts(stores: Stores) -> AccountStore:
    return stores.accounts


@pytest.fixture
def sessions(stores: Stores) -> SessionStore:
    return stores.sessions
