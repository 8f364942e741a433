"""Files that people ignore: who and why, and by which content the file is told to have changed since"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with op.batch_alter_table("files") as table:
        table.add_column(sa.Column("ignored", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("ignored_content", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("files") as table:
        for name in ("ignored", "ignored_content"):
            table.drop_column(name)
