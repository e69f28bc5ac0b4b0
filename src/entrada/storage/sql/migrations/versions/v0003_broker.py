"""The broker's tables."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "entrada_broker_installation",
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("client_id", name="pk_entrada_broker_installation"),
    )

    op.create_table(
        "entrada_broker_key",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("retired_at", sa.BigInteger),
        sa.Column("signs", sa.Integer),
        sa.PrimaryKeyConstraint("kid", name="pk_entrada_broker_key"),
        sa.UniqueConstraint("signs", name="uq_entrada_broker_key_signs"),
    )

    op.create_table(
        "entrada_broker_grant",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("entra_session_id", sa.Text),
        sa.Column("logout_hint", sa.Text),
        sa.Column("sealed_sign_in", sa.Text),
        sa.Column("refresh_hash", sa.LargeBinary),
        sa.Column("previous_refresh_hash", sa.LargeBinary),
        sa.Column("refreshed_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_broker_grant"),
    )
    for column in ("client_id", "expires_at", "entra_session_id"):
        op.create_index(f"ix_entrada_broker_grant_{column}", "entrada_broker_grant", [column])
    op.create_index(
        "ix_entrada_broker_grant_tenant_id_object_id", "entrada_broker_grant", ["tenant_id", "object_id"]
    )

    op.create_table(
        "entrada_broker_code",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("code_challenge", sa.Text, nullable=False),
        sa.Column("nonce", sa.Text),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("spent_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("hash", name="pk_entrada_broker_code"),
    )
    for column in ("grant_id", "expires_at"):
        op.create_index(f"ix_entrada_broker_code_{column}", "entrada_broker_code", [column])

    op.create_table(
        "entrada_broker_delivery",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_broker_delivery"),
    )
    op.create_index("ix_entrada_broker_delivery_due_at", "entrada_broker_delivery", ["due_at"])

    op.create_table(
        "entrada_broker_spent",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_broker_spent"),
    )
    op.create_index("ix_entrada_broker_spent_expires_at", "entrada_broker_spent", ["expires_at"])
