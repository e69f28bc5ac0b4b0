"""Who starts while another brings the database up to date: how long that is waited for."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import create_engine, text

from clients.postgres import running_postgres
from entrada.errors import StoreUnavailable
from entrada.storage.sql import connect
from entrada.storage.sql.migration_sign import MigrationSign
from entrada.storage.sql.migrations import HEAD, VERSION_TABLE, upgrade
from entrada.storage.sql.postgresql import SCHEMA_KEY, PostgresqlDatabase
from entrada.storage.sql.sqlite import SqliteDatabase

COUNT_FOR_LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"
WAIT = timedelta(seconds=1.5)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second and a half in place of a minute."""
    for module in ("migration_sign", "postgresql"):
        monkeypatch.setattr(f"entrada.storage.sql.{module}.MIGRATION_WAIT", WAIT)
    for module in ("sqlite", "postgresql"):
        monkeypatch.setattr(f"entrada.storage.sql.{module}.MIGRATION_LOOK", timedelta(seconds=0.4))


@contextmanager
def migrating(path: Path, *, works: bool) -> Iterator[Event]:
    """Another that prepares the database, in one long statement or standing still, until it is told."""
    began, may_end = Event(), Event()

    def prepare() -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        with MigrationSign(path).shown(connection):
            began.set()
            if works:
                Thread(target=lambda: (may_end.wait(30), connection.interrupt()), daemon=True).start()
                with pytest.raises(sqlite3.OperationalError, match="interrupted"):
                    connection.execute(COUNT_FOR_LONG).fetchall()
            else:
                may_end.wait(30)
        connection.execute("ROLLBACK")
        connection.close()

    thread = Thread(target=prepare)
    thread.start()
    assert began.wait(20)
    try:
        yield may_end
    finally:
        may_end.set()
        thread.join(30)


@pytest.mark.usefixtures("soon")
def test_another_that_makes_progress_is_waited_for(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Longer than the usual minute, also inside of one statement; the log says what is waited for."""
    caplog.set_level(logging.WARNING, logger="entrada")
    database = SqliteDatabase(path, wait=timedelta(seconds=1))
    done: list[float] = []
    with migrating(path, works=True) as may_end:
        began = time.monotonic()
        waiter = Thread(target=lambda: (database.migrate(), done.append(time.monotonic() - began)))
        waiter.start()
        waiter.join(2.5 * WAIT.total_seconds())
        assert waiter.is_alive()
        may_end.set()
        waiter.join(30)
    assert done
    assert done[0] > 2 * WAIT.total_seconds()
    assert "waiting while it makes progress" in caplog.text
    assert not MigrationSign(path).path.exists()
    database.close()


@pytest.mark.usefixtures("soon")
def test_another_that_stands_still_is_given_up(path: Path) -> None:
    """Its sign is there and does not change: after the usual time, the sentence that it is busy."""
    database = SqliteDatabase(path, wait=timedelta(seconds=1))
    with migrating(path, works=False), pytest.raises(StoreUnavailable, match="busy"):
        database.migrate()
    database.migrate()
    database.close()


def test_each_step_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who brings a database up to date hears how far it is; of a new one the log says nothing."""
    caplog.set_level(logging.WARNING, logger="entrada")
    database = connect(f"sqlite:///{path}")
    database.migrate()
    assert "step" not in caplog.text
    database.close()
    path.unlink()
    steps: list[str] = []
    older = SqliteDatabase(path, wait=timedelta(seconds=1))
    with older.writing() as connection:
        upgrade(connection, applied=steps.append)
    assert steps == sorted(steps)
    assert steps[-1] == HEAD
    older.close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres("entrada") as address:
        yield f"postgresql://postgres@{address}/entrada"


@pytest.mark.heavy
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("works", [True, False])
def test_postgresql_says_whether_the_other_makes_progress(server: str, works: bool) -> None:
    """One in a statement is waited for; one that stands between two is given up after the usual time."""
    database = connect(server, wait=timedelta(seconds=3))
    assert isinstance(database, PostgresqlDatabase)
    began, may_end = Event(), Event()

    def prepare() -> None:
        engine = create_engine(server.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_KEY})
            began.set()
            if works:
                connection.execute(text("SELECT pg_sleep(4)"))
            else:
                may_end.wait(30)
        engine.dispose()

    thread = Thread(target=prepare)
    thread.start()
    assert began.wait(20)
    try:
        if works:
            database.migrate()
            with database.reading() as connection:
                assert connection.exec_driver_sql(f"SELECT * FROM {VERSION_TABLE}").fetchall() == [(HEAD,)]
        else:
            with pytest.raises(StoreUnavailable, match="busy"), database._migrating():
                pass
    finally:
        may_end.set()
        thread.join(30)
        database.close()
