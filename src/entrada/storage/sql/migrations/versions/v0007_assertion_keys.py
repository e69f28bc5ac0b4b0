"""The keys that sign assertions, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "entrada_assertion_key",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("follows", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kid", name="pk_entrada_assertion_key"),
        sa.UniqueConstraint("follows", name="uq_entrada_assertion_key_follows"),
    )
