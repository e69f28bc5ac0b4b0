"""Who has a role for what: a mapping that changes one line reads those whom it concerns alone."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_index("ix_entrada_role_grant_granted_by_role", "entrada_role_grant", ["granted_by", "role"])
