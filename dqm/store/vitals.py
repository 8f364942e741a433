"""How the database itself is: its engine, size, clock, and whether it takes anything."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.store.database import Store
from dqm.store.schema import revision_of


@dataclass(frozen=True)
class Vitals:
    """What can be measured of a database without writing to it."""

    engine: str
    size: int | None
    """Bytes, journals included."""
    states: int | None
    """Bytes of the states of plots, where they lie in it."""
    schema: str
    ahead_s: float
    """Its clock against ours."""


def measure(store: Store) -> Vitals:
    with store.read() as tx:
        schema = revision_of(tx) or ""
        if store.is_sqlite:
            version = tx.scalar(sa.text("SELECT sqlite_version()"))
            return Vitals(f"SQLite {version}", _file_size(store), None, schema, 0.0)
        version = tx.scalar(sa.text("SHOW server_version"))
        size = tx.scalar(sa.text("SELECT pg_database_size(current_database())"))
        states = tx.scalar(sa.text("SELECT pg_total_relation_size('states')"))
        name = store.engine.dialect.name.replace("postgresql", "PostgreSQL")
        return Vitals(f"{name} {version}", size, states, schema, _ahead(tx))


def file_of(store: Store) -> Path | None:
    """The file of an SQLite database."""
    name = store.engine.url.database if store.is_sqlite else None
    return Path(name) if name else None


def refusal(store: Store, tx: Connection) -> str:
    """Why the database takes nothing that is written, as far as can be told without writing; empty when it does."""
    if store.is_sqlite:
        file = file_of(store)
        if file is not None and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
            return f"the file {file.name} or its directory is read-only"
        return ""
    if tx.scalar(sa.text("SELECT pg_is_in_recovery()")):
        return "it is a standby, or is being restored"
    if tx.scalar(sa.text("SHOW default_transaction_read_only")) == "on":
        return "it is set to read-only"
    return ""


def _file_size(store: Store) -> int | None:
    file = file_of(store)
    if file is None:
        return None
    beside = [file.with_name(file.name + suffix) for suffix in ("", "-wal")]
    return sum(one.stat().st_size for one in beside if one.exists())


def _ahead(tx: Connection) -> float:
    before = time.time()
    theirs = float(tx.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())")) or before)
    after = time.time()
    return 0.0 if before <= theirs <= after else theirs - (before + after) / 2
