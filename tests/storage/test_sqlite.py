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
from itertools import takewhile
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import insert

from conformance.samples import (
    ADA,
    CONTOSO,
    LATER,
    NOW,
    SOMEBODY,
    at_once,
    counted,
    from_entra,
    identity,
    log_length,
    session,
    user_id,
)
from entrada.accounts.identity import Profile
from entrada.accounts.people import PeopleQuery
from entrada.audit.acts import Act, Action, Subject
from entrada.errors import StoreUnavailable
from entrada.sessions.revocation import Revocations
from entrada.sessions.session import Session, SessionId
from entrada.storage.sql import (
    Database,
    SqlAccountStore,
    SqlAuditTrail,
    SqlSealedSignIns,
    SqlSessionStore,
    connect,
    people,
    sqlite,
)
from entrada.storage.sql.sqlite import driver_of
from entrada.storage.sql.tables import sealed_sign_ins
from storage.forked import DONE, die_before_statement, ending_of, fork, in_child, kill, said_by
from storage.others import end_and_look, in_processes, sign_in_often
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
        lambda: sessions.revocations(None),
        lambda: sessions.end_all(),
        lambda: sessions.note_rights_changed(SOMEBODY),
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
        SqlSessionStore(database).note_rights_changed(SOMEBODY)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
    names = ("entrada.db", "entrada.db-wal", "entrada.db-shm", "entrada-db.sequence")
    assert modes == dict.fromkeys(names, 0o600)
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

    SqlSessionStore(database).note_rights_changed(SOMEBODY)
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
    before = log_length(sessions)

    def child() -> None:
        assert sessions.find(of_parent.id) == of_parent
        assert log_length(sessions) == before
        sessions.open(of_child)
        assert sessions.end(of_parent.id)
        assert log_length(sessions) > before

    assert ending_of(fork(child)) == DONE
    assert log_length(sessions) > before
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
        said = refusals(
            [
                lambda: create(accounts, 1),
                lambda: sessions.open(session()),
                lambda: sessions.note_rights_changed(SOMEBODY),
            ]
        )
        assert said == {"The database of this application did not answer: it is busy with other writes."}
        assert accounts.get(user_id(1)) is None
        assert log_length(sessions) == 1
        holder.execute("ROLLBACK")
    holder.close()
    create(accounts, 1)
    assert accounts.get(user_id(1)) is not None
    database.close()


def test_fault_15_a_thread_that_holds_the_turn_too_long(url: str) -> None:
    """The threads of one process wait no longer for each other than for other processes."""
    database = connect(url, wait=AT_ONCE)
    with database.writing():
        assert counted(at_once(3, lambda _: SqlSessionStore(database).note_rights_changed(SOMEBODY))) == {
            "StoreUnavailable": 3
        }
    SqlSessionStore(database).note_rights_changed(SOMEBODY)
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
                SqlSessionStore(database).note_rights_changed(SOMEBODY)
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


# a database that went back in time


def backed_up(path: Path) -> bytes:
    """The database as a backup program of SQLite's own copies it."""
    target = path.with_suffix(".backup")
    with sqlite3.connect(path) as source, sqlite3.connect(target) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    return target.read_bytes()


def restore(path: Path, content: bytes, how: str) -> None:
    """The backup in the database's place, as three kinds of administrators do it."""
    match how:
        case "sqlite3 .restore":
            path.with_suffix(".backup").write_bytes(content)
            with sqlite3.connect(path.with_suffix(".backup")) as copy, sqlite3.connect(path) as target:
                copy.backup(target)
            target.close()
            copy.close()
        case "another file moved there":
            for name in (f"{path}-wal", f"{path}-shm"):
                Path(name).unlink(missing_ok=True)
            path.with_suffix(".new").write_bytes(content)
            path.with_suffix(".new").rename(path)
        case "cp, while nobody has it open":
            path.write_bytes(content)


