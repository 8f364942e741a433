"""Plug-ins whose file was changed and whose version was not: since when, and which version it is"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    with op.batch_alter_table("plugins") as table:
        table.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("edited", sa.Double()))


def downgrade() -> None:
    with op.batch_alter_table("plugins") as table:
        for name in ("version", "edited"):
            table.drop_column(name)
