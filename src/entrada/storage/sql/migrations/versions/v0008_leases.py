"""Leases: which of several servers does a job that one of them is to do."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "entrada_lease",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("life_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_entrada_lease"),
    )
