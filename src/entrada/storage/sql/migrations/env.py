"""Run by Alembic: the steps, on the connection that `entrada.storage.sql.migrations.upgrade` hands over."""

from typing import Any

from alembic import context

from entrada.storage.sql.migrations import VERSION_TABLE
from entrada.storage.sql.tables import metadata

applied = context.config.attributes.get("applied")


def on_version_apply(*, step: Any, **_: Any) -> None:
    """Called by Alembic after each step."""
    if applied is not None:
        applied(step.up_revision_id)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    on_version_apply=on_version_apply,  # type: ignore[arg-type]  # called by names alone
)
with context.begin_transaction():
    context.run_migrations()
