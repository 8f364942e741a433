"""The run number in the name of a file; an index of what is due"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

PENDING = sa.text("next_look IS NOT NULL")


def upgrade() -> None:
    op.add_column("files", sa.Column("run_number", sa.BigInteger()))
    op.create_index("ix_files_run_number", "files", ["run_number"])
    op.create_index("ix_files_pending", "files", ["mtime_ns"], sqlite_where=PENDING, postgresql_where=PENDING)


def downgrade() -> None:
    op.drop_index("ix_files_pending", "files")
    op.drop_index("ix_files_run_number", "files")
    op.drop_column("files", "run_number")
