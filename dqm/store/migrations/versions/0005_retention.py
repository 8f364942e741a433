"""What retention rules need, and indexes for a year of files"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.add_column(sa.Column("condensed", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.create_index("ix_files_done", ["done"])
        batch_op.create_index(
            "ix_files_current_state", ["state"], sqlite_where=sa.text("current"), postgresql_where=sa.text("current")
        )
    op.create_index(
        "ix_parts_base",
        "parts",
        ["base"],
        sqlite_where=sa.text("base IS NOT NULL"),
        postgresql_where=sa.text("base IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_parts_base", "parts")
    with op.batch_alter_table("files", schema=None) as batch_op:
        for name in ("ix_files_current_state", "ix_files_done"):
            batch_op.drop_index(name)
        batch_op.drop_column("condensed")
