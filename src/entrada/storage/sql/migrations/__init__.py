"""How the tables came to be as they are, step by step, and bringing a database to the last step.

Alembic is loaded only where there is something to do. All steps run in the caller's one transaction, so a
migration that is cut off leaves nothing behind and starts afresh (both databases roll back CREATE and ALTER).

A new step: a file in `versions` whose `down_revision` is the last one, and HEAD moved to it.

Two versions run side by side while servers restart in turn, and the newer one has brought the database up to
date by then. So a step expands: it adds tables, and columns that a writer who does not know them may leave
out. Taking away is another step, in a later version, when no version that reads it is run any more. Such a
step names `oldest`: the step of the oldest version that still works with what it leaves. The database keeps
the newest of these, and an older version starts on a newer database if it is not older than that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, inspect, select

from entrada.errors import ConfigurationError
from entrada.storage.sql.tables import oldest_version

HEAD = "0018"
LOCATION = Path(__file__).parent
VERSION_TABLE = "entrada_schema_version"

version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
ONE_AT_A_TIME = Lock()
"""Alembic keeps the migration that runs in module globals."""


def is_usable(connection: Connection) -> bool:
    """Whether nothing is left to do: it is at this version's last step, or at a newer one that fits."""
    version_there = version_of(connection)
    return version_there == HEAD or is_newer_and_fits(connection, version_there)


def is_newer_and_fits(connection: Connection, version_there: str | None) -> bool:
    """Whether a newer version has prepared it, and says that this one may use it."""
    if version_there is None or version_there <= HEAD:
        return False
    oldest = connection.execute(select(oldest_version.c.version_num)).scalar()
    return oldest is not None and oldest <= HEAD


def version_of(connection: Connection) -> str | None:
    """The step a database is at; None for a fresh one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(version.c.version_num)).scalar()


def upgrade(connection: Connection, *, applied: Callable[[str], None] | None = None) -> None:
    """Run the steps that are missing, in the transaction the connection is in; `applied` hears of each.

    Raises:
        ConfigurationError: the database is at a step of a newer version, which this one does not work with.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    with ONE_AT_A_TIME:
        config = Config()
        config.set_main_option("script_location", str(LOCATION))
        config.attributes["connection"] = connection
        config.attributes["applied"] = applied
        steps = list(ScriptDirectory.from_config(config).walk_revisions())
        if is_usable(connection):
            return  # another process was faster
        if version_of(connection) not in {step.revision for step in steps} | {None}:
            raise ConfigurationError(
                "$[database_url] names a database that a newer version of Entrada has prepared, and this one "
                "does not work with it.",
                hint="Start the newer version, or restore the backup that was made before the upgrade.",
                setting="database_url",
            )
        command.upgrade(config, "head")
        oldest = max(getattr(step.module, "oldest", "") for step in steps)
        connection.execute(delete(oldest_version))
        connection.execute(insert(oldest_version).values(version_num=oldest))