def after_an_ending(url: str, path: Path) -> tuple[bytes, Session, Session]:
    """A backup in which two sessions stand, one of which has ended since."""
    database = connect(url)
    sessions, ended, other = SqlSessionStore(database), session(), session()
    for each in (ended, other):
        sessions.open(each)
    sessions.note_rights_changed(SOMEBODY)
    content = backed_up(path)
    sessions.end(ended.id)
    database.close()
    return content, ended, other


def test_many_that_are_over_are_forgotten_a_few_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others who write wait for a few rows, never for all that are over; what is left goes in later calls."""
    monkeypatch.setattr("entrada.storage.sql.sessions.PRUNED_AT_MOST", 4)
    sessions = SqlSessionStore(database)
    for number in range(1_200):
        sessions.open(session(idle_expires_at=NOW - timedelta(seconds=number)))
    live = session(idle_expires_at=NOW + timedelta(hours=1))
    sessions.open(live)
    assert [sessions.prune(now=NOW) for _ in range(4)] == [500, 500, 200, 0]
    assert sessions.find(live.id) == live


def test_many_who_have_no_session_are_forgotten_a_few_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim comes to its end while very many are due who have no session; later ones forget the rest."""
    monkeypatch.setattr("entrada.storage.sql.sealed_sign_ins.FORGOTTEN_AT_MOST", 4)
    accounts, sign_ins = SqlAccountStore(database), SqlSealedSignIns(database)
    create(accounts, 1)
    row = {"tenant_id": "t", "user_id": user_id(1), "sealed_sign_in": "sealed", "last_sign_in_at": NOW}
    with database.writing() as connection:
        connection.execute(
            insert(sealed_sign_ins),
            [{**row, "object_id": f"{n}", "next_check_at": NOW - timedelta(seconds=n)} for n in range(1_200)],
        )
    left = []
    for _ in range(3):
        assert sign_ins.claim_due(now=NOW, next_check_at=LATER) is None
        left.append(len(sign_ins.of_user(user_id(1))))
    assert left == [700, 200, 0]


RESTORED = ["sqlite3 .restore", "another file moved there", "cp, while nobody has it open"]


@pytest.mark.parametrize("how", RESTORED)
def test_K6_a_restored_backup_is_noticed_by_the_next_start(url: str, path: Path, how: str) -> None:
    """The mark beside the database says what the backup does not know; ending all makes it good again."""
    content, ended, _ = after_an_ending(url, path)
    restore(path, content, how)
    database = connect(url)
    sessions = SqlSessionStore(database)
    assert sessions.find(ended.id) is not None
    assert sessions.revocations(None).went_back
    assert sessions.end_all() == 2
    assert sessions.find(ended.id) is None
    assert not sessions.revocations(None).went_back
    database.close()
    database = connect(url)
    assert not SqlSessionStore(database).revocations(None).went_back
    database.close()


@pytest.mark.parametrize("how", RESTORED[:2])
def test_K6_a_backup_restored_under_a_running_process_is_noticed(
    url: str, path: Path, database: Database, how: str
) -> None:
    """A process that has looked before sees it in its next look, and reads the restored file then."""
    content, ended, _ = after_an_ending(url, path)
    sessions = SqlSessionStore(database)
    position = sessions.revocations(None).position
    assert sessions.revocations(position) == Revocations(position=position)
    restore(path, content, how)
    assert sessions.revocations(position).went_back
    assert sessions.find(ended.id) is not None
    assert sessions.end_all(since=position) == 2
    after = sessions.revocations(position)
    assert (after.went_back, after.is_complete) == (False, False)
    assert sessions.find(ended.id) is None


@pytest.mark.parametrize("how", RESTORED[:2])
def test_fault_16_a_backup_restored_before_the_first_look(
    url: str, path: Path, database: Database, how: str
) -> None:
    """A process that had only read until then reads the restored file, too, and notices."""
    content, ended, other = after_an_ending(url, path)
    sessions = SqlSessionStore(database)
    assert sessions.find(other.id) == other
    restore(path, content, how)
    assert sessions.revocations(None).went_back
    assert sessions.find(ended.id) == ended
    assert sessions.end_all() == 2
    assert not sessions.revocations(None).went_back


