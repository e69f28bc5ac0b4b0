"""From a thread to a loop and back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from entrada.errors import IdentityAlreadyLinked, StoreUnavailable
from entrada.integrations.dstack.loop_database import LoopDatabase
from integrations.dstack.unit_world import attached_database

HOOKS: Any = SimpleNamespace()


class TooManyConnections(Exception):
    """As asyncpg raises it while connecting, past SQLAlchemy."""

    __module__ = "asyncpg.exceptions"


@pytest.fixture
def database() -> Iterator[LoopDatabase]:
    with attached_database(HOOKS) as database:
        yield database


async def answer(value: object) -> object:
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


def test_an_answer_comes_back(database: LoopDatabase) -> None:
    """What ran on the loop is the thread's result."""
    assert database.wait_for(answer(7)) == 7


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT 1", {}, Exception("gone")),
        PoolExhausted("no connection"),
        ConnectionRefusedError(),
        TimeoutError(),
        TooManyConnections(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_database_that_does_not_answer_is_unavailable(database: LoopDatabase, error: Exception) -> None:
    """Whatever way it is gone, the person reads that trying later helps."""
    with pytest.raises(StoreUnavailable):
        database.wait_for(answer(error))


@pytest.mark.parametrize(
    "error",
    [IntegrityError("INSERT", {}, Exception("twice")), IdentityAlreadyLinked(), LookupError("nobody")],
    ids=lambda error: type(error).__name__,
)
def test_every_other_error_is_the_callers(database: LoopDatabase, error: Exception) -> None:
    """A refusal of the database, or of ours, arrives as it is."""
    with pytest.raises(type(error)):
        database.wait_for(answer(error))


def test_before_the_server_is_up_nothing_can_be_asked() -> None:
    """Without a loop the answer is that the database is not there, at once."""
    with pytest.raises(StoreUnavailable):
        LoopDatabase(HOOKS).wait_for(answer(7))
