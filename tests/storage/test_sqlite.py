"""SQLite under several processes and threads, and when it goes wrong.

`fault_15` and the like are the fault scenarios of the security catalogue.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from conformance.samples import ADA, LATER, NOW, at_once, counted, from_entra, identity, session, user_id
from entrada.errors import StoreUnavailable
from entrada.sessions.session import SessionId
from entrada.storage.sql import Database, SqlAccountStore, SqlSessionStore, connect, sqlite
from storage.forked import DONE, die_before_statement, ending_of, fork, in_child, kill, said_by
from storage.others import in_processes, sign_in_often
from storage.prepared import prepared_copy

AT_ONCE = timedelta(milliseconds=20)


def create(accounts: SqlAccountStore, number: int) -> None:
    accounts.create(
        user_id=user_id(number),
        identity=identity(number),
        profile=ADA,
        entra_grants=[from_entra("Admin"), from_entra("Editor")],
        now=NOW,
    )


def every_use(database: Database) -> list[Callable[[], object]]:
    accounts, sessions = SqlAccountStore(database), SqlSessionStore(database)
    return [
        lambda: accounts.get(user_id(1)),
        lambda: accounts.find_by_identity(identity(1)),
        lambda: accounts.find_by_verified_email("ada@contoso.test"),
        lambda: accounts.list_users(),
        lambda: create(accounts, 1),
        lambda: accounts.link(user_id=user_id(1), identity=identity(2), now=NOW),
        lambda: accounts.record_sign_in(
            user_id=user_id(1), identity=identity(1), profile=ADA, entra_grants=[], now=NOW
        ),
        lambda: accounts.set_disabled(user_id(1), disabled=True, now=NOW),
        lambda: accounts.grant_role(user_id(1), role="Admin", granted_by="root", now=NOW),
        lambda: accounts.revoke_role(user_id(1), role="Admin"),
        lambda: sessions.open(session()),
        lambda: sessions.find(SessionId("a")),
        lambda: sessions.touch(SessionId("a"), last_seen_at=NOW, idle_expires_at=NOW),
        lambda: sessions.end(SessionId("a")),
        lambda: sessions.end_by_entra_session("a"),
        lambda: sessions.end_of_user(user_id(1)),
        lambda: sessions.spend_sign_in("a", expires_at=NOW),
        lambda: sessions.revocation_epoch(),
        lambda: sessions.note_change(),
        lambda: sessions.prune(now=NOW),
        lambda: database.migrate(),
    ]


def refusals(uses: list[Callable[[], object]]) -> set[str]:
    """What each use says when it is refused; every one must be, and with a next step."""
    said = set()
    for use in uses:
        with pytest.raises(StoreUnavailable) as refused:
            use()
        assert refused.value.hint
        said.add(refused.value.sentence)
    return said


# the file


def test_a_new_file_is_its_owners_alone(path: Path) -> None:
    """0600 for the database and for the files that SQLite keeps beside it, whatever the umask."""
    umask = os.umask(0)
    try:
        database = connect(f"sqlite:///{path}")
        database.migrate()
        SqlSessionStore(database).note_change()
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == {"entrada.db": 0o600, "entrada.db-wal": 0o600, "entrada.db-shm": 0o600}
    database.close()


def test_a_file_that_is_there_keeps_its_mode(url: str, path: Path) -> None:
    """An administrator who lets a group read it is not overruled."""
    path.chmod(0o640)
    connect(url).close()
    assert path.stat().st_mode & 0o777 == 0o640


def test_connecting_again_takes_no_lock_away(url: str, path: Path, database: Database) -> None:
    """Closing a file drops every lock the process holds on it, so connect leaves one that is there alone."""

    def is_locked() -> str:
        with path.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)  # SQLite's SHARED range
            except BlockingIOError:
                return "locked"
        return "free"

    SqlSessionStore(database).note_change()
    with database.reading() as connection:
        connection.exec_driver_sql("SELECT 1")
        probe = said_by(in_child(is_locked))
        another = connect(url)
        assert (probe, said_by(in_child(is_locked))) == ("locked", "locked")
        another.close()


def test_connections_are_set_as_promised(database: Database) -> None:
    """WAL, synchronous NORMAL, foreign keys on, five seconds of patience."""
    with database.reading() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 5000}


def test_the_first_connection_waits_to_switch_to_wal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself gives up at once when two processes meet a new file; the connection looks again."""
    holder, late = (sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2))
    holder.execute("BEGIN EXCLUSIVE")
    looked: list[float] = []

    def let_go_meanwhile(seconds: float) -> None:
        looked.append(seconds)
        holder.rollback()

    monkeypatch.setattr(sqlite.time, "sleep", let_go_meanwhile)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite.switch_to_wal(late, deadline=time.monotonic() - 1)
    sqlite.switch_to_wal(late, deadline=time.monotonic() + 5)
    assert looked == [sqlite.LOOK_AGAIN_AFTER_SECONDS]
    assert late.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    holder.close()
    late.close()


