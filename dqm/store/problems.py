"""What can be wrong with a store, each as one sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

BUSY_S = 10


class StoreProblem(RuntimeError):
    """The database, or the states that belong to it, cannot be used now; the message says why and what to do."""


class OldSchema(StoreProblem):
    """The tables are those of another version of Larboard."""


@contextmanager
def explained() -> Iterator[None]:
    """What a database says, as one sentence."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        text = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        if isinstance(error.orig, sqlite3.OperationalError) and "full" in text:
            text = "its disk is full; make room, nothing that was counted is lost"
        elif isinstance(error.orig, sqlite3.OperationalError) and "locked" in text:
            text = f"another program has held it for more than {BUSY_S} s"
        elif isinstance(error.orig, sqlite3.OperationalError) and "unable to open" in text:
            text = "its file cannot be opened; is the directory there, and may Larboard write in it?"
        elif isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in text:
            text = "the file is no SQLite database; move it away or name another one (setting store.url)"
        elif isinstance(error, sa.exc.IntegrityError):
            raise
        raise StoreProblem(f"the database cannot be used: {text}") from error
