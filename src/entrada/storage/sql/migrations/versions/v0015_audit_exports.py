"""How far the audit trail was written out."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "entrada_audit_export",
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_entrada_audit_export"),
    )
