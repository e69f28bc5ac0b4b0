"""The first tables: accounts and sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "entrada_user",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("username", sa.Text),
        sa.Column("is_guest", sa.Boolean, nullable=False),
        sa.Column("email_is_verified", sa.Boolean, nullable=False),
        sa.Column("verified_email_key", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_user"),
    )
    op.create_index("ix_entrada_user_verified_email_key", "entrada_user", ["verified_email_key"])

    op.create_table(
        "entrada_identity",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("linked_at", sa.BigInteger, nullable=False),
        sa.Column("last_sign_in_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("tenant_id", "object_id", name="pk_entrada_identity"),
        sa.ForeignKeyConstraint(["user_id"], ["entrada_user.id"], name="fk_entrada_identity_user_id"),
    )
    op.create_index("ix_entrada_identity_user_id", "entrada_identity", ["user_id"])

    op.create_table(
        "entrada_role_grant",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("granted_by", sa.Text, nullable=False),
        sa.Column("granted_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role", "source", name="pk_entrada_role_grant"),
        sa.ForeignKeyConstraint(["user_id"], ["entrada_user.id"], name="fk_entrada_role_grant_user_id"),
    )

    op.create_table(
        "entrada_session",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("idle_expires_at", sa.BigInteger, nullable=False),
        sa.Column("absolute_expires_at", sa.BigInteger, nullable=False),
        sa.Column("entra_session_id", sa.Text),
        sa.Column("logout_hint", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_session"),
    )
    for column in ("user_id", "idle_expires_at", "absolute_expires_at", "entra_session_id"):
        op.create_index(f"ix_entrada_session_{column}", "entrada_session", [column])

    op.create_table(
        "entrada_spent_sign_in",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_spent_sign_in"),
    )
    op.create_index("ix_entrada_spent_sign_in_expires_at", "entrada_spent_sign_in", ["expires_at"])

    revocation = op.create_table(
        "entrada_revocation",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_revocation"),
    )
    op.bulk_insert(revocation, [{"id": 1, "epoch": 1}])
