"""Sealed sign-ins, so that Entra can be asked again about whoever is signed in."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "entrada_kept_sign_in",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("sealed_sign_in", sa.Text),
        sa.Column("last_sign_in_at", sa.BigInteger, nullable=False),
        sa.Column("next_check_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_because", sa.Text),
        sa.PrimaryKeyConstraint("tenant_id", "object_id", name="pk_entrada_kept_sign_in"),
        sa.ForeignKeyConstraint(["user_id"], ["entrada_user.id"], name="fk_entrada_kept_sign_in_user_id"),
    )
    op.create_index("ix_entrada_kept_sign_in_user_id", "entrada_kept_sign_in", ["user_id"])
    op.create_index("ix_entrada_kept_sign_in_next_check_at", "entrada_kept_sign_in", ["next_check_at"])
