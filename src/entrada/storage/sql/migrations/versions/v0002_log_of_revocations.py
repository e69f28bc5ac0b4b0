"""The log of what ended."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "entrada_revoked",
        sa.Column("sequence", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("nonce", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_entrada_revoked"),
    )
