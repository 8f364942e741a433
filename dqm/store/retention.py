"""What rules drop, in small bites: points of trends that hours and days hold, states of runs whose numbers stay.

Never anything of the newest run, nor of one that is not closed; never the audit trail. Masks belong to no run: they go when
nobody looked at them for long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import DROPPED, RetentionRule, Rollup, Run
from dqm.store import audit, notices, rollups, runs
from dqm.store.rollups import DAY, HOUR
from dqm.store.rows import upsert
from dqm.store.states import States
from dqm.store.tables import elements, files, masks, parts, trend_points, trend_rollups
from dqm.store.tables import runs as run_table

ACTOR = "retention rule"
FILES_AT_ONCE = 4
"""So many files lose their points in one transaction: 0.06 s of computing with 200 trends of each."""
DAY_S = 86400.0
_MERGED = ("count", "unknown", "summed", "total", "low", "high", "first", "last")


@dataclass(frozen=True)
class Due:
    """What the rules would drop of a run now."""

    kind: str
    """``points`` or ``states``."""
    run: Run
    days: int
    """The age that the rule names."""
    files: int = 0
    points: int = 0
    states: int = 0
    bytes: int = 0


def days_for(rules: Sequence[RetentionRule], kind: str, category: str, certification: str) -> int:
    """After how many days the first rule that fits and says something drops it; 0: never."""
    for rule in rules:
        fits = rule.category in ("", category) and rule.certification in ("", certification)
        days: int | None = getattr(rule, f"{kind}_days")
        if fits and days is not None:
            return days
    return 0


def due(tx: Connection, rules: Sequence[RetentionRule], kind: str, now: float, limit: int | None = None) -> list[Due]:
    """Closed runs that hold something older than a rule allows, oldest first."""
    if not any(getattr(rule, f"{kind}_days") for rule in rules):
        return []
    moment = sa.func.coalesce(run_table.c.end, run_table.c.start, run_table.c.updated)
    newest = runs.latest(tx)
    found: list[Due] = []
    for category, certification in tx.execute(sa.select(run_table.c.category, run_table.c.certification).distinct()):
        days = days_for(rules, kind, category, certification)
        if not days:
            continue
        wanted = sa.select(run_table.c.id).where(
            run_table.c.category == category, run_table.c.certification == certification, run_table.c.closed,
            run_table.c.id != (newest.id if newest else 0), moment < now - days * DAY_S, _HOLDS[kind],
        )  # fmt: skip
        ids = tx.scalars(wanted.order_by(moment).limit(limit)).all()
        found += [Due(kind, runs.by_id(tx, run_id), days) for run_id in ids]
    return sorted(found, key=lambda it: (it.run.end or it.run.start or it.run.updated, it.run.id))[:limit]


# a plot that does not merge has no base: its figure is that of its last file
_HAS_STATE = (elements.c.base.is_not(None) & (elements.c.base != DROPPED)) | (
    elements.c.base.is_(None) & ~elements.c.mergeable
)
_HOLDS: dict[str, Any] = {
    "points": sa.exists().where(files.c.run_id == run_table.c.id, files.c.counted, ~files.c.condensed),
    "states": sa.exists().where(elements.c.run_id == run_table.c.id, _HAS_STATE),
}


def measured(tx: Connection, states: States, found: Due) -> Due:
    """With how much it is."""
    if found.kind == "points":
        ids = _with_points(tx, found.run.id, None)
        own = sa.select(sa.func.count()).select_from(trend_points).where(trend_points.c.file_id.in_(ids))
        return replace(found, files=len(ids), points=tx.scalar(own) or 0)
    bases = _bases(tx, found.run.id)
    return replace(found, states=len(bases), bytes=sum(map(states.size, bases)))


def _with_points(tx: Connection, run_id: int, limit: int | None) -> list[int]:
    wanted = sa.select(files.c.id).where(files.c.run_id == run_id, files.c.counted, ~files.c.condensed)
    return list(tx.scalars(wanted.order_by(files.c.start, files.c.id).limit(limit)))


def _bases(tx: Connection, run_id: int) -> list[str]:
    base = elements.c.base
    return list(tx.scalars(sa.select(base).where(elements.c.run_id == run_id, base.is_not(None), base != DROPPED)))


def bite(tx: Connection, found: Due) -> bool:
    """Drops some of it in this transaction; True when more of it is left. Nothing happens to a run that was opened again."""
    run = runs.by_id(tx, found.run.id)
    newest = runs.latest(tx)
    if not run.closed or (newest is not None and newest.id == run.id):
        return False
    if found.kind == "states":
        drop_states(tx, run, found.days)
        return False
    ids = _with_points(tx, run.id, FILES_AT_ONCE)
    condense(tx, ids)
    if len(ids) == FILES_AT_ONCE:
        return True
    audit.note(tx, ACTOR, "points kept as hours and days", f"run {run.key}", None, {"older than days": found.days})
    return False


def condense(tx: Connection, file_ids: Sequence[int]) -> None:
    """The points of these files go; what they gave is added to the hours and days that are kept."""
    own = trend_points.c.file_id.in_(list(file_ids))
    columns = (trend_points.c.trend_id, trend_points.c.time, trend_points.c.value)
    rows = tx.execute(sa.select(*columns).where(own).order_by(*trend_points.primary_key.columns)).all()
    for seconds in (HOUR, DAY):
        added: dict[tuple[int, float], list[Any]] = {}
        for row in rows:
            added.setdefault((row.trend_id, rollups.start_of(row.time, seconds)), []).append(row)
        _add(tx, {key: _rollup(seconds, key[1], found) for key, found in added.items()}, seconds)
    tx.execute(trend_points.delete().where(own))
    rollups.refresh(tx, {row.trend_id for row in rows}, {row.time for row in rows})
    tx.execute(files.update().where(files.c.id.in_(list(file_ids))).values(condensed=True))


def _rollup(seconds: int, start: float, rows: Sequence[Any]) -> Rollup:
    values = [row.value for row in rows if row.value is not None]
    summed = [value for value in values if abs(value) < rollups.SUMMED]
    return Rollup(
        seconds, start, len(values), len(rows) - len(values), len(summed), math.fsum(summed) if summed else None,
        min(values, default=None), max(values, default=None), rows[0].time, rows[-1].time,
    )  # fmt: skip


def _add(tx: Connection, added: dict[tuple[int, float], Rollup], seconds: int) -> None:
    """Adds to the kept hours or days."""
    table = trend_rollups.c
    trends, times = sorted({key[0] for key in added}), sorted({key[1] for key in added})
    same = table.trend_id.in_(trends) & table.time.in_(times) & (table.seconds == seconds) & table.kept
    before = {(row.trend_id, row.time): row for row in tx.execute(sa.select(trend_rollups).where(same))}
    rows = []
    for (trend, start), new in added.items():
        both = [it for it in (before.get((trend, start)), new) if it is not None]
        known: dict[str, list[Any]] = {n: [v for it in both if (v := getattr(it, n)) is not None] for n in _MERGED}
        rows.append(
            {
                "trend_id": trend,
                "seconds": seconds,
                "time": start,
                "kept": True,
                "count": sum(known["count"]),
                "unknown": sum(known["unknown"]),
                "summed": sum(known["summed"]),
                "total": sum(known["total"]) if known["total"] else None,
                "low": min(known["low"], default=None),
                "high": max(known["high"], default=None),
                "first": min(known["first"]),
                "last": max(known["last"]),
            }
        )
    upsert(tx, trend_rollups, rows)


def drop_states(tx: Connection, run: Run, days: int) -> int:
    """The run keeps its numbers; what its figures are drawn from is not named any more, and so collected. Gives how many."""
    held = (elements.c.run_id == run.id) & _HAS_STATE
    plots = tx.execute(sa.select(elements.c.plot, elements.c.version).where(held)).all()
    tx.execute(elements.update().where(held).values(base=DROPPED, version=elements.c.version + 1))
    for plot, version in plots:
        notices.post(tx, "element", f"{run.key}/{plot}", version + 1)
    of_run = sa.select(files.c.id).where(files.c.run_id == run.id)
    tx.execute(
        parts.update().where(parts.c.file_id.in_(of_run), parts.c.complete).values(base=None, deltas=[], cursor=None)
    )
    what = {"states": [plot for plot, _ in plots], "older than days": days}
    audit.note(tx, ACTOR, "states dropped", f"run {run.key}", None, what)
    return len(plots)


def hours_due(tx: Connection, days: int, now: float) -> int:
    """How many hours of trends stand for dropped points and are older than `days` (0: none ever are)."""
    return tx.scalar(sa.select(sa.func.count()).select_from(trend_rollups).where(_old_hours(days, now))) or 0


def drop_hours(tx: Connection, days: int, now: float, limit: int = 5000) -> int:
    """Drops some of them; the days stay. Gives how many."""
    table = trend_rollups.c
    key = (table.trend_id, table.seconds, table.time, table.kept)
    some = tx.execute(
        sa.select(table.trend_id, table.time).where(_old_hours(days, now)).order_by(*key).limit(limit)
    ).all()
    for trend in {row.trend_id for row in some}:
        times = [row.time for row in some if row.trend_id == trend]
        within = table.time.between(min(times), max(times)) & (table.trend_id == trend)
        tx.execute(trend_rollups.delete().where(within, table.seconds == HOUR, table.kept))
    return len(some)


def masks_due(tx: Connection, days: int, now: float) -> int:
    """How many masks nobody looked at for `days` (0: masks are never dropped)."""
    return tx.scalar(sa.select(sa.func.count()).select_from(masks).where(_old_masks(days, now))) or 0


def drop_masks(tx: Connection, days: int, now: float, limit: int = 200) -> int:
    """Drops some of them; who made them stays in the audit trail. Gives how many."""
    old = sa.select(masks.c.address).where(_old_masks(days, now)).order_by(masks.c.used, masks.c.address).limit(limit)
    addresses = list(tx.scalars(old))
    if addresses:
        tx.execute(masks.delete().where(masks.c.address.in_(addresses)))
        what = {"masks": addresses, "not looked at for days": days}
        audit.note(tx, ACTOR, "masks dropped", "masks", None, what)
    return len(addresses)


def _old_masks(days: int, now: float) -> Any:
    return masks.c.used < now - days * DAY_S if days else sa.false()


def _old_hours(days: int, now: float) -> Any:
    table = trend_rollups.c
    before = rollups.start_of(now - days * DAY_S, DAY) if days else -math.inf
    if not days:
        return sa.false()
    return (table.seconds == HOUR) & table.kept & (table.time < before)
