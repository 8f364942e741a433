"""What the last seconds of a run added, for its window"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "slices",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True,
        ),
        sa.Column("file_id", sa.Integer(), sa.ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("plots", sa.JSON(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
    )  # fmt: skip
    op.create_index("ix_slices_file_id", "slices", ["file_id"])


def downgrade() -> None:
    op.drop_table("slices")
