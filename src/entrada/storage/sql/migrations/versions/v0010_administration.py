"""What people tell sessions apart by, and the orders in which administrators look for people.

Of sessions from before nothing of it is known.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NAMES = "lower(name || '\n' || coalesce(username, '') || '\n' || coalesce(email, ''))"
"""All that people call a user by. See `entrada.storage.sql.people`."""


def upgrade() -> None:
    op.add_column("entrada_session", sa.Column("user_agent", sa.Text))
    op.add_column("entrada_session", sa.Column("address", sa.Text))
    op.add_column("entrada_session", sa.Column("authenticated_at", sa.BigInteger))
    op.create_index("ix_entrada_user_disabled_at", "entrada_user", ["disabled_at"])
    op.create_index("ix_entrada_role_grant_role_user_id", "entrada_role_grant", ["role", "user_id"])
    op.create_index("ix_entrada_user_in_order", "entrada_user", [sa.text("lower(name)"), "id"])
    if op.get_bind().dialect.name == "sqlite":
        # A search of everybody reads this alone. PostgreSQL takes no entries that long, and needs none.
        op.execute(f"CREATE INDEX ix_entrada_user_names ON entrada_user (lower(name), id, {NAMES})")
