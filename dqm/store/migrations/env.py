"""Run by alembic: the connection is handed over by dqm.store.schema.upgrade."""

from __future__ import annotations

from alembic import context

from dqm.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
context.run_migrations()
