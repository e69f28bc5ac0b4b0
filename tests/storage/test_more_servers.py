"""Several servers at one PostgreSQL: others hear of what one ends, and what PostgreSQL undoes is done again.

Heavy: a PostgreSQL of the tests' own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from statistics import median
from threading import Thread

import pytest
from sqlalchemy import Connection

from clients.postgres import running_postgres
from conformance.samples import ADA, NOW, identity, session, user_id
from entrada.errors import StoreUnavailable
from entrada.flows.session_check import REVOCATION_CHECK_SECONDS
from entrada.flows.session_watch import SessionWatch
from entrada.storage.sql import Database, SqlAccountStore, SqlSessionStore, connect
from entrada.storage.sql.failures import may_be_repeated
from entrada.storage.sql.postgresql import PostgresqlDatabase
from storage.forked import in_child, said_by
from storage.servers import check_over, other_program, signed_in, until

pytestmark = pytest.mark.heavy

WAIT = timedelta(seconds=3)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres("entrada") as address:
        yield f"postgresql://postgres@{address}/entrada"


@pytest.fixture
def database(server: str) -> Iterator[Database]:
    with opened(server) as one:
        one.migrate()
        yield one


@pytest.fixture
def another(server: str, database: Database) -> Iterator[PostgresqlDatabase]:
    """What another server has open."""
    assert database
    with opened(server) as one:
        yield one


@contextmanager
def opened(url: str) -> Iterator[PostgresqlDatabase]:
    database = connect(url, wait=WAIT)
    assert isinstance(database, PostgresqlDatabase)
    yield database
    database.close()


def test_what_ends_on_one_server_is_heard_of_on_the_other(
    database: Database, another: PostgresqlDatabase
) -> None:
    """Twenty sessions ended in turn: each watched socket of the other server is told within a second, and in
    the middle within a tenth of what asking alone takes; and no check there says yes any more."""
    there, people = check_over(another), [signed_in(database, identity(100 + n), ADA) for n in range(20)]
    watch, ended, sessions = SessionWatch(check=there), list[str](), SqlSessionStore(database)
    for _, each, cookie in people:
        checked = there.check(cookie)
        assert checked is not None
        watch.session(checked, on_end=lambda each=each: ended.append(each.id))  # type: ignore[misc]
    listener = another.listening(there.look)
    listener.start()
    try:
        until(lambda: listener.is_listening)
        took = []
        for _, each, cookie in people:
            sessions.end(each.id)
            took.append(until(lambda each=each: each.id in ended))  # type: ignore[misc]
            until(lambda cookie=cookie: there.check(cookie) is None, seconds=1)  # type: ignore[misc]
    finally:
        listener.close()
        watch.close()
    assert max(took) < 1.0
    assert median(took) < REVOCATION_CHECK_SECONDS / 10


def test_a_listener_whose_connection_is_ended_reads_what_it_missed(
    server: str, database: Database, another: PostgresqlDatabase
) -> None:
    """Ended from above, it connects again; what ended in between is learnt by the look after it."""
    looks: list[float] = []
    listener = another.listening(lambda: looks.append(time.monotonic()))
    listener.start()
    try:
        until(lambda: listener.is_listening)
        before = len(looks)
        with other_program(server) as they:
            they.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR "
                "(application_name = 'entrada' AND query = 'SELECT 1')"
            )
        until(lambda: len(looks) > before)
        until(lambda: listener.is_listening)
        before = len(looks)
        SqlSessionStore(database).note_rights_changed(user_id(7))
        until(lambda: len(looks) > before)
    finally:
        listener.close()


def test_a_message_names_nobody(server: str, database: Database) -> None:
    """Whoever else listens at this database reads the number of an entry, and of an ending that was undone
    nothing at all."""
    _, opened_session, _ = signed_in(database, identity(200), ADA)
    with other_program(server) as they:
        they.execute("LISTEN entrada_revoked")
        SqlSessionStore(database).end(opened_session.id)
        (message,) = they.notifies(timeout=5, stop_after=1)
        assert message.payload.isdigit()


def deadlocked(server: str, database: Database, *, end: str) -> int:
    """How many sessions of a `sid` ended, whose transaction was PostgreSQL's victim once."""
    sessions = SqlSessionStore(database)
    first, second = (session(id=f"{end}-{name}", entra_session_id=end) for name in "ab")  # type: ignore[arg-type]
    sessions.open(first)
    sessions.open(second)
    answer: list[int] = []
    with other_program(server) as they:
        they.execute("SET deadlock_timeout = '1h'")  # so that it is not theirs that is undone
        they.execute("BEGIN")
        they.execute("SELECT 1 FROM entrada_session WHERE id = %s FOR UPDATE", [second.id])
        ours = Thread(target=lambda: answer.append(sessions.end_by_entra_session(end)))
        ours.start()
        with other_program(server) as watching:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            until(lambda: watching.execute(waiting).fetchone() == (1,))
        they.execute("UPDATE entrada_session SET logout_hint = NULL WHERE id = %s", [first.id])
        they.execute("COMMIT")
        ours.join()
    return answer[0]


