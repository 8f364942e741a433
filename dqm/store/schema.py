"""The tables as migrations make them: of which revision they are, and how they come to that of this version."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from dqm.store.database import POSTGRES_SCHEMA, Store
from dqm.store.problems import OldSchema

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x4C41_5242_0002
"""Any 64-bit number that is not the lock of the notices."""


def upgrade(store: Store) -> str:
    """Brings the tables to this version, under a lock; gives the revision that they have then."""
    if not store.is_sqlite:
        with store.begin() as connection:
            connection.execute(sa.schema.CreateSchema(POSTGRES_SCHEMA, if_not_exists=True))
    with store.begin() as connection:
        if not store.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return newest_revision()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def newest_revision() -> str:
    """The migration that the tables of this version have."""
    return ScriptDirectory.from_config(_alembic()).get_current_head() or ""


def has_tables(store: Store) -> bool:
    with store.read() as connection:
        return sa.inspect(connection).has_table("alembic_version")


def revision_of(connection: Connection) -> str | None:
    """The migration that the tables of a database have."""
    return MigrationContext.configure(connection).get_current_revision()


def check(store: Store) -> None:
    """Raises StoreProblem when the tables are not of this version; OldSchema when they can be upgraded."""
    with store.read() as connection:
        current = revision_of(connection)
    if current == newest_revision():
        return
    where = store.engine.url.render_as_string(hide_password=True)
    known = {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    if current in known or current is None:
        have = f"the tables of revision {current}" if current else "no tables of Larboard"
        raise OldSchema(
            f"the database {where} has {have}, this Larboard needs {newest_revision()}; run: larboard db upgrade"
        )
    raise OldSchema(f"the database {where} was made by a newer Larboard (revision {current}); install that one")
