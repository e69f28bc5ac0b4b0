"""What is known of the groups of an identity; of sign-ins from before, nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("entrada_identity", sa.Column("membership", sa.Text))
