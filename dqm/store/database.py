"""Opening a database: transactions, schema, and what can be wrong with it, each as one sentence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from dqm.store.problems import BUSY_S, StoreProblem, explained
from dqm.store.states import FileStates, RowStates, States

NOTICE_LOCK = 0x4C41_5242_0001
"""Any 64-bit number; both sides of it are Larboard's."""
POSTGRES_SCHEMA = "larboard"
SQLITE_POOL = 24
"""Connections that stay open; more are opened and closed again."""


class Store:
    """A database and the states of elements that belong to it. Make one with `open_store`."""

    def __init__(self, engine: Engine, states: States):
        self.engine = engine
        self.states = states
        self._writing = engine.execution_options(larboard_write=True)
        self._at_once = engine.execution_options(larboard_write=True, larboard_at_once=True)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self, *, wait: bool = True) -> Iterator[Connection]:
        """A transaction that writes: all of it or nothing. It waits its turn first; without `wait` it is a StoreProblem
        that another one writes.
        """
        with explained(), (self._writing if wait else self._at_once).begin() as connection:
            if not self.is_sqlite:  # one order for all writers: this lock, then rows
                if wait:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(NOTICE_LOCK)))
                elif not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(NOTICE_LOCK))):
                    raise StoreProblem("the database is being written to")
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads: one moment of the database."""
        with explained(), self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_store(url: str, states_directory: Path, *, migrate: bool = False) -> Store:
    """The store at `url` (any SQLAlchemy URL). Raises StoreProblem; OldSchema when it must be upgraded first.

    A new SQLite file gets its tables by itself; any other database only with `migrate`.
    """
    from dqm.store.schema import check, has_tables, upgrade  # alembic takes its time, and not every command has a store

    engine = _engine(url)
    store = Store(engine, FileStates(states_directory) if engine.dialect.name == "sqlite" else RowStates(engine))
    try:
        if migrate or (store.is_sqlite and not has_tables(store)):
            upgrade(store)
        else:
            check(store)
    except BaseException:
        store.close()
        raise
    return store


@contextmanager
def open_to_read(database: Path) -> Iterator[Connection]:
    """An SQLite file as it is, of whatever revision; nothing is written, not even beside it."""
    engine = sa.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
    )
    try:
        with explained(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if _is_file(parsed) and parsed.database:
                make_private(Path(parsed.database))
            # a file that is open once more costs little; making and closing connections for each request does not
            pool = {"pool_size": SQLITE_POOL} if _is_file(parsed) else {}
            options: dict[str, Any] = {"timeout": BUSY_S, "check_same_thread": False}
            engine = sa.create_engine(parsed, connect_args=options, **pool)
            sa.event.listen(engine, "connect", _set_up_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
            return engine
        path = {"options": f"-csearch_path={POSTGRES_SCHEMA},public"} if "postgresql" in parsed.drivername else {}
        return sa.create_engine(parsed, pool_pre_ping=True, connect_args=path)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise StoreProblem(f"setting store.url: {error}") from None
    except OSError as error:
        raise StoreProblem(f"the database {url} cannot be made: {error.strerror or error}") from None


def _is_file(url: sa.engine.URL) -> bool:
    return bool(url.database) and url.database != ":memory:" and not str(url.database).startswith("file:")


def make_private(database: Path) -> None:
    """An empty file for a database that is not there, and its directory: for nobody else, as hashes of passwords are in it.

    SQLite gives its log files the same mode.
    """
    if not database.parent.exists():
        database.parent.parent.mkdir(parents=True, exist_ok=True)
        database.parent.mkdir(mode=0o700, exist_ok=True)
    if not database.exists():
        os.close(os.open(database, os.O_CREAT | os.O_WRONLY, 0o600))


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=2000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("larboard_at_once"):
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("larboard_write") else "BEGIN")
    finally:
        if options.get("larboard_at_once"):  # the connection is used again by others
            connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_S * 1000}")
