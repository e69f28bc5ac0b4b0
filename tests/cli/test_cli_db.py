"""`entrada db`, as an operator uses it: the real command on a real database."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from clients.postgres import running_postgres
from conformance.samples import NOW, identity, session, user_id
from entrada.accounts.identity import Profile
from entrada.audit.acts import BY_ENTRADA
from entrada.build import Stores, open_stores
from entrada.clock import SystemClock
from entrada.settings import Settings, aliases_of, native_name
from entrada.storage.sql import connect, sqlite_restore
from storage.prepared import prepared_copy

KEY = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH"
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name
    not in {
        each for key, info in Settings.model_fields.items() for each in (native_name(key), *aliases_of(info))
    }
}
Entrada = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def entrada(tmp_path: Path) -> Entrada:
    """`entrada("check")`: status, stdout, stderr of `entrada db check` where the database is."""

    def run(*words: str, **settings: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "entrada.cli", "db", *words],
            cwd=tmp_path,
            env=ENVIRONMENT | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def database(tmp_path: Path) -> Path:
    prepared_copy(tmp_path / "entrada.db")
    return tmp_path / "entrada.db"


def opened(path: Path) -> Stores:
    return open_stores(f"sqlite:///{path}")


def with_nora(path: Path) -> None:
    """Nora, signed in for a long time."""
    stores = opened(path)
    profile = Profile(name="Nora North", email="n@contoso.test", username=None, is_guest=False)
    stores.accounts.create(
        user_id=user_id(1), identity=identity(1), profile=profile, entra_grants=[], now=NOW
    )
    far = SystemClock().now().replace(year=2100)
    stores.sessions.open(
        replace(session(user_id(1), identity=identity(1)), idle_expires_at=far, absolute_expires_at=far)
    )
    stores.close()


def damage(database: Path) -> None:
    """Its page of sessions says nothing any more."""
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entrada_session'").fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def checks(told: str) -> dict[str, bool]:
    return {each["check"]: each["ok"] for each in json.loads(told)["checks"]}


def test_a_sound_database_is_said_to_be_so(entrada: Entrada, database: Path) -> None:
    """Every check, status 0; no key file appears by looking."""
    status, shown, said = entrada("check")
    assert (status, said) == (0, "")
    assert [line.split()[:2] for line in shown.splitlines()] == [
        ["ok", f"{each}:"] for each in ("reachable", "schema", "integrity", "writable", "keys", "audit")
    ]
    status, shown, _ = entrada("check", "--json")
    assert (status, json.loads(shown)["ok"], len(checks(shown))) == (0, True, 6)
    assert not database.with_suffix(".keys").exists()


def test_an_older_database_is_told_and_left_alone_until_the_upgrade(entrada: Entrada, tmp_path: Path) -> None:
    """`check` makes no table; `upgrade` makes them all, and finds nothing to do the second time."""
    sqlite3.connect(tmp_path / "entrada.db").close()
    (tmp_path / "entrada.db").touch()
    status, shown, said = entrada("check", "--json")
    assert (status, checks(shown)["schema"]) == (1, False)
    assert said.startswith("entrada: The database is not as it should be: it has no tables")
    assert "entrada db upgrade" in said
    assert json.loads(entrada("upgrade", "--json")[1])["changed"] is True
    assert json.loads(entrada("upgrade", "--json")[1])["changed"] is False
    assert entrada("check")[0] == 0


NEWER = (
    "UPDATE entrada_schema_version SET version_num = '9999';"
    "UPDATE entrada_schema_oldest SET version_num = '9998';"
)
"""What a version that took something away leaves."""


def test_a_newer_database_is_refused(entrada: Entrada, database: Path) -> None:
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.execute("UPDATE entrada_schema_version SET version_num = '9999'")
    status, shown, said = entrada("check", "--json")
    assert (status, checks(shown)["schema"]) == (0, True)
    assert "version 9999 of a newer Entrada, which says that this one" in shown
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.executescript(NEWER)
    status, shown, said = entrada("check", "--json")
    assert (status, checks(shown)["schema"]) == (1, False)
    assert "newer version" in said
    assert entrada("upgrade")[0] == 1


def test_a_damaged_database_is_found(entrada: Entrada, database: Path) -> None:
    """A page that says nothing any more: `check` names it, and `backup` leaves no copy of it."""
    with_nora(database)
    damage(database)
    status, shown, _ = entrada("check", "--json")
    assert (status, checks(shown)["integrity"]) == (1, False)
    assert entrada("backup", "copy.db")[0] == 1
    assert not list(database.parent.glob("copy.db*"))


def test_a_database_that_may_not_be_written_is_found(entrada: Entrada, database: Path) -> None:
    """Another writer holds it: that is said, and not a word of the others is lost."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, shown, said = entrada("check", "--json")
        other.execute("ROLLBACK")
    assert status == 1
    assert "did not answer: it is" in said
    assert ".." not in said
    assert checks(shown) == {
        "reachable": True,
        "schema": True,
        "integrity": True,
        "writable": False,
        "keys": True,
        "audit": True,
    }


