"""That something changed, in the order of the commits: nobody who reads them by number misses one."""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Notice
from dqm.store.database import NOTICE_LOCK
from dqm.store.tables import notices

KEEP = 100_000


def post(tx: Connection, topic: str, key: str, version: int = 0) -> None:
    """A notice, numbered under a lock: SQLite's write transaction is one, PostgreSQL's is taken here."""
    post_all(tx, [(topic, key, version)])


def post_all(tx: Connection, some: Sequence[tuple[str, str, int]]) -> None:
    """Notices (topic, key, version) in this order."""
    if not some:
        return
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(NOTICE_LOCK)))
    now = time.time()
    rows = [{"time": now, "topic": topic, "key": key, "version": version} for topic, key, version in some]
    tx.execute(notices.insert(), rows)


def after(tx: Connection, seq: int, limit: int = 1000) -> list[Notice]:
    """Notices numbered above `seq`, in order."""
    found = tx.execute(sa.select(notices).where(notices.c.seq > seq).order_by(notices.c.seq).limit(limit))
    return [Notice(row.seq, row.time, row.topic, row.key, row.version) for row in found]


_LAST = sa.select(sa.func.max(notices.c.seq))
"""Made once: every page asks this, and making a statement takes longer than its answer."""


def last(tx: Connection) -> int:
    """Number of the newest notice, 0 when there is none."""
    return tx.scalar(_LAST) or 0


def oldest(tx: Connection) -> int:
    """Number of the oldest notice that is kept, 0 when there is none."""
    return tx.scalar(sa.select(sa.func.min(notices.c.seq))) or 0


def prune(tx: Connection, keep: int = KEEP) -> int:
    """Forgets all but the newest `keep`; gives how many."""
    return tx.execute(notices.delete().where(notices.c.seq <= last(tx) - keep)).rowcount


def newest_of_each(found: Sequence[Notice]) -> list[Notice]:
    """The newest of each topic and key, in order: what a page that was away needs."""
    newest = {(notice.topic, notice.key): notice for notice in found}
    return sorted(newest.values(), key=lambda notice: notice.seq)
