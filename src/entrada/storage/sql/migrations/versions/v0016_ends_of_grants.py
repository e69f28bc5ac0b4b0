"""When a role given by hand ends.

Such a grant has a source of its own, which versions before this step count for nothing: on their servers the
role is missing, rather than staying beyond its end.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("entrada_role_grant", sa.Column("ends_at", sa.BigInteger))
    op.create_index("ix_entrada_role_grant_ends_at", "entrada_role_grant", ["ends_at"])
