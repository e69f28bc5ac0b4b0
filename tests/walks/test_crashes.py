"""kill -9 at each step of a sign-in, fifty times: nothing half-made, and a clean retry (fault 17).

Where a step waits for Entra, Entra hangs and the server is killed there. Where it writes, a trigger in the
database makes that one insert slow, and the server is killed inside its transaction.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrada.emulator import RunningEmulator
from walks.nursery import ServerProcess, nursery, until
from walks.site import rows_of
from walks.visitor import Visitor

KILLS = 50
SLOW_TABLES = ("entrada_user", "entrada_identity", "entrada_role_grant", "entrada_session")
STEPS = (
    "begun",
    "redeeming",
    "fetching the keys",
    "asking Graph",
    *SLOW_TABLES,
    "session kept",
    "answered",
)
ACCOUNT_IS_MADE = ("entrada_session", "session kept", "answered")
"""The steps after the account's own transaction."""

HALF_MADE = {
    "user without identity": "SELECT id FROM entrada_user"
    " WHERE id NOT IN (SELECT user_id FROM entrada_identity)",
    "user without grant": "SELECT id FROM entrada_user"
    " WHERE id NOT IN (SELECT user_id FROM entrada_role_grant)",
    "identity without user": "SELECT object_id FROM entrada_identity"
    " WHERE user_id NOT IN (SELECT id FROM entrada_user)",
    "grant without user": "SELECT role FROM entrada_role_grant"
    " WHERE user_id NOT IN (SELECT id FROM entrada_user)",
    "session without user": "SELECT id FROM entrada_session"
    " WHERE user_id NOT IN (SELECT id FROM entrada_user)",
    "two users of one person": "SELECT object_id FROM entrada_identity"
    " GROUP BY tenant_id, object_id HAVING count(*) > 1",
}


@pytest.fixture
def group(emulator: RunningEmulator) -> str:
    return emulator.add_group("Night shift").object_id


def test_fault_17_killed_at_each_step(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client, group: str
) -> None:
    """After each kill the database holds nothing half-made, and the same person signs in cleanly."""
    environment = {
        **emulator.env("entrada"),
        "ENTRADA_ROLES_MAPPING": json.dumps({"Editor": "Editor", group: "Viewer"}),
    }
    with nursery(environment, tmp_path) as servers:
        waiting: list[Any] = []
        for number in range(KILLS):
            step = STEPS[number % len(STEPS)]
            server = servers.server()
            if step != "fetching the keys":  # which only a server without keys does
                retry(server, waiting, http)
            person = emulator.add_person(f"p{number}@contoso.test", roles=["Editor"])
            kill_at(step, server, person, emulator, http)
            emulator.clear_faults()
            assert half_made(server.database) == {}, step
            made = "SELECT user_id FROM entrada_identity WHERE object_id = ?"
            accounts = rows_of(server.database, made, person.object_id)
            assert len(accounts) == (step in ACCOUNT_IS_MADE), step
            waiting.append(person)
        last = servers.server()
        retry(last, waiting, http)
        assert len(rows_of(last.database, "SELECT id FROM entrada_user")) == KILLS
        assert rows_of(last.database, "PRAGMA integrity_check") == [("ok",)]
        assert "Traceback" not in servers.logs()


def retry(server: ServerProcess, waiting: list[Any], http: httpx.Client) -> None:
    while waiting:
        person = waiting.pop()
        visitor = Visitor(server, http)
        assert visitor.sign_in_as(person).status_code == 303
        assert visitor.whoami()["object_id"] == person.object_id
        assert visitor.whoami()["roles"] == ["Editor"]


def half_made(database: Path) -> dict[str, Any]:
    found = {what: rows_of(database, question) for what, question in HALF_MADE.items()}
    return {what: rows for what, rows in found.items() if rows}


def kill_at(
    step: str, server: ServerProcess, person: Any, emulator: RunningEmulator, http: httpx.Client
) -> None:
    """Brings the person's sign-in to that step and kills the server there."""
    visitor = Visitor(server, http)
    visitor.begin()
    visitor.approve_as(person)
    emulator.clear_requests()

    def answered(endpoint: str) -> bool:
        return any(request.endpoint == endpoint for request in emulator.requests)

    def spent() -> int:
        return len(rows_of(server.database, "SELECT id FROM entrada_spent_sign_in"))

    def sessions() -> int:
        question = "SELECT id FROM entrada_session WHERE object_id = ?"
        return len(rows_of(server.database, question, person.object_id))

    if step == "begun":
        server.kill()
        return
    if step == "answered":
        assert visitor.complete().status_code == 303
        server.kill()
        return
    reached: Callable[[], bool]
    if step == "redeeming":
        before = spent()
        emulator.fail("hang", endpoint="token")
        reached = lambda: spent() > before  # noqa: E731
    elif step == "fetching the keys":
        emulator.fail("hang", endpoint="keys")
        reached = lambda: answered("token")  # noqa: E731
    elif step == "asking Graph":
        emulator.fail("tamper", remove=["groups"], set={"_claim_names": {"groups": "src1"}})
        emulator.fail("hang", endpoint="graph")
        reached = lambda: answered("token")  # noqa: E731
    elif step == "session kept":
        reached = lambda: sessions() == 1  # noqa: E731
    else:
        make_slow(server.database, step)
        reached = lambda: answered("token") and is_writing(server.database)  # noqa: E731
    coming_back = threading.Thread(target=come_back, args=(visitor,))
    coming_back.start()
    try:
        until(reached, pause=0.001)
    finally:
        server.kill()
        coming_back.join(timeout=20)
    make_quick(server.database)
    if step in SLOW_TABLES:
        assert sessions() == 0, "the kill came too late to mean anything"


def come_back(visitor: Visitor) -> None:
    with suppress(httpx.TransportError):
        visitor.complete()


def make_slow(database: Path, table: str) -> None:
    """Makes an insert into that table take seconds, as on a dying disk."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "CREATE VIEW slowly AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            " WHERE i < 100000000) SELECT max(i) AS i FROM n"
        )
        connection.execute(f"CREATE TRIGGER wait AFTER INSERT ON {table} BEGIN SELECT i FROM slowly; END")


def make_quick(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TRIGGER IF EXISTS wait")
        connection.execute("DROP VIEW IF EXISTS slowly")


def is_writing(database: Path) -> bool:
    """Whether somebody is in the middle of a transaction that writes, for longer than a moment."""
    with closing(sqlite3.connect(database, timeout=0.03, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
    return False
