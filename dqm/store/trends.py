"""Numbers over time: one point for each file, at its start; hours and days of them in step (`rollups`)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Resolution, Rollup, Series, TrendName, TrendPoint, TrendValue
from dqm.store import rollups
from dqm.store.rollups import DAY, HOUR
from dqm.store.rows import upsert
from dqm.store.tables import files, runs, trend_names, trend_points, trend_rollups

NEAR_S = 31 * DAY
"""In a range up to this, and not of more hours than are wanted, the files are counted by hours, else by days."""
RESOLUTIONS: tuple[Resolution, ...] = ("file", "hour", "day")


def save(
    tx: Connection, plot: str, file_id: int, run_id: int, start: float, end: float | None,
    trends: Mapping[str, TrendValue],
) -> None:  # fmt: skip
    """The numbers of one plot of one file; those it had before are replaced."""
    save_all(tx, file_id, run_id, start, end, {plot: trends})


def save_all(
    tx: Connection, file_id: int, run_id: int, start: float, end: float | None,
    of_plots: Mapping[str, Mapping[str, TrendValue]],
) -> None:  # fmt: skip
    """The numbers of one file, by plot; those it had before are replaced."""
    numbered = _ensure(tx, of_plots)
    ids = set(numbered)
    if not ids or _is_held(tx, file_id, ids, start):
        return
    touched = _leave(tx, file_id, ids, start)
    points: list[dict[str, Any]] = []
    for number, trend in numbered.items():
        value = None if trend.value is None or not math.isfinite(trend.value) else float(trend.value)
        reason = trend.reason if value is None else ""
        place = {"trend_id": number, "time": start, "file_id": file_id, "run_id": run_id, "end": end}
        points.append({**place, "value": value, "reason": reason})
    upsert(tx, trend_points, points)
    rollups.refresh(tx, ids, {start, *touched})


def _is_held(tx: Connection, file_id: int, trend_ids: set[int], start: float) -> bool:
    """Whether the hours that outlived their points hold what this file gives: it must not be counted twice."""
    table = trend_rollups.c
    kept = (table.seconds == DAY) & table.kept & (table.time == rollups.start_of(start, DAY))
    if (
        tx.execute(sa.select(table.trend_id).where(kept, table.trend_id.in_(sorted(trend_ids))).limit(1)).first()
        is None
    ):
        return False
    mine = sa.select(files.c.path, files.c.head).where(files.c.id == file_id).subquery()
    same = (files.c.id == file_id) | (files.c.path == mine.c.path) | (files.c.head == mine.c.head)
    held = sa.select(files.c.id).join(mine, same).where(files.c.condensed).limit(1)
    if tx.execute(held).first() is None:
        return False
    tx.execute(files.update().where(files.c.id == file_id, ~files.c.condensed).values(condensed=True))
    return True


def _leave(tx: Connection, file_id: int, trend_ids: set[int], start: float) -> set[float]:
    """Takes away the points that a file has at other times than `start`; gives these times."""
    own = (trend_points.c.file_id == file_id) & (trend_points.c.time != start)
    own &= trend_points.c.trend_id.in_(sorted(trend_ids))
    times = set(tx.scalars(sa.select(trend_points.c.time).where(own).distinct()))
    if times:
        tx.execute(trend_points.delete().where(own))
    return times


def _ensure(tx: Connection, of_plots: Mapping[str, Mapping[str, TrendValue]]) -> dict[int, TrendValue]:
    """The trends of plots by their ids; new ones are made, units and limits brought up to date."""
    plots = [plot for plot, trends in of_plots.items() if trends]
    rows = tx.execute(sa.select(trend_names).where(trend_names.c.plot.in_(plots))) if plots else ()
    known = {(row.plot, row.name): row for row in rows}
    numbered = {}
    for plot, trends in of_plots.items():
        for name, trend in trends.items():
            limits = {"range": list(trend.range), "warn": list(trend.warn), "alarm": list(trend.alarm)}
            row = known.get((plot, name))
            if row is None:
                values = {"plot": plot, "name": name, "unit": trend.unit, "limits": limits}
                made = tx.execute(trend_names.insert().values(values)).inserted_primary_key
                assert made is not None
                numbered[made[0]] = trend
                continue
            if row.unit != trend.unit or row.limits != limits:
                same = trend_names.c.id == row.id
                tx.execute(trend_names.update().where(same).values(unit=trend.unit, limits=limits))
            numbered[row.id] = trend
    return numbered


def forget(tx: Connection, file_id: int) -> None:
    """Nothing of the file is followed any more."""
    own = trend_points.c.file_id == file_id
    rows = tx.execute(sa.select(trend_points.c.trend_id, trend_points.c.time).where(own)).all()
    tx.execute(trend_points.delete().where(own))
    rollups.refresh(tx, {row.trend_id for row in rows}, {row.time for row in rows})


def names(tx: Connection) -> list[TrendName]:
    """All that can be followed, by plot and name."""
    return [_name(row) for row in tx.execute(sa.select(trend_names).order_by(trend_names.c.plot, trend_names.c.name))]


def _name(row: Any) -> TrendName:
    limits = {name: (row.limits[name][0], row.limits[name][1]) for name in ("range", "warn", "alarm")}
    return TrendName(row.id, row.plot, row.name, row.unit, **limits)


def series(
    tx: Connection, trend_id: int, since: float, until: float, most: int, resolution: Resolution | None = None
) -> Series:
    """A trend in a range of time, of at most `most` points if there are no more files; else of hours, else of days.

    Where a retention rule dropped points, hours stand for all of the range, or days where the hours are dropped too.
    """
    near = until - since <= min(NEAR_S, max(most, 1) * HOUR)
    coarse = rollups.of_trend(tx, trend_id, HOUR if near else DAY, since, until)
    count = sum(rollup.count + rollup.unknown for rollup in coarse)
    dropped = any(rollup.kept for rollup in coarse)
    if not dropped and (resolution == "file" or (resolution is None and count <= most)):
        found = points(tx, trend_id, since, until)
        return Series("file", found, [], len(found), sum(point.value is None for point in found))
    if resolution != "day" and (resolution == "hour" or near or min(count, (until - since) / HOUR) <= most):
        hours = coarse if near and not dropped else _hours(tx, trend_id, since, until)
        if hours is not None and (resolution == "hour" or len(hours) <= most):
            return _series("hour", hours)
    return _series("day", coarse if not near else rollups.of_trend(tx, trend_id, DAY, since, until))


def _series(resolution: Resolution, found: list[Rollup]) -> Series:
    kept = [rollup for rollup in found if rollup.kept]
    until = kept[-1].last if kept else None
    unknown = sum(rollup.unknown for rollup in found)
    return Series(
        resolution, [], found, unknown + sum(r.count for r in found), unknown, sum(r.kept for r in kept), until
    )


def _hours(tx: Connection, trend_id: int, since: float, until: float) -> list[Rollup] | None:
    """Hours in a range; None where those of a day were dropped: a rule drops them after the points."""
    first, behind = rollups.start_of(since, DAY), rollups.start_of(until, DAY) + DAY
    hours = rollups.of_trend(tx, trend_id, HOUR, first, behind - HOUR)
    days = rollups.of_trend(tx, trend_id, DAY, first, behind - DAY)
    if sum(hour.kept for hour in hours) != sum(day.kept for day in days):
        return None
    return [hour for hour in hours if since - HOUR < hour.time <= until]


def points(tx: Connection, trend_id: int, since: float, until: float, limit: int = 200_000) -> list[TrendPoint]:
    """Points of one trend in a range of time, in order; the newest `limit`."""
    point = trend_points.c
    columns = (point.time, point.value, runs.c.key, point.file_id, point.end, point.reason)
    wanted = (
        sa.select(*columns)
        .join(runs, runs.c.id == point.run_id)
        .where(point.trend_id == trend_id, point.time.between(since, until))
        .order_by(point.time.desc(), point.file_id.desc())
        .limit(limit)
    )
    return [TrendPoint(*row) for row in tx.execute(wanted)][::-1]


def recent(
    tx: Connection, run_id: int, limit: int = 200, of: Collection[int] | None = None
) -> dict[tuple[str, str], list[TrendPoint]]:
    """The newest points of a run by (plot, trend), newest first: what a board judges; of these trends, or of all."""
    newest = (
        sa.select(files.c.id)
        .where(files.c.run_id == run_id, files.c.current)
        .order_by(files.c.start.desc().nulls_last(), files.c.id.desc())
        .limit(limit)
    )
    point = trend_points.c
    columns = (point.time, point.value, runs.c.key, point.file_id, point.end, point.reason)
    wanted = (
        sa.select(trend_names.c.plot, trend_names.c.name, *columns)
        .join(trend_names, trend_names.c.id == point.trend_id)
        .join(runs, runs.c.id == point.run_id)
        .where(point.run_id == run_id, point.file_id.in_(tx.scalars(newest).all()))
        .where(sa.true() if of is None else point.trend_id.in_(sorted(of)))
        .order_by(point.time.desc())
    )
    found: dict[tuple[str, str], list[TrendPoint]] = {}
    for plot, name, *values in tx.execute(wanted):
        found.setdefault((plot, name), []).append(TrendPoint(*values))
    return found


def span(tx: Connection) -> tuple[float, float] | None:
    """First and last time of all points; those that a retention rule dropped are in it."""
    mine = trend_rollups.c.trend_id == trend_names.c.id
    days = sa.select(trend_rollups).where(mine, trend_rollups.c.seconds == DAY)
    first = days.order_by(trend_rollups.c.time).limit(1).with_only_columns(trend_rollups.c.first)
    last = days.order_by(trend_rollups.c.time.desc()).limit(1).with_only_columns(trend_rollups.c.last)
    rows = tx.execute(sa.select(first.scalar_subquery(), last.scalar_subquery()).select_from(trend_names)).all()
    known = [row for row in rows if row[0] is not None]
    return (min(row[0] for row in known), max(row[1] for row in known)) if known else None
