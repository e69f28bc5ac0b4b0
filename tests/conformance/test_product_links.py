"""What the links beside a product's own tables promise, with each driver a product may bring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url

from conformance.samples import LATER, NOW, identity, user_id
from conformance.stores import Server
from entrada.errors import IdentityAlreadyLinked
from entrada.integrations.kit import links


@pytest.fixture(params=["sqlite", pytest.param("psycopg 3", marks=pytest.mark.heavy)])
def engine(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[Engine]:
    engine = create_engine(
        f"sqlite:///{tmp_path / 'product.db'}"
        if request.param == "sqlite"
        else make_url(postgresql()).set(drivername="postgresql+psycopg")
    )
    with engine.begin() as connection:
        links.create_tables(connection)
    yield engine
    with engine.begin() as connection:
        links.metadata.drop_all(connection)
    engine.dispose()


def test_a_sign_in_is_spent_once(engine: Engine) -> None:
    """The first of any number of callers is told so, the others that they are not."""
    with engine.begin() as connection:
        spent = [
            links.spend_sign_in(connection, name, expires_at=LATER, now=NOW) for name in ("a", "a", "b", "a")
        ]
    assert spent == [True, False, True, False]


def test_an_identity_is_linked_to_one_user(engine: Engine) -> None:
    """Linking the same again changes nothing, linking it to another is refused."""
    with engine.begin() as connection:
        for _ in range(2):
            links.put_link(connection, identity(1), user_id=user_id(1), linked_by="test", now=NOW)
        with pytest.raises(IdentityAlreadyLinked):
            links.put_link(connection, identity(1), user_id=user_id(2), linked_by="test", now=NOW)
        (link,) = links.all_links(connection)
    assert link.user_id == user_id(1)
