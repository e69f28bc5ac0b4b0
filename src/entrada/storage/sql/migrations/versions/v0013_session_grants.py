"""What a session may use to call other APIs in its person's name, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "entrada_session_grant",
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("held_until", sa.BigInteger),
        sa.PrimaryKeyConstraint("session_id", name="pk_entrada_session_grant"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["entrada_session.id"],
            name="fk_entrada_session_grant_session_id",
            ondelete="CASCADE",
        ),
    )
