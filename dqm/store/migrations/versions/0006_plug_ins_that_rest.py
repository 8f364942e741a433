"""Plug-ins that went over a limit rest: how often in a row, until when, and on which files it was"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("plugins") as table:
        table.add_column(sa.Column("digest", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("stops", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("until", sa.Double(), nullable=True))
        table.add_column(sa.Column("stopped_on", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("plugins") as table:
        for name in ("digest", "stops", "until", "stopped_on"):
            table.drop_column(name)
