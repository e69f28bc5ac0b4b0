"""`entrada db`, as an operator uses it: the real command on a real database."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.samples import NOW, identity, session, user_id
from entrada.accounts.identity import Profile
from entrada.build import Stores, open_stores
from entrada.clock import SystemClock
from entrada.settings import Settings, aliases_of, native_name
from entrada.storage.sql import connect
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


def checks(told: str) -> dict[str, bool]:
    return {each["check"]: each["ok"] for each in json.loads(told)["checks"]}


def test_a_sound_database_is_said_to_be_so(entrada: Entrada, database: Path) -> None:
    """Every check, status 0; no key file appears by looking."""
    status, shown, said = entrada("check")
    assert (status, said) == (0, "")
    assert [line.split()[:2] for line in shown.splitlines()] == [
        ["ok", f"{each}:"] for each in ("reachable", "schema", "integrity", "writable", "keys")
    ]
    status, shown, _ = entrada("check", "--json")
    assert (status, json.loads(shown)["ok"], len(checks(shown))) == (0, True, 5)
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


def test_a_newer_database_is_refused(entrada: Entrada, database: Path) -> None:
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.execute("UPDATE entrada_schema_version SET version_num = '9999'")
    status, shown, said = entrada("check", "--json")
    assert (status, checks(shown)["schema"]) == (1, False)
    assert "newer version" in said
    assert entrada("upgrade")[0] == 1


def test_a_damaged_database_is_found(entrada: Entrada, database: Path) -> None:
    """A page that says nothing any more: `check` names it, and `backup` leaves no copy of it."""
    with_nora(database)
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entrada_session'").fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    status, shown, _ = entrada("check", "--json")
    assert (status, checks(shown)["integrity"]) == (1, False)
    assert entrada("backup", "copy.db")[0] == 1
    assert not list(database.parent.glob("copy.db*"))


def test_a_database_that_may_not_be_written_is_found(entrada: Entrada, database: Path) -> None:
    """Another writer holds it: that is said, and not a word of the others is lost."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, shown, _ = entrada("check", "--json")
        other.execute("ROLLBACK")
    assert status == 1
    assert checks(shown) == {
        "reachable": True,
        "schema": True,
        "integrity": True,
        "writable": False,
        "keys": True,
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