# several processes


def test_two_processes_on_one_file_lose_nothing(url: str, database: Database) -> None:
    """Two processes of four threads write at once: nothing is raised, every row is there."""
    create(SqlAccountStore(database), 1)
    assert in_processes(2, sign_in_often, url, 4, 50) == {"NoneType": 8}
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM entrada_session").scalar() == 400
    assert SqlSessionStore(database).prune(now=LATER) == 800


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    """While a transaction is open, others read what was before it."""
    sessions, opened = SqlSessionStore(database), session()
    sessions.open(opened)
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM entrada_session")
        assert sessions.find(opened.id) == opened
    assert sessions.find(opened.id) is None


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    """A transaction is rolled back whole, and the next one is not hindered."""
    sessions, opened = SqlSessionStore(database), session()
    sessions.open(opened)
    with suppress(KeyError), database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM entrada_session")
        raise KeyError
    assert sessions.find(opened.id) == opened
    assert sessions.end(opened.id)


def test_fault_32_a_forked_child_and_its_parent_both_go_on(database: Database) -> None:
    """After a fork each has connections and locks of its own; each sees what the other writes."""
    sessions, of_parent, of_child = SqlSessionStore(database), session(), session()
    sessions.open(of_parent)
    before = sessions.revocation_epoch()

    def child() -> None:
        assert sessions.find(of_parent.id) == of_parent
        assert sessions.revocation_epoch() == before
        sessions.open(of_child)
        assert sessions.end(of_parent.id)
        assert sessions.revocation_epoch() > before

    assert ending_of(fork(child)) == DONE
    assert sessions.revocation_epoch() > before
    assert sessions.find(of_parent.id) is None
    assert sessions.find(of_child.id) == of_child


def test_fault_32_a_fork_waits_for_a_transaction_in_another_thread(database: Database) -> None:
    """No half-written transaction crosses into a child, and no lock stays shut in it."""
    sessions = SqlSessionStore(database)

    def write_or_fork(number: int) -> int:
        if number:
            for _ in range(20):
                sessions.open(session())
            return DONE
        return max(ending_of(fork(lambda: sessions.open(session()))) for _ in range(10))

    assert at_once(4, write_or_fork) == [DONE] * 4
    assert sessions.prune(now=NOW + timedelta(days=9)) == 70


# kill -9


def test_fault_17_killed_at_any_step_of_create_there_is_no_half_account(tmp_path: Path) -> None:
    """Killed before each statement in turn, the user is there whole or not at all, and can be made after."""
    killed = 0
    for number in range(8):
        url = prepared_copy(tmp_path / f"{number}.db")

        def die(number: int = number, url: str = url) -> None:
            accounts = SqlAccountStore(connect(url))
            die_before_statement(number)
            create(accounts, 1)

        killed += ending_of(fork(die)) == -signal.SIGKILL
        database = connect(url)
        accounts = SqlAccountStore(database)
        if accounts.get(user_id(1)) is None:
            assert accounts.find_by_identity(identity(1)) is None
            create(accounts, 1)
        assert_whole(database, users=1)
        database.close()
    assert killed >= 5


