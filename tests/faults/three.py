"""Three servers on one database, on SQLite and on PostgreSQL, and what can happen to each of them.

    three.places[0]                    a process `entrada serve`; all three have one public URL
    three.kill(0)                      kill -9
    three.freeze(1), three.thaw(1)     SIGSTOP, SIGCONT
    three.start(0)                     again, on a port of its own
    three.database.rows(question)      what is kept
    with three.database.held(table):   nobody else writes there

`broken_promises` is what holds after every fault: nothing half-made, nothing lost, nobody back.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from entrada.audit.verify import verify
from entrada.emulator import RunningEmulator
from entrada.storage.sql import SqlSessionStore, connect
from entrada.storage.sql.audit_trail import SqlAuditTrail
from walks.nursery import Nursery, ServerProcess, until
from walks.site import ROLES
from walks.test_crashes import HALF_MADE as HALF_MADE_BY_ONE
from walks.visitor import Visitor

SECRET_KEY = "three-servers-of-one-test-share-this-key-of-sixty-four-letters-x"

HALF_MADE = {
    **HALF_MADE_BY_ONE,
    "session that nobody asks about": "SELECT id FROM entrada_session"
    " WHERE user_id NOT IN (SELECT user_id FROM entrada_kept_sign_in WHERE sealed_sign_in IS NOT NULL)",
    "session of somebody disabled": "SELECT id FROM entrada_session"
    " WHERE user_id IN (SELECT id FROM entrada_user WHERE disabled_at IS NOT NULL)",
    "user without an entry in the audit trail": "SELECT id FROM entrada_user WHERE id NOT IN"
    " (SELECT user_id FROM entrada_audit_entry WHERE action = 'account_created' AND user_id IS NOT NULL)",
    "entry of a user who is not there": "SELECT user_id FROM entrada_audit_entry"
    " WHERE action = 'account_created' AND user_id NOT IN (SELECT id FROM entrada_user)",
    "session without an entry in the audit trail": "SELECT id FROM entrada_session WHERE id NOT IN"
    " (SELECT session_id FROM entrada_audit_entry"
    " WHERE action = 'sign_in_completed' AND session_id IS NOT NULL)",
    "gap in the log of what ended": "SELECT 1 FROM entrada_revocation WHERE epoch > 0 AND epoch !="
    " (SELECT max(sequence) FROM entrada_revoked)",
}


@dataclass(kw_only=True)
class SharedDatabase:
    """The database of all three."""

    url: str
    engine: Engine

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def file(self) -> Path:
        assert self.is_sqlite
        return Path(self.url.removeprefix("sqlite:///"))

    def rows(self, question: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(question), values)]

    def is_locked(self) -> bool:
        """Whether somebody stands in the middle of a write to the SQLite file."""
        if not self.is_sqlite:
            return False
        try:
            with closing(sqlite3.connect(self.file, timeout=0.2, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False

    @contextmanager
    def held(self, table: str) -> Iterator[None]:
        """Writes to this table wait until the end of the block; on SQLite all writes do."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                driver = connection.connection.dbapi_connection
                assert driver is not None
                driver.isolation_level = None  # type: ignore[attr-defined]  # sqlite3's own
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            try:
                yield
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def broken_promises(self) -> dict[str, Any]:
        """Whatever is half-made."""
        found = {what: self.rows(question) for what, question in HALF_MADE.items()}
        if self.is_sqlite:
            found["damaged"] = [row for row in self.rows("PRAGMA integrity_check") if row != ("ok",)]
        found["broken audit trail"] = self._faults_of_the_audit_trail()
        return {what: rows for what, rows in found.items() if rows}

    def _faults_of_the_audit_trail(self) -> list[Any]:
        database = connect(self.url)
        try:
            verdict = verify(SqlAuditTrail(database))
        finally:
            database.close()
        return [] if verdict.fault is None else [verdict.fault]


