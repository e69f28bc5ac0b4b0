"""`entrada` of a version that is not written yet: its database has one step more, which expands.

Run as a program with the arguments of `entrada`. The step adds a table, and a column to the sessions.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

STEP = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = {before!r}


def upgrade() -> None:
    op.create_table("entrada_of_tomorrow", sa.Column("id", sa.Text, primary_key=True))
    op.add_column("entrada_session", sa.Column("of_tomorrow", sa.Text))
"""


def of_tomorrow(arguments: list[str]) -> int:
    """Runs a command of that version; its exit status."""
    from entrada.cli import main
    from entrada.storage.sql import migrations

    with tempfile.TemporaryDirectory() as name:
        copy = Path(shutil.copytree(migrations.LOCATION, Path(name) / "migrations"))
        (copy / "versions/v9001_tomorrow.py").write_text(STEP.format(before=migrations.HEAD))
        migrations.LOCATION, migrations.HEAD = copy, "9001"
        return main(arguments)


if __name__ == "__main__":
    sys.exit(of_tomorrow(sys.argv[1:]))