def test_K6_what_ends_after_the_restore_does_not_hide_it(url: str, path: Path) -> None:
    """Endings in the restored database, as many as it had lost and more, leave the mark as it was."""
    content, *_ = after_an_ending(url, path)
    restore(path, content, RESTORED[0])
    database = connect(url)
    sessions = SqlSessionStore(database)
    for _ in range(10):
        sessions.note_rights_changed(SOMEBODY)
    assert sessions.revocations(None).went_back
    database.close()


def test_K6_a_mark_that_was_damaged_ends_everything_once(url: str, path: Path) -> None:
    """A line that is no position is taken for the furthest one there could be."""
    after_an_ending(url, path)
    (path.parent / "entrada-db.sequence").write_bytes(b"\xff" * 42)
    database = connect(url)
    sessions = SqlSessionStore(database)
    assert sessions.revocations(None).went_back
    sessions.end_all()
    assert not sessions.revocations(None).went_back
    sessions.note_rights_changed(SOMEBODY)
    assert not sessions.revocations(None).went_back
    database.close()


def test_K6_processes_that_end_much_at_once_never_doubt_the_database(url: str) -> None:
    """Four processes end and look as fast as they can: nobody takes it for a restored one."""
    assert in_processes(4, end_and_look, url, 200) == {"went on": 4}


def test_K6_a_mark_that_cannot_be_read_lets_nobody_in(url: str, path: Path) -> None:
    """Without knowing whether the database went back, nothing is known; the hint says what to do."""
    after_an_ending(url, path)
    mark = path.parent / "entrada-db.sequence"
    mark.unlink()
    mark.mkdir()
    database = connect(url)
    assert refusals([lambda: SqlSessionStore(database).revocations(None)]) == {
        "The database of this application did not answer: "
        "the file beside it that says what had ended cannot be read."
    }
    database.close()


# a fork beside busy threads


def test_K44_a_fork_beside_busy_readers_and_writers_leaves_a_child_that_works(
    url: str, database: Database
) -> None:
    """While threads read, look and write without a pause, each of fifty children reads, writes and ends."""
    sessions, opened = SqlSessionStore(database), session()
    accounts = SqlAccountStore(database)
    create(accounts, 1)
    sessions.open(opened)
    stop = Event()

    def busy(number: int) -> None:
        position = sessions.revocations(None).position
        while not stop.is_set():
            if number % 3 == 0:
                assert sessions.find(opened.id) == opened
            elif number % 3 == 1:
                assert accounts.get(user_id(1)) is not None
                position = sessions.revocations(position).position
            else:
                sessions.touch(opened.id, last_seen_at=NOW, idle_expires_at=opened.idle_expires_at)

    def child() -> None:
        signal.alarm(10)  # a child that hangs is killed, and its status tells
        assert sessions.find(opened.id) is not None
        assert accounts.get(user_id(1)) is not None
        own = session()
        sessions.open(own)
        sessions.revocations(None)
        assert sessions.end(own.id)

    def fork_often() -> list[int]:
        try:
            return list(takewhile(lambda ending: ending == DONE, (ending_of(fork(child)) for _ in range(50))))
        finally:
            stop.set()

    results = at_once(7, lambda number: busy(number) if number else fork_often())
    assert results == [[DONE] * 50, *[None] * 6]
    assert sessions.prune(now=LATER) == 0


