"""Masks: when somebody last looked at a run without their channels"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    with op.batch_alter_table("masks") as table:
        table.add_column(sa.Column("used", sa.Double(), nullable=False, server_default="0"))
        table.create_index("ix_masks_used", ["used"])
    op.execute(sa.text("UPDATE masks SET used = :now").bindparams(now=time.time()))


def downgrade() -> None:
    with op.batch_alter_table("masks") as table:
        table.drop_index("ix_masks_used")
        table.drop_column("used")
