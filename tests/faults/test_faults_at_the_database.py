"""What happens to the database that three servers share, and to a server in the middle of writing to it."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from conformance.samples import session
from entrada.errors import StoreUnavailable
from entrada.storage.sql import SqlSessionStore, connect
from walks.nursery import until

from .conftest import ON_SQLITE, BeginThree, new_database
from .three import Three, after

STEPS = (
    "entrada_spent_sign_in",
    "entrada_user",
    "entrada_identity",
    "entrada_role_grant",
    "entrada_kept_sign_in",
    "entrada_session",
    "entrada_audit_entry",
)
"""What a first sign-in writes to."""
SLOW_SERVER_SECONDS = 5.0
"""How long a server waits for others' writes (`database.WAIT`)."""


def statuses(three: Three, cookies_of: object) -> set[int]:
    """What each of the three answers to this browser."""
    return {
        three.visitor(number, cookies_of).fetch("/auth/me").status_code  # type: ignore[arg-type]  # a visitor
        for number in range(len(three.places))
    }


def test_fault_17_killed_at_each_table_of_a_first_sign_in(three: Three) -> None:
    """kill -9 of one of three inside that transaction: nothing half-made, and a clean retry at another."""
    steps = STEPS[:1] if three.database.is_sqlite else STEPS  # SQLite's: `test_fault_17_…` in tests/walks
    for number, table in enumerate(steps):
        victim, other = number % 3, (number + 1) % 3
        person = three.person(f"new{number}")
        visitor = three.visitor(victim)
        visitor.begin()
        visitor.approve_as(person)
        with three.database.held(table):
            coming = threading.Thread(target=_come_back, args=(visitor,))
            coming.start()
            if three.database.is_sqlite:
                after(0.3)
            else:
                until(lambda: three.database.rows("SELECT 1 FROM pg_locks WHERE NOT granted"))
            three.kill(victim)
        coming.join(timeout=20)
        three.start(victim)
        assert three.database.broken_promises() == {}, table
        again = three.signed_in(person, other)
        assert three.is_in_everywhere(again)
        three.ready()
    assert len(three.database.rows("SELECT 1 FROM entrada_user")) >= len(steps)
    assert three.holds_its_promises()


def _come_back(visitor: object) -> None:
    with suppress(httpx.HTTPError):
        visitor.complete()  # type: ignore[attr-defined]  # a visitor


def test_fault_10_who_stands_still_in_a_transaction_lets_go(postgres_address: str) -> None:
    """PostgreSQL: what a server stopped in the middle holds, the others have after the usual wait."""
    url, wait = new_database(postgres_address), timedelta(seconds=1)
    still, other = connect(url, wait=wait), connect(url, wait=4 * wait)
    still.migrate()
    count, counted = "UPDATE entrada_revocation SET epoch = epoch + 1", "SELECT epoch FROM entrada_revocation"
    with other.reading() as connection:
        before = connection.exec_driver_sql(counted).scalar_one()

    def go_on() -> None:
        with other.writing() as going_on:
            going_on.exec_driver_sql(count)

    going = threading.Thread(target=go_on)  # a thread has one deadline at a time
    with pytest.raises(StoreUnavailable) as told, still.writing() as connection:  # noqa: PT012 - one block
        connection.exec_driver_sql(count)
        going.start()
        going.join(timeout=3.0)
        assert not going.is_alive()
        connection.exec_driver_sql(count)
    assert told.value.hint
    with other.reading() as connection:
        assert connection.exec_driver_sql(counted).scalar_one() == before + 1
    still.close()
    other.close()


@pytest.mark.parametrize("may_truncate", [True, False])
def test_fault_16_everything_ends_also_where_we_may_not_truncate(
    postgres_address: str, may_truncate: bool
) -> None:
    """All sessions end, and who had signed out stays so, whoever owns the tables."""
    url = new_database(postgres_address)
    owner = connect(url)
    owner.migrate()
    if not may_truncate:
        with owner.writing() as connection:
            for statement in (
                "DROP ROLE IF EXISTS few",
                "CREATE ROLE few LOGIN",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO few",
            ):
                connection.exec_driver_sql(statement)
    database = owner if may_truncate else connect(url.replace("postgres@", "few@"))
    sessions = SqlSessionStore(database)
    for _ in range(3):
        sessions.open(session())
    since = sessions.revocations(None).position
    assert sessions.end_all() == 3
    assert sessions.list_sessions() == []
    assert not sessions.revocations(since).is_complete
    database.close()
    owner.close()