@pytest.mark.parametrize("is_read", [False, True], ids=["nobody reads", "somebody reads meanwhile"])
def test_whoever_was_deleted_stands_in_no_file_any_more(is_read: bool, tmp_path: Path) -> None:
    """Neither in the database nor in its write-ahead log, while servers go on; at the latest at their end."""
    path = tmp_path / "entrada.db"
    url = prepared_copy(path)
    server, command = connect(url), connect(url, wait=AT_ONCE)
    create(SqlAccountStore(server), 1)
    told = Subject(object_id=identity(1).object_id, tenant_id=identity(1).tenant_id, name=ADA.name)
    SqlAuditTrail(server).record(Act(action=Action.SIGN_IN_REFUSED, subject=told))
    who = (ADA.name.encode(), identity(1).object_id.encode())

    def known() -> bool:
        return any(text in file.read_bytes() for file in tmp_path.iterdir() for text in who)

    assert known()
    reader = sqlite3.connect(path, isolation_level=None)
    if is_read:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entrada_user").fetchone()
    assert SqlAccountStore(command).delete(user_id(1)) is not None
    assert known() is is_read
    reader.close()
    command.close()
    server.close()
    assert not known()


@pytest.mark.parametrize(
    "query",
    [
        PeopleQuery(),
        PeopleQuery(text="ada"),
        PeopleQuery(role="Editor"),
        PeopleQuery(tenant_id=CONTOSO),
        PeopleQuery(is_enabled=True),
        PeopleQuery(signed_in_at=NOW),
        PeopleQuery(given_for=frozenset({"app role Editors"})),
        PeopleQuery(given_for=frozenset()),
        PeopleQuery(text="ada", role="Editor", tenant_id=CONTOSO, is_enabled=True, signed_in_at=NOW),
    ],
    ids=["all", "text", "role", "tenant", "enabled", "signed in", "given", "none given", "all filters"],
)
def test_no_page_of_people_sorts_everybody(
    query: PeopleQuery, path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pass a filter, SQLite reads them in the order of names until the page is full, without
    statistics, which nobody gathers here."""
    monkeypatch.setattr(people, "FEW", -1)  # as though many passed each
    asked: list[str] = []
    with database.reading() as connection:
        driver_of(connection).set_trace_callback(asked.append)
    SqlAccountStore(database).find_people(query, after=user_id(1))
    with sqlite3.connect(path) as connection:
        plan, *alone = [
            [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")] for each in reversed(asked)
        ]
    connection.close()
    if query.text:  # all names stand in that index, so that none of a million rows is read beside it
        assert any("INDEX ix_entrada_user_names" in step for steps in alone for step in steps)
    within = plan[plan.index("CO-ROUTINE page") : plan.index("SCAN page")]
    assert "INDEX ix_entrada_user_" in within[1]
    assert "USE TEMP B-TREE FOR ORDER BY" not in within
    assert all("id=?)" in step for step in within[2:] if step.startswith("SEARCH"))


def test_who_is_deleted_is_in_no_byte_of_the_files(
    path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Overwritten where it stood, and the write-ahead log emptied; while another reads, which holds that log,
    one line of ours says so, and it goes with the last who has it open."""

    def said() -> bytes:
        files = (path, path.with_name(f"{path.name}-wal"))
        return b"".join(file.read_bytes() for file in files if file.exists()).lower()

    database = connect(url, wait=AT_ONCE)
    database.migrate()
    accounts = SqlAccountStore(database)
    for number in (1, 2):
        gone = Profile(name=f"Quirin Zyx{number}", email=f"zyx{number}@contoso.test", username=f"zyx{number}")
        of = identity(number)
        accounts.create(user_id=user_id(number), identity=of, profile=gone, entra_grants=[], now=NOW)
    assert b"zyx1" in said()
    assert b"zyx2" in said()
    accounts.delete(user_id(1))
    assert b"zyx1" not in said()
    assert not caplog.records
    with sqlite3.connect(path, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entrada_user").fetchone()
        accounts.delete(user_id(2))
        assert "until nobody has it open" in caplog.text
        reader.execute("COMMIT")
    reader.close()
    database.close()
    assert b"zyx2" not in said()
