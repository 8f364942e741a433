"""Ingest processes: who lives, what they do, and which of them leads."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Watcher
from dqm.store import notices
from dqm.store.rows import upsert
from dqm.store.tables import leases, watchers

LEADER, BACKUP = "ingest", "backup"
SET_BACK_S = 60.0


def beat(tx: Connection, watcher: Watcher) -> None:
    """A sign of life; a notice only when there is news."""
    before = tx.execute(sa.select(watchers).where(watchers.c.name == watcher.name)).first()
    values = {
        "name": watcher.name,
        "host": watcher.host,
        "pid": watcher.pid,
        "started": watcher.started,
        "beat": watcher.beat,
        "state": watcher.state,
        "queue": watcher.queue,
        "backlog_s": watcher.backlog_s,
        "problems": list(watcher.problems),
    }
    upsert(tx, watchers, values)
    news = before is None or (before.state, before.queue, before.problems) != (
        watcher.state,
        watcher.queue,
        list(watcher.problems),
    )
    if news:
        notices.post(tx, "ingest", watcher.name)


def alive(tx: Connection, since: float) -> list[Watcher]:
    """Those that gave a sign of life after `since`, the leader first."""
    leader = tx.scalar(sa.select(leases.c.holder).where(leases.c.name == LEADER))
    rows = tx.execute(sa.select(watchers).where(watchers.c.beat >= since).order_by(watchers.c.started))
    found = [
        Watcher(
            r.name, r.host, r.pid, r.started, r.beat, r.name == leader, r.state, r.queue, r.backlog_s, tuple(r.problems)
        )
        for r in rows
    ]
    return sorted(found, key=lambda watcher: not watcher.leader)


def gone(tx: Connection, name: str) -> None:
    """A process that ends well leaves no row behind, and the lease to the next."""
    tx.execute(watchers.delete().where(watchers.c.name == name))
    tx.execute(leases.delete().where(leases.c.name == LEADER, leases.c.holder == name))
    notices.post(tx, "ingest", name)


def lead(tx: Connection, name: str, now: float | None, for_s: float) -> bool:
    """Takes or renews the lease; False while another holds it. `now` None: the clock of the database, for all hosts."""
    if now is None:
        now = float(tx.scalar(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))) or 0)
    row = tx.execute(sa.select(leases).where(leases.c.name == LEADER).with_for_update()).first()
    if row is not None and row.holder != name and row.until > now:
        # SQLite is of one host, of one clock: a lease that lies so far ahead was given before it was set back
        set_back = tx.dialect.name == "sqlite" and row.until > now + 2 * for_s + SET_BACK_S
        if not set_back:
            return False
    upsert(tx, leases, {"name": LEADER, "holder": name, "until": now + for_s})
    return True


def prune(tx: Connection, before: float) -> None:
    """Forgets processes that were not heard of since `before`."""
    tx.execute(watchers.delete().where(watchers.c.beat < before))


def holds(tx: Connection, name: str) -> bool:
    """Whether `name` has the lease at this moment, whatever its clock says (the row stays locked until the commit)."""
    return tx.scalar(sa.select(leases.c.holder).where(leases.c.name == LEADER).with_for_update()) == name


def back_up(tx: Connection, name: str, until: float) -> None:
    """Says that a backup is being made: states are not collected before `until`."""
    upsert(tx, leases, {"name": BACKUP, "holder": name, "until": until})


def backing_up(tx: Connection, now: float) -> bool:
    return (tx.scalar(sa.select(leases.c.until).where(leases.c.name == BACKUP)) or 0.0) > now


def backed_up(tx: Connection, name: str) -> None:
    """The backup of this name has ended."""
    tx.execute(leases.delete().where(leases.c.name == BACKUP, leases.c.holder == name))
