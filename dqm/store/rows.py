"""Rows to records: the one place that knows how a column becomes a field."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection


def insert(connection: Connection, table: sa.Table) -> Any:
    """An INSERT of the dialect in use, with ``on_conflict_do_update``."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        return insert_postgresql(table)
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(table)


def upsert(connection: Connection, table: sa.Table, values: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Inserts, or replaces the rows of the same primary key."""
    if not values:
        return
    keys = [column.name for column in table.primary_key]
    statement = insert(connection, table)
    names = values[0] if isinstance(values, list) else values
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), values)


def holds(connection: Connection, column: Any, word: str) -> Any:
    """Whether a text holds a word, in capitals or not."""
    if connection.dialect.name == "sqlite":  # its LIKE does not mind capitals, and to lower every text takes long
        return column.contains(word, autoescape=True)
    return column.icontains(word, autoescape=True)
