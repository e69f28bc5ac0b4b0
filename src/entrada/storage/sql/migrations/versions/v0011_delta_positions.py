"""How far the changes of a tenant's directory were read."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "entrada_delta_position",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("held_by", sa.Text, nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("links", sa.Text),
        sa.Column("looked_at", sa.BigInteger),
        sa.Column("asked_at", sa.BigInteger),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_entrada_delta_position"),
    )
