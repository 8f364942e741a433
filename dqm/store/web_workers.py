"""Processes of the site: which live, and how many streams they hold."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import WebWorker
from dqm.store.rows import upsert
from dqm.store.tables import web_workers

FORGET_S = 3600.0


def beat(tx: Connection, worker: WebWorker) -> None:
    """A sign of life; workers that were silent for long are forgotten."""
    upsert(tx, web_workers, {name: getattr(worker, name) for name in WebWorker.__slots__})
    tx.execute(web_workers.delete().where(web_workers.c.beat < worker.beat - FORGET_S))


def alive(tx: Connection, since: float) -> list[WebWorker]:
    """Those that gave a sign of life after `since`."""
    rows = tx.execute(sa.select(web_workers).where(web_workers.c.beat >= since).order_by(web_workers.c.started))
    return [WebWorker(**{name: getattr(row, name) for name in WebWorker.__slots__}) for row in rows]


def gone(tx: Connection, name: str) -> None:
    tx.execute(web_workers.delete().where(web_workers.c.name == name))
