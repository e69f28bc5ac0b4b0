"""Bringing a database up to date: once, whole, and quickly when there is nothing to do."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from conformance.samples import ADA, NOW, identity, log_length, user_id
from entrada.errors import ConfigurationError, StoreUnavailable
from entrada.storage.sql import Database, SqlAccountStore, SqlSessionStore, connect, migrations
from entrada.storage.sql.migrations import HEAD, VERSION_TABLE, version_of
from entrada.storage.sql.tables import metadata
from storage.forked import DONE, die_before_statement, ending_of, fork
from storage.others import in_processes, migrate
from storage.prepared import prepared

Columns = dict[str, tuple[str, bool]]
"""By name: the type, and whether who writes a row may leave it out."""


def schema_of(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return rows


@pytest.mark.filterwarnings("ignore:.*expression-based index .?ix_entrada_user")
def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    """Alembic finds no difference between migrated tables and `tables.py`, and keys have their names."""
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        found = inspect(connection)
        for table in metadata.sorted_tables:
            assert found.get_pk_constraint(table.name)["name"] == table.primary_key.name
            assert [key["name"] for key in found.get_foreign_keys(table.name)] == [
                key.name for key in table.foreign_key_constraints
            ]


def test_head_is_the_last_migration() -> None:
    """The quick look compares with the step that Alembic would go to."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [HEAD]


def test_every_table_says_whose_it_is(database: Database) -> None:
    """In another application's database, no name of ours can meet one of theirs."""
    with database.reading() as connection:
        assert all(name.startswith("entrada_") for name in inspect(connection).get_table_names())


def test_another_applications_tables_stay(path: Path) -> None:
    """Its tables, rows and own Alembic version are not touched."""
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE alembic_version (version_num TEXT)")
        theirs.execute("INSERT INTO alembic_version VALUES ('theirs')")
    database = connect(f"sqlite:///{path}")
    database.migrate()
    database.close()
    assert theirs.execute("SELECT * FROM alembic_version").fetchall() == [("theirs",)]
    theirs.close()


def test_migrating_again_changes_nothing(path: Path, database: Database) -> None:
    """A database at head is left alone, with what is in it."""
    accounts = SqlAccountStore(database)
    user = accounts.create(user_id=user_id(1), identity=identity(), profile=ADA, entra_grants=[], now=NOW)
    before = schema_of(path)
    database.migrate()
    assert schema_of(path) == before
    assert accounts.get(user.id) == user


def test_at_head_alembic_is_not_loaded(url: str) -> None:
    """A start on a prepared database costs one read."""
    program = (
        "import sys; from entrada.storage.sql import connect\n"
        "database = connect(sys.argv[1]); database.migrate(); database.close()\n"
        "assert not [name for name in sys.modules if name.startswith('alembic')]"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, url], check=True, timeout=30)


def test_fault_21_processes_that_start_together_migrate_once(path: Path) -> None:
    """Two processes with four threads each on a database that is not there yet: none fails."""
    url = f"sqlite:///{path}"
    assert in_processes(2, migrate, url, 4) == {"NoneType": 8}
    with sqlite3.connect(path) as connection:
        assert connection.execute(f"SELECT * FROM {VERSION_TABLE}").fetchall() == [(HEAD,)]
        assert connection.execute("SELECT * FROM entrada_revocation").fetchall() == [(1, 1)]
    connection.close()


def test_fault_21_a_migration_cut_off_anywhere_starts_afresh(tmp_path: Path) -> None:
    """Killed before any of its statements, nothing of it is there, and the next one makes it whole.

    Every seventh is tried, up to the first that comes after the last.
    """
    prepared()  # so that Alembic is loaded before the forks
    killed = 0
    for number in count(0, 7):
        path = tmp_path / f"{number}.db"

        def cut_off(number: int = number, path: Path = path) -> None:
            die_before_statement(number)
            connect(f"sqlite:///{path}").migrate()

        ending = ending_of(fork(cut_off))
        assert ending in (DONE, -signal.SIGKILL)
        killed += ending != DONE
        assert ending == DONE or schema_of(path) == []
        database = connect(f"sqlite:///{path}")
        database.migrate()
        assert log_length(SqlSessionStore(database)) == 1
        database.close()
        if ending == DONE:
            break
    assert killed >= 5


def test_a_database_of_a_newer_version_that_does_not_fit_is_refused(database: Database) -> None:
    """A newer step that took away what this version reads stops the start, with the way out."""
    with database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        connection.exec_driver_sql("UPDATE entrada_schema_oldest SET version_num = '9998'")
    with pytest.raises(ConfigurationError, match="newer version") as refused:
        database.migrate()
    assert "Start the newer version" in refused.value.hint


def test_fault_18_a_database_of_a_newer_version_that_fits_is_used(database: Database) -> None:
    """While servers restart in turn, one of the old version starts on what the new one has prepared."""
    with database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    database.migrate()
    with database.reading() as connection:
        assert version_of(connection) == "9999"


def test_fault_18_no_step_takes_away_what_the_version_before_needs(tmp_path: Path) -> None:
    """Since there is the rule: what was there is there after each step, and a writer who does not know a new
    column may leave it out; else the step names the oldest version that works with it."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    steps = sorted(scripts.walk_revisions(), key=lambda step: step.revision)
    before: dict[str, Columns] = {}
    for step in steps:
        after = columns_at(tmp_path / f"{step.revision}.db", step.revision)
        expands = all(expanded(columns, after.get(table, {})) for table, columns in before.items())
        assert step.revision <= "0014" or expands or hasattr(step.module, "oldest"), step.revision
        assert getattr(step.module, "oldest", "") <= step.revision
        before = after


def expanded(before: Columns, after: Columns) -> bool:
    """Whether nothing went, and everything new may be left out."""
    new = [may for name, (_, may) in after.items() if name not in before]
    return before.items() <= after.items() and all(new)


def may_be_left_out(column: Any) -> bool:
    return bool(column["nullable"] or column["default"])


def columns_at(path: Path, revision: str) -> dict[str, Columns]:
    """Every table's columns, in a database that stands at this step."""
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        found = inspect(connection)
        columns = {
            table: {
                each["name"]: (str(each["type"]), may_be_left_out(each)) for each in found.get_columns(table)
            }
            for table in found.get_table_names()
        }
    engine.dispose()
    return columns


def test_a_database_without_tables_says_so(path: Path) -> None:
    """Used before it was prepared: a sentence that names the cause, no driver's text."""
    database = connect(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable, match="its tables are missing") as failure:
        SqlAccountStore(database).get(user_id(1))
    assert "Restart Entrada" in failure.value.hint
    with pytest.raises(StoreUnavailable, match="its tables are missing"):
        log_length(SqlSessionStore(database))
    database.migrate()
    assert log_length(SqlSessionStore(database)) == 1
    database.close()
