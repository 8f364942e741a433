"""Numbers over time: one point for each file, at its start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import TrendName, TrendPoint, TrendValue
from dqm.store.rows import upsert
from dqm.store.tables import runs, trend_names, trend_points


def save(
    tx: Connection,
    plot: str,
    file_id: int,
    run_id: int,
    start: float,
    end: float | None,
    trends: Mapping[str, TrendValue],
) -> None:
    """The numbers of one file; those it had before are replaced."""
    for name, trend in trends.items():
        trend_id = _ensure(tx, plot, name, trend)
        tx.execute(
            trend_points.delete().where(
                trend_points.c.trend_id == trend_id, trend_points.c.file_id == file_id, trend_points.c.time != start
            )
        )
        value = None if trend.value is None else float(trend.value)
        point = {"trend_id": trend_id, "time": start, "file_id": file_id, "run_id": run_id, "end": end, "value": value}
        upsert(tx, trend_points, {**point, "reason": trend.reason if value is None else ""})


def _ensure(tx: Connection, plot: str, name: str, trend: TrendValue) -> int:
    limits = {"range": list(trend.range), "warn": list(trend.warn), "alarm": list(trend.alarm)}
    row = tx.execute(sa.select(trend_names).where(trend_names.c.plot == plot, trend_names.c.name == name)).first()
    if row is None:
        values = {"plot": plot, "name": name, "unit": trend.unit, "limits": limits}
        made = tx.execute(trend_names.insert().values(values)).inserted_primary_key
        assert made is not None
        return made[0]
    if row.unit != trend.unit or row.limits != limits:
        tx.execute(trend_names.update().where(trend_names.c.id == row.id).values(unit=trend.unit, limits=limits))
    return row.id


def forget(tx: Connection, file_id: int) -> None:
    tx.execute(trend_points.delete().where(trend_points.c.file_id == file_id))


def names(tx: Connection) -> list[TrendName]:
    """All that can be followed, by plot and name."""
    return [_name(row) for row in tx.execute(sa.select(trend_names).order_by(trend_names.c.plot, trend_names.c.name))]


def _name(row: Any) -> TrendName:
    limits = {name: (row.limits[name][0], row.limits[name][1]) for name in ("range", "warn", "alarm")}
    return TrendName(row.id, row.plot, row.name, row.unit, **limits)


def points(tx: Connection, trend_id: int, since: float, until: float, limit: int = 200_000) -> list[TrendPoint]:
    """Points of one trend in a range of time, in order; the newest `limit`."""
    wanted = (
        sa.select(trend_points, runs.c.key.label("run_key"))
        .join(runs, runs.c.id == trend_points.c.run_id)
        .where(trend_points.c.trend_id == trend_id, trend_points.c.time.between(since, until))
        .order_by(trend_points.c.time.desc(), trend_points.c.file_id.desc())
        .limit(limit)
    )
    return [TrendPoint(r.time, r.value, r.run_key, r.file_id, r.end, r.reason) for r in tx.execute(wanted)][::-1]


def recent(tx: Connection, run_id: int, limit: int = 200) -> dict[tuple[str, str], list[TrendPoint]]:
    """The newest points of a run by (plot, trend), newest first: what a board judges."""
    newest = (
        sa.select(trend_points.c.file_id)
        .where(trend_points.c.run_id == run_id)
        .group_by(trend_points.c.file_id)
        .order_by(sa.func.max(trend_points.c.time).desc())
        .limit(limit)
    )
    wanted = (
        sa.select(trend_points, trend_names.c.plot, trend_names.c.name, runs.c.key.label("run_key"))
        .join(trend_names, trend_names.c.id == trend_points.c.trend_id)
        .join(runs, runs.c.id == trend_points.c.run_id)
        .where(trend_points.c.run_id == run_id, trend_points.c.file_id.in_(newest))
        .order_by(trend_points.c.time.desc())
    )
    found: dict[tuple[str, str], list[TrendPoint]] = {}
    for row in tx.execute(wanted):
        point = TrendPoint(row.time, row.value, row.run_key, row.file_id, row.end, row.reason)
        found.setdefault((row.plot, row.name), []).append(point)
    return found


def span(tx: Connection) -> tuple[float, float] | None:
    """First and last time of all points."""
    row = tx.execute(sa.select(sa.func.min(trend_points.c.time), sa.func.max(trend_points.c.time))).one()
    return None if row[0] is None else (row[0], row[1])
