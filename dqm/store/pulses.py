"""How the ingest was, in samples; and sums that only go up."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Facts, Pulse
from dqm.store import notices
from dqm.store.rows import insert, upsert
from dqm.store.tables import counters, pulses

SERIES_S = 3600.0
"""Every sample is kept so long ..."""
HOURLY_S = 14 * 86400.0
"""... and one of each hour so long."""
SERIES = [column for column in pulses.c if column.name not in ("facts", "hourly")]


def count(tx: Connection, **more: int) -> None:
    """Adds to sums: ``count(tx, packets=12, files=1)``."""
    for name, value in more.items():
        if value:
            row = insert(tx, counters).values(name=name, value=value)
            added = {"value": counters.c.value + row.excluded.value}
            tx.execute(row.on_conflict_do_update(index_elements=["name"], set_=added))


def totals(tx: Connection) -> dict[str, int]:
    """All sums by name."""
    return {row.name: row.value for row in tx.execute(sa.select(counters))}


def save(tx: Connection, pulse: Pulse) -> None:
    """A new sample; what is too old goes, and the facts of the one before."""
    last = tx.execute(sa.select(pulses.c.time).where(pulses.c.hourly).order_by(pulses.c.time.desc()).limit(1)).scalar()
    values: dict[str, Any] = {name: getattr(pulse, name) for name in Pulse.__slots__ if name != "facts"}
    values["facts"] = asdict(pulse.facts) if pulse.facts else None
    values["hourly"] = last is None or not last <= pulse.time < last + 3600
    tx.execute(pulses.update().where(pulses.c.facts.is_not(None)).values(facts=None))
    upsert(tx, pulses, values)
    old = sa.or_(pulses.c.time < pulse.time - HOURLY_S, pulses.c.time > pulse.time + 60)  # a clock was set back
    thinned = (pulses.c.time < pulse.time - SERIES_S) & ~pulses.c.hourly
    tx.execute(pulses.delete().where(sa.or_(old, thinned)))
    notices.post(tx, "pulse", pulse.by)


def newest(tx: Connection) -> Pulse | None:
    """The last sample, with its facts."""
    row = tx.execute(sa.select(pulses).order_by(pulses.c.time.desc()).limit(1)).first()
    return None if row is None else _pulse(row, Facts.from_json(row.facts) if row.facts else None)


def newest_time(tx: Connection) -> float | None:
    """When the last sample was taken."""
    return tx.scalar(sa.select(sa.func.max(pulses.c.time)))


def series(tx: Connection, since: float) -> list[Pulse]:
    """Samples after `since`, in order, without facts."""
    rows = tx.execute(sa.select(*SERIES).where(pulses.c.time >= since).order_by(pulses.c.time))
    return [_pulse(row, None) for row in rows]


def first(tx: Connection) -> Pulse | None:
    """The oldest sample that is kept."""
    row = tx.execute(sa.select(*SERIES).order_by(pulses.c.time).limit(1)).first()
    return None if row is None else _pulse(row, None)


def _pulse(row: Any, facts: Facts | None) -> Pulse:
    return Pulse(**{name: getattr(row, name) for name in Pulse.__slots__ if name != "facts"}, facts=facts)