def test_fault_17_killed_while_creating_in_a_loop_every_account_is_whole(
    url: str, database: Database
) -> None:
    """Ten processes killed at no particular step leave only users with their identity and all their roles."""
    made = 0
    for turn in range(10):
        reader, writer = os.pipe()

        def create_for_ever(turn: int = turn, writer: int = writer) -> None:
            accounts = SqlAccountStore(connect(url))
            for number in range(1_000_000):
                create(accounts, turn * 1_000_000 + number)
                os.write(writer, b".")

        child = fork(create_for_ever)
        os.close(writer)
        for _ in range(3 + 7 * turn):
            made += len(os.read(reader, 1))
        kill(child)
        assert ending_of(child) == -signal.SIGKILL
        os.close(reader)
    assert_whole(database, at_least=made)


def assert_whole(database: Database, *, users: int | None = None, at_least: int = 0) -> None:
    with database.reading() as connection:
        counts = [
            connection.exec_driver_sql(f"SELECT count(*), count(DISTINCT user_id) FROM {table}").one()
            for table in ("entrada_identity", "entrada_role_grant")
        ]
        there = connection.exec_driver_sql("SELECT count(*) FROM entrada_user").scalar_one()
    assert users is None or there == users
    assert there >= at_least
    assert counts == [(there, there), (2 * there, there)]


# when it goes wrong


def test_fault_15_locked_for_longer_than_the_wait(url: str, path: Path) -> None:
    """Writes say that the database is busy, reads go on; when the lock is gone all is well again."""
    database = connect(url, wait=AT_ONCE)
    accounts, sessions = SqlAccountStore(database), SqlSessionStore(database)
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        said = refusals([lambda: create(accounts, 1), lambda: sessions.open(session()), sessions.note_change])
        assert said == {"The database of this application did not answer: it is busy with other writes."}
        assert accounts.get(user_id(1)) is None
        assert sessions.revocation_epoch() == 1
        holder.execute("ROLLBACK")
    holder.close()
    create(accounts, 1)
    assert accounts.get(user_id(1)) is not None
    database.close()


def test_fault_15_a_thread_that_holds_the_turn_too_long(url: str) -> None:
    """The threads of one process wait no longer for each other than for other processes."""
    database = connect(url, wait=AT_ONCE)
    with database.writing():
        assert counted(at_once(3, lambda _: SqlSessionStore(database).note_change())) == {
            "StoreUnavailable": 3
        }
    SqlSessionStore(database).note_change()
    database.close()


def test_fault_15_missing_folder(tmp_path: Path) -> None:
    """The hint says to look at the folder that the setting names."""
    with pytest.raises(StoreUnavailable, match="cannot be opened") as refused:
        connect(f"sqlite:///{tmp_path}/nowhere/entrada.db")
    assert "ENTRADA_DATABASE_URL" in refused.value.hint


def test_fault_15_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    """It cannot be opened, whatever is asked of it."""
    assert refusals(every_use(connect(f"sqlite:///{tmp_path}"))) == {
        "The database of this application did not answer: it cannot be opened."
    }


def test_fault_15_a_file_that_vanished_is_not_made_anew(url: str, path: Path) -> None:
    """An empty database in its place would let ended sessions and disabled people be forgotten."""
    database = connect(url)
    path.unlink()
    assert refusals(every_use(database)) == {
        "The database of this application did not answer: it cannot be opened."
    }
    assert not path.exists()


def test_fault_15_no_database_at_all(path: Path) -> None:
    """A file of something else is named as such, and left as it is."""
    path.write_bytes(b"This is no database.\n" * 500)
    before = path.read_bytes()
    assert refusals(every_use(connect(f"sqlite:///{path}"))) == {
        "The database of this application did not answer: "
        "it is damaged, or not a database of Entrada's at all."
    }
    assert path.read_bytes() == before


