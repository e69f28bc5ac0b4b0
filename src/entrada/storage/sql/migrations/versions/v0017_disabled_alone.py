"""The index of who is disabled holds those alone.

SQLite has no statistics here, and read everybody by the other one to sort those who are not disabled.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

INDEX, TABLE, DISABLED = "ix_entrada_user_disabled_at", "entrada_user", sa.text("disabled_at IS NOT NULL")


def upgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.create_index(INDEX, TABLE, ["disabled_at"], sqlite_where=DISABLED, postgresql_where=DISABLED)
