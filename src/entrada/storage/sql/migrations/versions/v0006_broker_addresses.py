"""Grants say where their installation is told of the end, and when Entra is asked again about them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("entrada_broker_grant", sa.Column("logout_address", sa.Text))
    op.add_column("entrada_broker_grant", sa.Column("next_check_at", sa.BigInteger))
    op.create_index("ix_entrada_broker_grant_next_check_at", "entrada_broker_grant", ["next_check_at"])
    op.add_column("entrada_broker_delivery", sa.Column("address", sa.Text))
    op.create_index("ix_entrada_broker_delivery_client_id", "entrada_broker_delivery", ["client_id"])
