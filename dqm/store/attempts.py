"""Sign-ins that failed: how often in a row, and when last."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.store.rows import upsert
from dqm.store.tables import attempts


def of(tx: Connection, keys: Iterable[str]) -> dict[str, tuple[int, float]]:
    """(failures, time of the last) by key, of those keys that have any."""
    rows = tx.execute(sa.select(attempts).where(attempts.c.key.in_(list(keys))))
    return {row.key: (row.failures, row.last) for row in rows}


def note(tx: Connection, key: str, failures: int, now: float) -> None:
    upsert(tx, attempts, {"key": key, "failures": failures, "last": now})


def take_back(tx: Connection, key: str) -> None:
    """One failure less."""
    tx.execute(
        attempts.update()
        .where((attempts.c.key == key) & (attempts.c.failures > 0))
        .values(failures=attempts.c.failures - 1)
    )


def forget(tx: Connection, keys: Iterable[str]) -> None:
    tx.execute(attempts.delete().where(attempts.c.key.in_(list(keys))))


def prune(tx: Connection, before: float) -> None:
    tx.execute(attempts.delete().where(attempts.c.last < before))