def after(seconds: float) -> None:
    """Lets so much time pass in which nothing should happen."""
    over = time.monotonic() + seconds
    until(lambda: time.monotonic() > over)


def shared_database(url: str) -> SharedDatabase:
    """The database at an URL as settings have it."""
    driver = url.replace("postgresql:", "postgresql+psycopg:", 1)
    return SharedDatabase(url=url, engine=create_engine(driver, poolclass=NullPool))


@contextmanager
def opened(url: str) -> Iterator[SqlSessionStore]:
    """The sessions of a database, as a process of their own would have them."""
    database = connect(url)
    try:
        yield SqlSessionStore(database)
    finally:
        database.close()


@dataclass(kw_only=True)
class Three:
    """The servers, who visits them, and the Entra behind them."""

    nursery: Nursery
    database: SharedDatabase
    http: httpx.Client
    emulator: RunningEmulator
    settings: dict[str, str]
    places: list[ServerProcess] = field(default_factory=list)
    public_url: str | None = None

    def start(self, number: int, **settings: str) -> ServerProcess:
        """This one of the three, and not yet waited for."""
        place = self.nursery.begin_server(public_url=self.public_url, **{**self.settings, **settings})
        self.public_url = place.public_url
        self.places[number : number + 1] = [place]
        return place

    def ready(self) -> None:
        for place in self.places:
            until(place.is_up)

    def kill(self, number: int) -> None:
        self.places[number].kill()

    def freeze(self, number: int) -> None:
        """Not while it holds SQLite's one lock, which nobody takes from it; PostgreSQL's lapse."""
        os.kill(self.places[number].pid, signal.SIGSTOP)
        while self.database.is_locked():
            self.thaw(number)
            after(0.005)
            os.kill(self.places[number].pid, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        os.kill(self.places[number].pid, signal.SIGCONT)

    def mend(self) -> None:
        """All three answer; sessions of before are over."""
        for number, place in enumerate(list(self.places)):
            if place.is_gone():
                self.start(number)
        self.ready()
        with opened(self.database.url) as sessions:
            sessions.end_all()

    def visitor(self, number: int = 0, like: Visitor | None = None) -> Visitor:
        """A browser at one of them; `like` another's, with the same cookies."""
        jar = None if like is None else like.jar
        return Visitor(self.places[number], self.http, jar)  # type: ignore[arg-type]  # a place to visit

    def signed_in(self, person: Any, number: int = 0) -> Visitor:
        visitor = self.visitor(number)
        answer = visitor.sign_in_as(person)
        assert answer.status_code == 303, answer.text
        return visitor

    def person(self, name: str) -> Any:
        """Somebody new, who may edit."""
        return self.emulator.add_person(f"{name}@contoso.test", display_name=name.title(), roles=["Editor"])

    def is_in_everywhere(self, visitor: Visitor) -> bool:
        return all(self.visitor(number, visitor).whoami() is not None for number in self._alive())

    def is_out_everywhere(self, visitor: Visitor) -> bool:
        return all(self.visitor(number, visitor).whoami() is None for number in self._alive())

    def _alive(self) -> list[int]:
        return [number for number, place in enumerate(self.places) if not place.is_gone()]

    def refreshes(self) -> int:
        """How often Entra was asked again about somebody since the requests were cleared."""
        return sum(one.form.get("grant_type") == "refresh_token" for one in self.emulator.requests)

    def holds_its_promises(self) -> bool:
        """For the end of every test: nothing half-made, and no mistake of ours in any log."""
        assert self.database.broken_promises() == {}
        assert "Traceback" not in self.nursery.logs()
        return True


def settings_of(emulator: RunningEmulator, url: str, **more: str) -> dict[str, str]:
    """What all three are started with."""
    return {
        **emulator.env("entrada"),
        "ENTRADA_ROLES_MAPPING": ROLES,
        "ENTRADA_SECRET_KEYS": SECRET_KEY,
        "ENTRADA_DATABASE_URL": url,
        **more,
    }
