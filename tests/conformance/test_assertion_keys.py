"""What every store of assertion keys promises, in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from conformance.samples import NOW, at_once
from conformance.stores import ALL, MAKERS, Server
from entrada.adapters.assertion import RS256
from entrada.errors import ConfigurationError
from entrada.gateway.assertion_keys import (
    KEEP_AFTER,
    LIFE,
    PUBLISH_BEFORE,
    ROTATE_AFTER,
    SEALED_ASSERTION_KEYS,
    AssertionKeys,
    MemoryAssertionKeys,
    SqlAssertionKeys,
    current_keys,
    signing_key,
)
from entrada.sealing import Sealer
from entrada.storage.sql import Database, connect
from entrada.storage.sql.tables import assertion_keys

SEALER = Sealer([b"k" * 32], purpose=SEALED_ASSERTION_KEYS)

Reopen = Callable[[], AssertionKeys]


@pytest.fixture(params=ALL)
def reopen(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[Reopen]:
    """How each server on the same data opens the store of keys."""
    with MAKERS[request.param](tmp_path, postgresql) as made:
        if made.database_url is None:
            only = MemoryAssertionKeys()
            yield lambda: only
            return
        opened: list[Database] = []

        def another() -> AssertionKeys:
            opened.append(connect(made.database_url or ""))
            return SqlAssertionKeys(opened[-1], sealer=SEALER)

        yield another
        for database in opened:
            database.close()


def test_keys_rotate_without_a_gap(reopen: Reopen) -> None:
    """A new key is published before it signs, the old one stays until nothing of it is left."""
    store = reopen()
    first = current_keys(store, NOW)
    assert signing_key(first, NOW) is first[0]
    due = NOW + ROTATE_AFTER
    both = current_keys(store, due)
    assert both[0].kid == first[0].kid
    assert signing_key(both, due) is both[0]
    assert signing_key(both, due + PUBLISH_BEFORE) is both[1]
    late = due + PUBLISH_BEFORE + LIFE + KEEP_AFTER
    assert len(current_keys(store, late - timedelta(seconds=1))) == 2
    assert [key.kid for key in current_keys(store, late)] == [both[1].kid]
    assert [key.kid for key in store.all()] == [both[1].kid]


def test_servers_on_one_database_sign_with_the_same_key(reopen: Reopen) -> None:
    """Whichever made it; of many that rotate at once one makes the key."""
    stores = [reopen() for _ in range(4)]
    for now in (NOW, NOW + ROTATE_AFTER):
        found = at_once(8, lambda caller: [key.kid for key in current_keys(stores[caller % 4], now)])  # noqa: B023
        assert len({tuple(kids) for kids in found}) == 1, found
    keys = current_keys(stores[0], NOW + ROTATE_AFTER)
    assert len(keys) == 2
    theirs = current_keys(stores[1], NOW + ROTATE_AFTER)
    assert [key.jwk for key in theirs] == [key.jwk for key in keys]
    assert [key.to_der() for key in theirs] == [key.to_der() for key in keys]


def test_another_algorithm_is_another_key_that_is_published_first(reopen: Reopen) -> None:
    """What the old one signed is believed meanwhile."""
    store = reopen()
    first = current_keys(store, NOW - timedelta(days=1))
    both = current_keys(store, NOW, algorithm=RS256)
    assert [key.algorithm for key in both] == ["ES256", "RS256"]
    assert signing_key(both, NOW).kid == first[0].kid
    assert signing_key(both, NOW + PUBLISH_BEFORE).algorithm == "RS256"
    assert [key.kid for key in current_keys(store, NOW, algorithm=RS256)] == [key.kid for key in both]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def test_a_read_of_the_database_signs_nothing(kind: str, tmp_path: Path, postgresql: Server) -> None:
    """Sealed; with other secret keys there is a sentence and no new key in silence."""
    with MAKERS[kind](tmp_path, postgresql) as made:
        database = connect(made.database_url or "")
        (key,) = current_keys(SqlAssertionKeys(database, sealer=SEALER), NOW)
        with database.reading() as connection:
            row = connection.execute(select(assertion_keys)).one()
        assert base64.b64encode(key.to_der()).decode()[40:80] not in row.sealed
        others = SqlAssertionKeys(database, sealer=Sealer([b"o" * 32], purpose=SEALED_ASSERTION_KEYS))
        with pytest.raises(ConfigurationError, match="sealed with another key"):
            current_keys(others, NOW)
        database.close()
