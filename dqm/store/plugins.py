"""Plots as ingest found them: from where, what they cost, what is broken."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import GIVE_UP, Plugin
from dqm.store import notices
from dqm.store.rows import upsert
from dqm.store.tables import plugins


@dataclass(frozen=True)
class Rest:
    """How often in a row a plug-in went over a limit, until when it rests, and how often on which files (by id)."""

    stops: int = 0
    until: float | None = None
    on: dict[str, int] = field(default_factory=dict)

    def lasts(self, now: float) -> bool:
        """Whether it is given no file now."""
        return self.stops >= GIVE_UP or (self.until is not None and self.until > now)


def found(tx: Connection, now_there: Iterable[Plugin]) -> list[str]:
    """What the last discovery found: rows of others go, what was measured stays. Names of those whose content changed."""
    listed = list(now_there)
    digests, versions = {}, {}
    columns = (plugins.c.name, plugins.c.source, plugins.c.digest, plugins.c.version)
    for name, source, digest, version in tx.execute(sa.select(*columns)):
        digests[name, source], versions[name, source] = digest, version
    known = digests.keys()
    changed = []
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
            "digest": plugin.digest,
            "version": plugin.version,
        }
        if versions.get((plugin.name, plugin.source)) != plugin.version:
            values["edited"] = None
        if digests.get((plugin.name, plugin.source), plugin.digest) != plugin.digest:
            values |= {"stops": 0, "until": None, "stopped_on": None}
            changed.append(plugin.name)
            if versions[plugin.name, plugin.source] == plugin.version:
                values["edited"] = sa.func.coalesce(plugins.c.edited, time.time())
        if (plugin.name, plugin.source) in known:
            del values["found"]
            same = (plugins.c.name == plugin.name) & (plugins.c.source == plugin.source)
            tx.execute(plugins.update().where(same).values(values))
        else:
            upsert(tx, plugins, values)
    notices.post(tx, "plots", "")
    return changed


@dataclass(frozen=True)
class Spent:
    """What a plot did, and why it failed if it did."""

    name: str
    blocks: int
    packets: int
    seconds: float
    failure: str = ""


_COST = (
    plugins.update()
    .where(plugins.c.name == sa.bindparam("of"), plugins.c.broken == "")
    .values({name: plugins.c[name] + sa.bindparam(f"more_{name}") for name in ("blocks", "packets", "seconds")})
)


def cost(tx: Connection, name: str, blocks: int, packets: int, seconds: float, failure: str = "") -> None:
    """Adds what a plot did."""
    cost_all(tx, [Spent(name, blocks, packets, seconds, failure)])


def cost_all(tx: Connection, some: Sequence[Spent]) -> None:
    """Adds what plots did."""
    rows = [
        {"of": one.name, "more_blocks": one.blocks, "more_packets": one.packets, "more_seconds": one.seconds}
        for one in some
    ]
    if rows:
        tx.execute(_COST, rows)
    for one in some:
        if one.failure:
            failed = {"failures": plugins.c.failures + 1, "last_failure": one.failure}
            tx.execute(plugins.update().where(plugins.c.name == one.name, plugins.c.broken == "").values(failed))


def rests(tx: Connection) -> dict[str, Rest]:
    """The plots that went over a limit and have not worked since, by name."""
    over = sa.or_(plugins.c.stops > 0, plugins.c.until.is_not(None))
    rows = tx.execute(sa.select(plugins).where(over, plugins.c.broken == ""))
    return {row.name: Rest(row.stops, row.until, dict(row.stopped_on or {})) for row in rows}


def rest(tx: Connection, name: str) -> Rest:
    row = tx.execute(sa.select(plugins).where(plugins.c.name == name, plugins.c.broken == "")).first()
    return Rest(row.stops, row.until, dict(row.stopped_on or {})) if row else Rest()


def set_rest(tx: Connection, name: str, rest: Rest) -> None:
    values = {"stops": rest.stops, "until": rest.until, "stopped_on": rest.on or None}
    tx.execute(plugins.update().where(plugins.c.name == name, plugins.c.broken == "").values(values))
    notices.post(tx, "plots", "")


def worked(tx: Connection, name: str) -> None:
    """A plot that was tried again came through a file: it is as good as any other, but for the files that it failed on.

    One whose rest is over and that was not woken yet stays as it is: waking it brings back the files that it missed.
    """
    again = (plugins.c.name == name) & (plugins.c.stops > 0) & (plugins.c.stops < GIVE_UP) & plugins.c.until.is_(None)
    tx.execute(plugins.update().where(again).values(stops=0))


def listed(tx: Connection) -> list[Plugin]:
    rows = tx.execute(sa.select(plugins).order_by(plugins.c.found, plugins.c.name))
    return [Plugin(**{name: getattr(row, name) for name in Plugin.__slots__}) for row in rows]
