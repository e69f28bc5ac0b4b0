"""The oldest version that works with these tables, for the time in which servers restart in turn."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
oldest = "0014"


def upgrade() -> None:
    op.create_table(
        "entrada_schema_oldest",
        sa.Column("version_num", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version_num", name="pk_entrada_schema_oldest"),
    )
