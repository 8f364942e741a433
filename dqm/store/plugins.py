"""Plots as ingest found them: from where, what they cost, what is broken."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Plugin
from dqm.store import notices
from dqm.store.rows import upsert
from dqm.store.tables import plugins


def found(tx: Connection, now_there: Iterable[Plugin]) -> None:
    """What the last discovery found: rows of others go, what was measured stays."""
    listed = list(now_there)
    known = {(row.name, row.source) for row in tx.execute(sa.select(plugins.c.name, plugins.c.source))}
    keys = {(plugin.name, plugin.source) for plugin in listed}
    for name, source in known - keys:
        tx.execute(plugins.delete().where(plugins.c.name == name, plugins.c.source == source))
    for plugin in listed:
        values = {
            "name": plugin.name,
            "source": plugin.source,
            "title": plugin.title,
            "broken": plugin.broken,
            "traceback": plugin.traceback,
            "found": time.time(),
        }
        if (plugin.name, plugin.source) in known:
            del values["found"]
            same = (plugins.c.name == plugin.name) & (plugins.c.source == plugin.source)
            tx.execute(plugins.update().where(same).values(values))
        else:
            upsert(tx, plugins, values)
    notices.post(tx, "plots", "")


def cost(tx: Connection, name: str, blocks: int, packets: int, seconds: float, failure: str = "") -> None:
    """Adds what a plot did."""
    values: dict[str, Any] = {
        "blocks": plugins.c.blocks + blocks,
        "packets": plugins.c.packets + packets,
        "seconds": plugins.c.seconds + seconds,
    }
    if failure:
        values |= {"failures": plugins.c.failures + 1, "last_failure": failure}
    tx.execute(plugins.update().where(plugins.c.name == name, plugins.c.broken == "").values(values))


def listed(tx: Connection) -> list[Plugin]:
    rows = tx.execute(sa.select(plugins).order_by(plugins.c.found, plugins.c.name))
    return [Plugin(**{name: getattr(row, name) for name in Plugin.__slots__}) for row in rows]
