"""Hours and days of trends: counted anew from the points whenever a point comes or goes, in the same transaction.

A row is live, the aggregation of points that are there, or kept: what is left of points that a retention rule dropped. An
hour or day is both together. Days are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from dqm.records import Rollup
from dqm.store.tables import trend_points, trend_rollups

HOUR, DAY = 3600, 86400
SUMMED = 1e290
"""Values beyond this are in count, low and high but not in the mean: their sum is no number any more."""


def start_of(time: float, seconds: int) -> float:
    """Start of the hour or day that a time lies in."""
    return float(math.floor(time / seconds) * seconds)


def refresh(tx: Connection, trend_ids: Collection[int], times: Iterable[float]) -> None:
    """Counts the hours and days of `times` anew, of these trends."""
    hours = {start_of(time, HOUR) for time in times}
    if not trend_ids or not hours:
        return
    ids = sorted(trend_ids)
    _drop_live(tx, ids, HOUR, hours)
    _drop_live(tx, ids, DAY, {start_of(hour, DAY) for hour in hours})
    for hour in hours:
        _insert(tx, _of_points(ids, hour))
    for day in {start_of(hour, DAY) for hour in hours}:
        _insert(tx, _of_hours(ids, day))


def _drop_live(tx: Connection, ids: list[int], seconds: int, starts: set[float]) -> None:
    table = trend_rollups.c
    same = table.trend_id.in_(ids) & (table.seconds == seconds) & ~table.kept & table.time.in_(sorted(starts))
    tx.execute(trend_rollups.delete().where(same))


def _insert(tx: Connection, found: sa.Select[Any]) -> None:
    tx.execute(trend_rollups.insert().from_select([column.name for column in trend_rollups.c], found))


def columns_of_points() -> tuple[ColumnElement[Any], ...]:
    """count, unknown, summed, total, low, high, first, last of points."""
    point = trend_points.c
    counted = sa.func.count(point.value)
    # an ordinary number: no overflow, which is an error in PostgreSQL
    ordinary = sa.case((sa.func.abs(point.value) < SUMMED, point.value))
    return (
        counted, sa.func.count() - counted, sa.func.count(ordinary), sa.func.sum(ordinary), sa.func.min(point.value),
        sa.func.max(point.value), sa.func.min(point.time), sa.func.max(point.time),
    )  # fmt: skip


def _of_points(ids: list[int], hour: float) -> sa.Select[Any]:
    point = trend_points.c
    head = (point.trend_id, sa.literal(HOUR), sa.cast(sa.literal(hour), sa.Double), sa.false())
    within = (point.time >= hour) & (point.time < hour + HOUR)
    return sa.select(*head, *columns_of_points()).where(point.trend_id.in_(ids), within).group_by(point.trend_id)


def _of_hours(ids: list[int], day: float) -> sa.Select[Any]:
    table = trend_rollups.c
    head = (table.trend_id, sa.literal(DAY), sa.cast(sa.literal(day), sa.Double), sa.false())
    same = table.trend_id.in_(ids) & (table.seconds == HOUR) & ~table.kept
    added = (
        sa.func.sum(table.count), sa.func.sum(table.unknown), sa.func.sum(table.summed), sa.func.sum(table.total),
        sa.func.min(table.low), sa.func.max(table.high), sa.func.min(table.first), sa.func.max(table.last),
    )  # fmt: skip
    within = (table.time >= day) & (table.time < day + DAY)
    return sa.select(*head, *added).where(same, within).group_by(table.trend_id)


def of_trend(tx: Connection, trend_id: int, seconds: int, since: float, until: float) -> list[Rollup]:
    """Hours or days of a trend that overlap a range of time, in order; live and kept rows of one are one."""
    table = trend_rollups.c
    kept = sa.case((table.kept, table.count + table.unknown), else_=0)
    columns: tuple[Any, ...] = (
        table.time, table.count, table.unknown, table.summed, table.total, table.low, table.high, table.first, table.last,
        kept,
    )  # fmt: skip
    wanted = (
        sa.select(*columns)
        .where(table.trend_id == trend_id, table.seconds == seconds)
        .where(table.time > since - seconds, table.time <= until)
        .order_by(table.time)
    )
    found: list[Rollup] = []
    for row in tx.execute(wanted):
        rollup = Rollup(seconds, *row)
        if found and found[-1].time == rollup.time:
            rollup = joined([found.pop(), rollup], seconds)
        found.append(rollup)
    return found


def joined(several: Sequence[Rollup], seconds: int) -> Rollup:
    """Hours or days that follow each other, or two halves of one, as one that is so long."""
    totals = [rollup.total for rollup in several if rollup.total is not None]
    lows = [rollup.low for rollup in several if rollup.low is not None]
    highs = [rollup.high for rollup in several if rollup.high is not None]
    return Rollup(
        seconds, several[0].time, sum(r.count for r in several), sum(r.unknown for r in several),
        sum(r.summed for r in several), sum(totals) if totals else None, min(lows, default=None),
        max(highs, default=None), min(r.first for r in several), max(r.last for r in several),
        sum(r.kept for r in several),
    )  # fmt: skip
