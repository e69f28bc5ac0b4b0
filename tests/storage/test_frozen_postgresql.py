"""A PostgreSQL that answers nothing more: K16, the promised time holds on the client's side.

Heavy: a server of the test's own is stopped by signal, with all its processes.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from clients.postgres import running_postgres
from conformance.samples import NOW, SOMEBODY, at_once, session
from entrada.errors import StoreUnavailable
from entrada.storage.sql import Database, SqlAccountStore, SqlSessionStore, connect
from storage.servers import other_program, until

pytestmark = pytest.mark.heavy

WAIT = timedelta(seconds=1)
MARGIN = 2.5
"""Libpq waits two seconds for a connection at least, and the machine may be busy."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres("entrada") as address:
        yield f"postgresql://postgres@{address}/entrada"


@pytest.fixture
def database(server: str) -> Iterator[Database]:
    opened = connect(server, wait=WAIT)
    opened.migrate()
    yield opened
    opened.close()


@contextmanager
def frozen(server: str) -> Iterator[None]:
    """Every process of the server stops as it is: connections stand, and nothing is answered."""
    engine = create_engine(server.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        pids = list(connection.execute(text("SELECT pid FROM pg_stat_activity")).scalars())
    engine.dispose()
    parents: dict[int, int] = {}
    for pid in pids:
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            parents[pid] = int(stat.rsplit(")", 1)[1].split()[1])
    (postmaster,), alive = set(parents.values()), list(parents)
    stopped = [postmaster, *alive]
    try:
        for pid in stopped:
            _tell(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            _tell(pid, signal.SIGCONT)


def _tell(pid: int, sent: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # one of the server's may just have ended by itself
        os.kill(pid, sent)


def refused_in(use: Callable[[], object]) -> float:
    """How long it took until StoreUnavailable was raised, with a cause and a next step."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        use()
    assert refused.value.hint
    return time.monotonic() - began


def test_K16_what_is_asked_on_a_kept_connection(database: Database, server: str) -> None:
    """Reading, writing and the look at the log are given up in time, and all is well when it goes on."""
    accounts, sessions, opened = SqlAccountStore(database), SqlSessionStore(database), session()
    sessions.open(opened)
    with frozen(server):
        for use in (
            lambda: sessions.find(opened.id),
            lambda: sessions.touch(opened.id, last_seen_at=NOW, idle_expires_at=NOW),
            lambda: sessions.revocations(None),
            lambda: accounts.get(SOMEBODY),
        ):
            assert refused_in(use) <= WAIT.total_seconds() + MARGIN
    assert sessions.find(opened.id) == opened
    assert sessions.end(opened.id)


def test_K16_a_process_that_starts(database: Database, server: str) -> None:
    """A server that takes the connection and says nothing is given up in time, too."""
    with frozen(server):
        starting = connect(server, wait=WAIT)
        assert (
            refused_in(lambda: SqlSessionStore(starting).revocations(None)) <= WAIT.total_seconds() + MARGIN
        )
        starting.close()


def test_K16_more_threads_than_connections(database: Database, server: str) -> None:
    """Forty requests at once each end in time: none waits first for a connection and then for the server."""
    sessions, opened = SqlSessionStore(database), session()
    sessions.open(opened)
    assert at_once(40, lambda _: sessions.find(opened.id)) == [opened] * 40
    with frozen(server):
        took = at_once(40, lambda _: refused_in(lambda: sessions.find(opened.id)))
        assert max(float(str(each)) for each in took) <= WAIT.total_seconds() + MARGIN
    assert sessions.find(opened.id) == opened


def test_K16_a_transaction_that_is_under_way(database: Database, server: str) -> None:
    """Frozen between two statements: given up in time, and nothing of it stays."""
    sessions, opened = SqlSessionStore(database), session()

    def write() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM entrada_session")
            with frozen(server):
                connection.exec_driver_sql("DELETE FROM entrada_user")

    sessions.open(opened)
    assert refused_in(write) <= WAIT.total_seconds() + MARGIN
    assert sessions.find(opened.id) == opened


def test_K16_a_listener_on_a_frozen_server(database: Database, server: str) -> None:
    """It notices at its next question, ends in time when it is closed, and one that is not hears again."""
    heard: list[float] = []
    listener = database.listening(lambda: heard.append(time.monotonic()))
    closing = database.listening(lambda: None)
    assert listener is not None
    assert closing is not None
    for each in (listener, closing):
        each.start()
        until(lambda at=each: at.is_listening)  # type: ignore[misc]
    with frozen(server):
        began = time.monotonic()
        closing.close()
        assert time.monotonic() - began <= WAIT.total_seconds() + MARGIN
    before = len(heard)
    SqlSessionStore(database).note_rights_changed(SOMEBODY)
    until(lambda: len(heard) > before)
    listener.close()


def test_K16_a_host_that_swallows_everything_leaves_time_for_the_next(server: str) -> None:
    """Of two hosts the first takes the connection and says nothing: the second is reached in time."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        both = server.replace("@", f"@127.0.0.1:{deaf.getsockname()[1]},")
        database = connect(both, wait=timedelta(seconds=5))
        began = time.monotonic()
        SqlSessionStore(database).count(now=NOW)
        assert time.monotonic() - began <= 5
        database.close()


def test_K16_a_row_that_another_program_holds(database: Database, server: str) -> None:
    """A lock that nobody lets go of ends the wait in time, too."""
    sessions, opened = SqlSessionStore(database), session()
    sessions.open(opened)
    with other_program(server) as they:
        they.execute("BEGIN")
        they.execute("SELECT 1 FROM entrada_session WHERE id = %s FOR UPDATE", [opened.id])
        assert refused_in(lambda: sessions.end(opened.id)) <= WAIT.total_seconds() + MARGIN
        they.execute("ROLLBACK")
    assert sessions.end(opened.id)