def test_keys_that_do_not_open_what_is_sealed_are_found(entrada: Entrada, database: Path) -> None:
    """A lost key file, another key, and the right one behind a new one."""
    from sqlalchemy import insert

    from entrada.gateway.assertion_keys import SEALED_ASSERTION_KEYS
    from entrada.sealing import Sealer
    from entrada.storage.sql.tables import assertion_keys

    sealed = Sealer([KEY.encode()], purpose=SEALED_ASSERTION_KEYS).seal(b"a key", context="kid")
    store = connect(f"sqlite:///{database}")
    with store.writing() as connection:
        row = {"kid": "kid", "follows": "", "sealed": sealed, "made_at": NOW}
        connection.execute(insert(assertion_keys), row)
    store.close()
    status, _, said = entrada("check")
    assert status == 1
    assert "entrada.keys, whose key opens what is sealed in it, is not there" in said
    assert not database.with_suffix(".keys").exists()
    status, _, said = entrada("check", ENTRADA_SECRET_KEYS=KEY[::-1])
    assert status == 1
    assert "they open 0 of 1" in said
    assert "ENTRADA_SECRET_KEYS" in said
    assert entrada("check", ENTRADA_SECRET_KEYS=f"{KEY[::-1]},{KEY}")[0] == 0


def test_a_backup_holds_what_a_running_server_wrote_last(entrada: Entrada, database: Path) -> None:
    """Also what is in the -wal alone; one file, for its owner alone, sound."""
    server = opened(database)
    with_nora(database)
    database.with_suffix(".keys").write_text(KEY)
    status, shown, said = entrada("backup", "copy.db")
    assert (status, said) == (0, "")
    assert "entrada.keys" in shown
    copy = database.with_name("copy.db")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [each.name for each in database.parent.glob("copy.db*")] == ["copy.db"]
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("SELECT name FROM entrada_user").fetchall() == [("Nora North",)]
    server.close()


@pytest.mark.parametrize("there", ["copy.db", "entrada.db"])
def test_a_backup_goes_over_no_file(entrada: Entrada, database: Path, there: str) -> None:
    target = database.with_name(there)
    if there == "copy.db":
        target.write_text("somebody's")
    before = target.read_bytes()
    status, shown, said = entrada("backup", there)
    assert (status, shown) == (1, "")
    assert said.startswith(f"entrada: {there} is there already")
    assert target.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://nobody:hidden@127.0.0.1:1/x", "pg_dump"),
        ("memory:", "in the server's memory"),
        ("sqlite:///nowhere.db", "There is no database at nowhere.db"),
        ("sqlite+pysqlite:///nowhere.db", "There is no database at nowhere.db"),
    ],
)
def test_what_cannot_be_backed_up_says_so(entrada: Entrada, tmp_path: Path, url: str, words: str) -> None:
    """One sentence, the next step, no password, no file."""
    settings = {"ENTRADA_DATABASE_URL": url, "ENTRADA_SECRET_KEYS": KEY}
    status, shown, said = entrada("backup", "copy.db", **settings)
    assert (status, shown) == (1, "")
    assert words in said
    assert "hidden" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_backup_into_a_folder_that_is_not_there_is_one_sentence(entrada: Entrada, database: Path) -> None:
    status, _, said = entrada("backup", "nowhere/copy.db")
    assert status == 1
    assert "nowhere/copy.db cannot be written (No such file or directory)" in said


def test_a_postgresql_that_does_not_answer_is_found(entrada: Entrada) -> None:
    settings = {
        "ENTRADA_DATABASE_URL": "postgresql://nobody:hidden@127.0.0.1:1/x",
        "ENTRADA_SECRET_KEYS": KEY,
    }
    status, shown, said = entrada("check", "--json", **settings)
    assert (status, checks(shown)) == (1, {"reachable": False})
    assert "hidden" not in shown + said


def sessions_of(path: Path) -> int:
    stores = opened(path)
    try:
        return len(stores.sessions.list_sessions(user_id=user_id(1)))
    finally:
        stores.close()


def test_a_restore_brings_accounts_back_and_no_session(entrada: Entrada, database: Path) -> None:
    """What was there is kept beside; whoever had signed out stays so; a server ends nothing a second time."""
    with_nora(database)
    assert entrada("backup", "copy.db")[0] == 0
    stores = opened(database)
    stores.sessions.end_of_user(user_id(1))
    stores.accounts.delete(user_id(1))
    before = stores.sessions.revocations(None).position
    stores.close()
    status, shown, said = entrada("restore", "copy.db", "--yes", "--json")
    assert (status, said) == (0, "")
    told = json.loads(shown)
    assert told["sessions_ended"] == 1
    with closing(sqlite3.connect(database.with_name(told["kept"]))) as raw:
        assert raw.execute("SELECT count(*) FROM entrada_user").fetchone() == (0,)
    assert stat.S_IMODE(database.with_name(told["kept"]).stat().st_mode) == 0o600
    assert sessions_of(database) == 0
    stores = opened(database)
    assert stores.accounts.get(user_id(1)) is not None
    assert stores.sessions.revocations(None).went_back is False
    assert stores.sessions.revocations(before).position.sequence > before.sequence
    stores.close()
    assert sorted(each.name for each in database.parent.iterdir()) == sorted(
        ["entrada.db", "entrada-db.sequence", "copy.db", told["kept"]]
    )
    assert entrada("check")[0] == 0


