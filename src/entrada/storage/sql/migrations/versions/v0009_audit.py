"""What happened, who did it and why."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "entrada_audit_entry",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("actor_kind", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("commitment", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text),
        sa.Column("object_id", sa.Text),
        sa.Column("personal", sa.Text),
        sa.Column("salt", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_entrada_audit_entry"),
    )
    op.create_index("ix_entrada_audit_entry_at", "entrada_audit_entry", ["at"])
    for column in ("action", "actor_id", "user_id", "object_id"):
        op.create_index(f"ix_entrada_audit_entry_{column}_number", "entrada_audit_entry", [column, "number"])
    head = op.create_table(
        "entrada_audit_head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("cut_number", sa.BigInteger, nullable=False),
        sa.Column("cut_hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_entrada_audit_head"),
    )
    assert head is not None
    start = {"number": 0, "hash": "0" * 64, "cut_number": 0, "cut_hash": "0" * 64}
    op.bulk_insert(head, [{"id": 1, **start}])
