"""Where geometries were found."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.store.rows import upsert
from dqm.store.tables import geometries


def note(tx: Connection, geometry_id: str, name: str, directory: str) -> None:
    upsert(tx, geometries, {"id": geometry_id, "name": name, "directory": directory})


def get(tx: Connection, geometry_id: str) -> tuple[str, str] | None:
    """(name, directory) of a geometry; the directory is empty for a built-in one."""
    row = tx.execute(sa.select(geometries).where(geometries.c.id == geometry_id)).first()
    return (row.name, row.directory) if row else None
