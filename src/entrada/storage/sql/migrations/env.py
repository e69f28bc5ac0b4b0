"""Run by Alembic: the steps, on the connection that `entrada.storage.sql.migrations.upgrade` hands over."""

from alembic import context

from entrada.storage.sql.migrations import VERSION_TABLE
from entrada.storage.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
