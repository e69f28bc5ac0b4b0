"""Finding somebody by a whole e-mail address, username or object id, however many there are."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index("ix_entrada_user_by_email", "entrada_user", [sa.text("lower(email)")])
    op.create_index("ix_entrada_user_by_username", "entrada_user", [sa.text("lower(username)")])
    op.create_index("ix_entrada_identity_object_id", "entrada_identity", ["object_id"])