def test_fault_15_damaged_pages(url: str, path: Path) -> None:
    """Pages overwritten in the middle: refused, never taken for an empty table."""
    database = connect(url)
    for number in range(20):
        create(SqlAccountStore(database), number)
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    assert refusals([lambda: SqlAccountStore(database).get(user_id(1))]) == {
        "The database of this application did not answer: "
        "it is damaged, or not a database of Entrada's at all."
    }


def test_fault_15_read_only(url: str) -> None:
    """Where neither file nor folder may be written, a write says so and says who must be let."""

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "entrada.db"
        prepared_copy(path)
        path.chmod(0o444)
        os.chmod(folder, 0o555)

        def try_to_write() -> str:
            if os.geteuid() == 0:
                os.seteuid(65534)  # the superuser may write anything
            database = connect(f"sqlite:///{path}")
            try:
                SqlSessionStore(database).note_change()
            except StoreUnavailable as refused:
                return f"{refused} {refused.hint}"
            return "was written"

        said = said_by(in_child(try_to_write))
        os.chmod(folder, 0o755)
    assert "it is read-only" in said
    assert "Let the account that runs Entrada write" in said


def test_fault_15_full_disk(database: Database) -> None:
    """It says so; what was there stays readable, ending still works, and room again is enough to go on."""
    accounts = SqlAccountStore(database)
    create(accounts, 0)

    def limit(pages: int) -> None:
        with database.reading() as connection:  # the one connection at rest, which the next use takes
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    def fill() -> None:
        for number in range(1, 1000):
            limit(1)  # SQLite takes the present size where that is larger
            create(accounts, number)

    assert refusals([fill]) == {"The database of this application did not answer: its disk is full."}
    assert accounts.get(user_id(0)) is not None
    limit(1_000_000)
    assert_whole(database)
    create(accounts, 1_000_000)


@pytest.mark.parametrize("content", [b"This is no database.\n" * 500, b""])
def test_fault_15_no_message_gives_anything_away(path: Path, content: bytes) -> None:
    """The page shows sentence and hint to whoever is signing in: no path, no statement, no value.

    Nor has the whole traceback, which goes to the log, the value of anything.
    """
    path.write_bytes(content)
    database = connect(f"sqlite:///{path}")
    for use in every_use(database)[:-1]:
        with pytest.raises(StoreUnavailable) as refused:
            use()
        shown = f"{refused.value.sentence} {refused.value.hint}"
        assert not [secret for secret in (path.name, "SELECT", "INSERT", "entrada_") if secret in shown]
        trace = "".join(traceback.format_exception(refused.value))
        assert not [secret for secret in (ADA.name, "Contoso", user_id(1), "O.CiQ-hint") if secret in trace]
    database.close()


# rows that no store has written


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("secret_hash", "X'00'"),
        ("secret_hash", "X''"),
        ("secret_hash", "'text of thirty-two characters....'"),
        ("idle_expires_at", "'tomorrow'"),
        ("absolute_expires_at", "9223372036854775807"),
        ("created_at", "1e300"),
        ("last_seen_at", "X'00'"),
    ],
)
def test_F7_an_altered_session_is_no_session(database: Database, column: str, value: str) -> None:
    """A row that `open` cannot have written finds nothing; other sessions go on."""
    sessions, altered, other = SqlSessionStore(database), session(), session()
    sessions.open(altered)
    sessions.open(other)
    with database.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE entrada_session SET {column} = {value} WHERE id = ?", (altered.id,)
        )
    assert sessions.find(altered.id) is None
    assert sessions.find(other.id) == other


def test_F7_an_altered_account_lets_nobody_in(database: Database) -> None:
    """A time that is no time is damage; a grant from an unknown source gives nothing."""
    accounts = SqlAccountStore(database)
    create(accounts, 1)
    with database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE entrada_role_grant SET source = 'newer version' WHERE role = 'Admin'"
        )
    user = accounts.get(user_id(1))
    assert user is not None
    assert user.roles == {"Editor"}
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE entrada_user SET disabled_at = 'yesterday'")
    with pytest.raises(StoreUnavailable, match="damaged"):
        accounts.get(user_id(1))
