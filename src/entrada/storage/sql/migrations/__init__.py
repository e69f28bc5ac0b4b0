"""How the tables came to be as they are, step by step, and bringing a database to the last step.

Alembic is loaded only where there is something to do. All steps run in the caller's one transaction, so a
migration that is cut off leaves nothing behind and starts afresh (both databases roll back CREATE and ALTER).

A new step: a file in `versions` whose `down_revision` is the last one, and HEAD moved to it. A step may add;
it takes away only what the version before it no longer reads, because two versions run side by side while
servers restart in turn.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from entrada.errors import ConfigurationError

HEAD = "0012"
VERSION_TABLE = "entrada_schema_version"

version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
ONE_AT_A_TIME = Lock()
"""Alembic keeps the migration that runs in module globals."""


def is_at_head(connection: Connection) -> bool:
    """Whether nothing is left to do."""
    return version_of(connection) == HEAD


def version_of(connection: Connection) -> str | None:
    """The step a database is at; None for a fresh one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(version.c.version_num)).scalar()


def upgrade(connection: Connection) -> None:
    """Run the steps that are missing, in the transaction the connection is in.

    Raises:
        ConfigurationError: the database is at a step that this version of Entrada does not know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    with ONE_AT_A_TIME:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.attributes["connection"] = connection
        known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
        if version_of(connection) not in known | {None}:
            raise ConfigurationError(
                "$[database_url] names a database that a newer version of Entrada has prepared.",
                hint="Start the newer version, or restore the backup that was made before the upgrade.",
                setting="database_url",
            )
        command.upgrade(config, "head")