@ON_SQLITE
def test_fault_15_the_file_is_gone_for_a_while(begin_three: BeginThree) -> None:
    """At none of three does a session count without the file; it lies there again, and all go on alone."""
    three = begin_three()
    visitor = three.signed_in(three.person("pat"))
    files = [Path(f"{three.database.file}{end}") for end in ("", "-wal", "-shm")]
    for file in files:
        file.rename(file.with_name(f"away-{file.name}"))
    until(lambda: statuses(three, visitor) == {503}, seconds=3)
    refused = three.visitor(1).open("/auth/entra/start")
    assert refused.status_code in (303, 503)
    for file in files:
        file.with_name(f"away-{file.name}").rename(file)
    until(lambda: statuses(three, visitor) == {200}, seconds=3)
    assert three.holds_its_promises()


@ON_SQLITE
def test_fault_15_a_full_disk(begin_three: BeginThree) -> None:
    """No file can grow: who is in stays in, a sign-in is refused in words.

    With room again the next sign-in goes through, and nothing is half-made.
    """
    three = begin_three()
    inside, waiting = three.signed_in(three.person("inside")), three.person("waiting")
    with full_disk(three):
        for number in range(3):
            refused = three.visitor(number).sign_in_as(waiting)
            assert refused.status_code == 503
            assert "database" in refused.text
        assert three.is_in_everywhere(inside)
        assert three.visitor(1, inside).sign_out().status_code in (303, 503)
    assert three.is_in_everywhere(three.signed_in(waiting, 2))
    assert three.holds_its_promises()


@contextmanager
def full_disk(three: Three) -> Iterator[None]:
    """What the kernel refuses beyond a limit of file sizes is refused as on a full disk."""
    before = [resource.prlimit(place.pid, resource.RLIMIT_FSIZE) for place in three.places]
    largest = max(Path(f"{three.database.file}{end}").stat().st_size for end in ("", "-wal", "-shm"))
    for place, (_, hard) in zip(three.places, before, strict=True):
        resource.prlimit(place.pid, resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        for place, limits in zip(three.places, before, strict=True):
            resource.prlimit(place.pid, resource.RLIMIT_FSIZE, limits)


@ON_SQLITE
def test_fault_15_another_program_holds_the_file(begin_three: BeginThree) -> None:
    """For longer than a server waits: checks go on at once meanwhile, a sign-in is told to try again."""
    three = begin_three()
    inside, waiting = three.signed_in(three.person("inside")), three.person("waiting")
    visitor = three.visitor(1)
    visitor.begin()
    visitor.approve_as(waiting)
    answers: list[httpx.Response] = []
    with three.database.held("all"):
        coming = threading.Thread(target=lambda: answers.append(visitor.complete()))
        begun = time.monotonic()
        coming.start()
        while coming.is_alive():
            asked = time.monotonic()
            assert three.visitor(1, inside).whoami() is not None
            assert time.monotonic() - asked < 3.0  # and a writer waits for five
        took = time.monotonic() - begun
        coming.join()
    assert [answer.status_code for answer in answers] == [503]
    assert took < SLOW_SERVER_SECONDS + 3.0
    assert three.is_in_everywhere(three.signed_in(waiting))
    assert three.holds_its_promises()


@ON_SQLITE
@pytest.mark.parametrize("how", ["copied into it", "moved into its place"])
def test_fault_16_a_restored_backup(how: str, begin_three: BeginThree) -> None:
    """Restored while three servers run: who had signed out is out at all three, and all can sign in again."""
    three = begin_three()
    person = three.person("pat")
    leaver, stays = three.signed_in(person), three.signed_in(three.person("kim"), 1)
    backup = three.database.file.with_name("backup.db")
    copy(three.database.file, backup)
    leaver_cookie = leaver.session_cookie
    assert leaver_cookie is not None
    leaver.sign_out()
    if how == "copied into it":
        copy(backup, three.database.file)
    else:
        for end in ("-wal", "-shm"):
            Path(f"{three.database.file}{end}").unlink(missing_ok=True)
        backup.rename(three.database.file)
    leaver.present(leaver_cookie.value)
    until(lambda: three.is_out_everywhere(leaver), seconds=3)
    until(lambda: three.is_out_everywhere(stays), seconds=3)
    assert "all_sessions_ended" in three.nursery.logs()
    assert three.is_in_everywhere(three.signed_in(person, 2))
    assert three.is_out_everywhere(stays)
    assert three.holds_its_promises()


def copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