def test_a_deadlock_is_tried_again(server: str, database: Database) -> None:
    """Chosen as its victim, the transaction is made once more and ends both sessions; both are in the log."""
    position = SqlSessionStore(database).revocations(None).position
    assert deadlocked(server, database, end="deadlock") == 2
    entries = SqlSessionStore(database).revocations(position).entries
    assert sorted(each.subject for each in entries) == ["deadlock-a", "deadlock-b"]


def test_transactions_that_cannot_be_put_in_an_order_are_tried_again(server: str) -> None:
    """A database that is serializable by default: sixteen changes of one user at once all succeed."""
    with other_program(server) as they:
        they.execute("CREATE DATABASE serial")
        they.execute("ALTER DATABASE serial SET default_transaction_isolation = 'serializable'")
    with opened(server.replace("/entrada", "/serial")) as database:
        database.migrate()
        accounts = SqlAccountStore(database)
        accounts.create(user_id=user_id(1), identity=identity(1), profile=ADA, entra_grants=[], now=NOW)
        failed: list[Exception] = []

        def give(number: int) -> None:
            try:
                accounts.grant_role(user_id(1), role=f"role {number}", granted_by="root", now=NOW)
            except Exception as failure:
                failed.append(failure)

        threads = [Thread(target=give, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        user = accounts.get(user_id(1))
        assert user is not None
        assert len(user.roles) == 4


def end_connection(server: str, connection: Connection) -> None:
    """From above, as an administrator or a fail-over does."""
    (pid,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
    with other_program(server) as they:
        they.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_fault_15_a_connection_that_is_ended_from_above(server: str, database: Database) -> None:
    """In the middle of a transaction, as in a fail-over: nothing of it stays, and it may be tried again.
    Ended while at rest, the next use does not notice."""
    sessions, kept = SqlSessionStore(database), session()
    sessions.open(kept)

    def write() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM entrada_session")
            end_connection(server, connection)
            connection.exec_driver_sql("DELETE FROM entrada_user")

    with pytest.raises(StoreUnavailable) as refused:
        write()
    assert may_be_repeated(refused.value)
    assert sessions.find(kept.id) == kept
    with other_program(server) as they:
        they.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
    assert sessions.end(kept.id)


def test_fault_15_what_became_of_a_commit_is_not_guessed(server: str, database: Database) -> None:
    """The connection is lost while COMMIT is on its way: it fails, and is not tried again."""

    def write() -> None:
        with database.writing() as connection:
            end_connection(server, connection)

    with pytest.raises(StoreUnavailable) as refused:
        write()
    assert not may_be_repeated(refused.value)


def test_fault_15_a_server_that_may_only_be_read_is_refused(server: str, database: Database) -> None:
    """As a replica is: nothing is read there, as it may not know what has ended; it recovers by itself."""
    sessions, kept = SqlSessionStore(database), session()
    sessions.open(kept)
    with other_program(server) as they:
        they.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        they.execute("SELECT pg_reload_conf()")
        try:
            with opened(server) as fresh, pytest.raises(StoreUnavailable, match="only be read") as refused:
                until(lambda: not SqlSessionStore(fresh).find(kept.id))
            assert "fail-over" in refused.value.hint
            with pytest.raises(StoreUnavailable, match="only be read"):
                sessions.end(kept.id)
        finally:
            they.execute("SET transaction_read_only = off")
            they.execute("ALTER SYSTEM RESET default_transaction_read_only")
            they.execute("SELECT pg_reload_conf()")
    until(lambda: comes_back(sessions, kept.id))


def comes_back(sessions: SqlSessionStore, session_id: object) -> bool:
    try:
        return sessions.end(session_id)  # type: ignore[arg-type]
    except StoreUnavailable:
        return False


def test_nothing_is_prepared_by_name(database: Database) -> None:
    """However often a statement is used: a pooler in transaction mode would not know it."""
    sessions = SqlSessionStore(database)
    for _ in range(12):
        sessions.count(now=NOW)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0


def test_the_listener_says_nothing_of_a_database_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever needs the database says so; the listener tries again, and ends at once when it is closed."""
    with opened("postgresql://postgres@127.0.0.1:1/entrada") as database:
        listener = database.listening(lambda: None)
        with caplog.at_level(logging.INFO, logger="entrada"):
            listener.start()
            began = time.monotonic()
            listener.close()
    assert time.monotonic() - began < 2
    assert caplog.text == ""


def test_fault_32_a_fork_beside_a_listener(database: Database, another: PostgresqlDatabase) -> None:
    """As a server that forks when all is loaded: the child listens for itself, the parent goes on."""
    heard: list[float] = []
    listener = another.listening(lambda: heard.append(time.monotonic()))
    listener.start()
    until(lambda: listener.is_listening)

    def child() -> str:
        assert not listener.is_listening
        listener.start()
        until(lambda: listener.is_listening)
        before = len(heard)
        SqlSessionStore(another).note_rights_changed(user_id(9))
        until(lambda: len(heard) > before)
        listener.close()
        return "heard"

    before = len(heard)
    assert said_by(in_child(child)) == "heard"
    until(lambda: len(heard) > before)
    before = len(heard)
    SqlSessionStore(database).note_rights_changed(user_id(9))
    until(lambda: len(heard) > before)
    listener.close()
