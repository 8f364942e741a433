"""The states of 30,000 files at a glance: the index as SQLite asks for it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    _again("current = 1")


def downgrade() -> None:
    _again("current")


def _again(where: str) -> None:
    """SQLite takes a partial index only for a condition that is written like its own."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_files_current_state", "files")
        op.create_index("ix_files_current_state", "files", ["state"], sqlite_where=sa.text(where))