def test_a_restore_without_yes_changes_nothing(entrada: Entrada, database: Path) -> None:
    with_nora(database)
    assert entrada("backup", "copy.db")[0] == 0
    before = database.read_bytes()
    status, shown, said = entrada("restore", "copy.db")
    assert (status, shown) == (1, "")
    assert "--yes" in said
    assert database.read_bytes() == before
    assert sorted(each.name for each in database.parent.glob("*.db*")) == ["copy.db", "entrada.db"]


def test_a_restore_while_a_server_holds_the_database_is_refused(entrada: Entrada, database: Path) -> None:
    """Its sessions live on, with --yes as well."""
    with_nora(database)
    assert entrada("backup", "copy.db")[0] == 0
    server = opened(database)
    position = server.sessions.revocations(None).position
    status, _, said = entrada("restore", "copy.db", "--yes")
    assert status == 1
    assert "has entrada.db open" in said
    assert server.sessions.revocations(position).went_back is False
    assert len(server.sessions.list_sessions(user_id=user_id(1))) == 1
    server.close()
    assert sorted(each.name for each in database.parent.glob("*.db")) == ["copy.db", "entrada.db"]


@pytest.mark.parametrize("kind", ["text", "empty", "another", "newer", "damaged", "missing", "folder"])
def test_what_is_no_backup_is_refused(entrada: Entrada, database: Path, kind: str) -> None:
    """One sentence each, and the database is as it was."""
    with_nora(database)
    copy = database.with_name("copy.db")
    if kind in ("newer", "damaged"):
        assert entrada("backup", "copy.db")[0] == 0
    if kind == "damaged":
        damage(copy)
    elif kind == "folder":
        copy.mkdir()
    elif kind in ("text", "empty"):
        copy.write_text("no database, only words. " * 100 if kind == "text" else "")
    elif kind != "missing":
        with closing(sqlite3.connect(copy)) as raw, raw:
            raw.executescript("CREATE TABLE other (id)" if kind == "another" else NEWER)
    before = database.read_bytes()
    status, shown, said = entrada("restore", "copy.db", "--yes")
    assert (status, shown) == (1, "")
    assert len(said.splitlines()) == 2
    assert database.read_bytes() == before
    assert [each.name for each in database.parent.glob("entrada*.db*")] == ["entrada.db"]


def test_a_restore_where_no_database_is_any_more(entrada: Entrada, database: Path) -> None:
    """As after a lost disk: made for its owner alone, and without a session."""
    with_nora(database)
    assert entrada("backup", "copy.db")[0] == 0
    database.unlink()
    status, shown, said = entrada("restore", "copy.db", "--yes", "--json")
    assert (status, said) == (0, "")
    assert json.loads(shown)["kept"] is None
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert sessions_of(database) == 0


def test_a_restore_that_is_cut_off_leaves_the_old_database(database: Path) -> None:
    """Killed while the pages are being replaced: whoever opens it next finds what was there."""
    with_nora(database)
    prepared_copy(database.with_name("copy.db"))
    journal = database.with_name("entrada.db-journal")

    def killed_on_the_way(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
        def kill(_status: int, _remaining: int, _total: int) -> None:
            if journal.exists() and journal.stat().st_size:
                os.kill(os.getpid(), signal.SIGKILL)

        source.backup(target, pages=1, progress=kill)

    child = os.fork()
    if child == 0:
        try:
            sqlite_restore.copy_pages = killed_on_the_way  # type: ignore[attr-defined]
            with sqlite_restore.checked_copy(database.with_name("copy.db"), beside=database) as draft:
                sqlite_restore.restore(draft, database, kept=database.with_name("kept.db"), cause=BY_ENTRADA)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert sessions_of(database) == 1


@pytest.mark.heavy
def test_a_postgresql_is_checked_and_upgraded(entrada: Entrada) -> None:
    """Before its tables are there, and after; SQLite's integrity is not asked of it."""
    with running_postgres("entrada") as where:
        settings = {
            "ENTRADA_DATABASE_URL": f"postgresql://postgres@{where}/entrada",
            "ENTRADA_SECRET_KEYS": KEY,
        }
        status, shown, _ = entrada("check", "--json", **settings)
        assert (status, checks(shown)) == (1, {"reachable": True, "schema": False})
        assert json.loads(entrada("upgrade", "--json", **settings)[1])["changed"] is True
        status, shown, said = entrada("check", "--json", **settings)
        assert (status, said) == (0, "")
        assert checks(shown) == {
            "reachable": True,
            "schema": True,
            "writable": True,
            "keys": True,
            "audit": True,
        }
