"""Hours and days of trends are the aggregation of the points, whatever came and went."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.records import Rollup, TrendValue
from dqm.store import Store, files, rollups, runs, trends
from dqm.store.rollups import DAY, HOUR
from dqm.store.schema import _alembic, upgrade
from dqm.store.tables import trend_points, trend_rollups

NOON = 1_720_440_000.0
VALUES = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.floats(-10, 10))
SAVED = st.tuples(
    st.just("save"), st.integers(1, 4), st.floats(-90_000, 2 * DAY), st.dictionaries(st.sampled_from("xyz"), VALUES)
)
FORGOTTEN = st.tuples(st.just("forget"), st.integers(1, 4), st.none(), st.none())


def all_rows(store: Store) -> list[Any]:
    with store.read() as tx:
        return list(tx.execute(sa.select(trend_rollups).order_by(*trend_rollups.primary_key.columns)))


def aggregated(store: Store) -> dict[tuple[int, int, float], Rollup]:
    """What the hours and days must be, by counting the points in Python."""
    found: dict[tuple[int, int, float], list[Any]] = {}
    with store.read() as tx:
        for row in tx.execute(sa.select(trend_points)):
            for seconds in (HOUR, DAY):
                found.setdefault((row.trend_id, seconds, math.floor(row.time / seconds) * seconds), []).append(row)
    return {(trend, seconds, start): rollup_of(seconds, start, rows) for (trend, seconds, start), rows in found.items()}


def rollup_of(seconds: int, start: float, rows: list[Any]) -> Rollup:
    values = [row.value for row in rows if row.value is not None]
    summed = [value for value in values if abs(value) < rollups.SUMMED]
    times = [row.time for row in rows]
    return Rollup(
        seconds, start, len(values), len(rows) - len(values), len(summed), math.fsum(summed) if summed else None,
        min(values, default=None), max(values, default=None), min(times), max(times),
    )  # fmt: skip


def agree(store: Store) -> None:
    """Every row is the aggregation of its points, and no row is missing or too many."""
    expected = aggregated(store)
    found = all_rows(store)
    assert {(row.trend_id, row.seconds, row.time) for row in found} == set(expected)
    for row in found:
        wanted = expected[row.trend_id, row.seconds, row.time]
        exact = ("count", "unknown", "summed", "low", "high", "first", "last")
        assert [getattr(row, name) for name in exact] == [getattr(wanted, name) for name in exact]
        if wanted.total is None:
            assert row.total is None
        else:  # a sum of floats depends on its order, in its last digits
            size = max(abs(wanted.low or 0), abs(wanted.high or 0)) if wanted.summed else 0
            assert row.total == pytest.approx(wanted.total, rel=1e-9, abs=1e-9 * min(size, 1e290) * wanted.count)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=st.lists(st.one_of(SAVED, FORGOTTEN), max_size=12))
def test_hours_and_days_are_the_aggregation_of_the_points_in_any_order_of_save_and_forget(
    store: Store, done: list[tuple[str, int, float, dict[str, float | None]]]
) -> None:
    with store.begin() as tx:
        run_id = runs.ensure(tx, "1", 1, "physics", [])
        for file_id in range(1, 5):
            trends.forget(tx, file_id)
    assert all_rows(store) == []
    for what, file_id, after, values in done:
        with store.begin() as tx:
            if what == "forget":
                trends.forget(tx, file_id)
            else:
                found = {name: TrendValue(value, "Hz", reason="no") for name, value in values.items()}
                trends.save(tx, "P", file_id, run_id, NOON + after, None, found)
    agree(store)


def save_many(store: Store, number: int, every_s: float, trend: str = "x") -> int:
    with store.begin() as tx:
        run_id = runs.ensure(tx, "1", 1, "physics", [])
        for i in range(number):
            value = TrendValue(None if i % 10 == 9 else float(i), "Hz", reason="too short")
            trends.save(tx, "P", i + 1, run_id, NOON + i * every_s, None, {trend: value})
        return next(name.id for name in trends.names(tx) if name.name == trend)


def test_a_file_that_is_replaced_leaves_the_hours_and_days(store: Store) -> None:
    with store.begin() as tx:
        run_id = runs.ensure(tx, "1", 1, "physics", [])
        old = files.add(tx, "/a.h5", "/", 1, 1, "", NOON)
        trends.save(tx, "P", old, run_id, NOON, None, {"x": TrendValue(5.0, "Hz")})
        files.retire(tx, old, files.FileState.REPLACED, "its name holds something else")
    assert all_rows(store) == []


def test_a_short_range_gives_points_a_longer_one_hours_and_a_long_one_days(store: Store) -> None:
    trend = save_many(store, 300, 900)  # four an hour, three days
    with store.read() as tx:
        near = trends.series(tx, trend, NOON, NOON + 4 * 3600, 50)
        assert (near.resolution, len(near.points), near.files, near.unknown) == ("file", 17, 17, 1)
        hours = trends.series(tx, trend, NOON, NOON + 4 * DAY, 100)
        assert (hours.resolution, len(hours.rollups), hours.files, hours.unknown) == ("hour", 75, 300, 30)
        first = hours.rollups[0]
        assert (first.time, first.count, first.low, first.high, first.mean) == (NOON, 4, 0.0, 3.0, 1.5)
        days = trends.series(tx, trend, NOON, NOON + 4 * DAY, 10)
        assert (days.resolution, days.files, days.unknown) == ("day", 300, 30)
        assert (days.rollups[0].low, days.rollups[0].high) == (0.0, 47.0)
        forced = [trends.series(tx, trend, NOON, NOON + 3600, 1, to).resolution for to in trends.RESOLUTIONS]
        assert forced == ["file", "hour", "day"]
        assert trends.span(tx) == (NOON, NOON + 299 * 900)


@pytest.mark.parametrize("time", [1e18, -1.0, 0.0, -3600.5])
def test_a_file_with_a_mad_time_or_value_breaks_nothing(store: Store, time: float) -> None:
    with store.begin() as tx:
        run_id = runs.ensure(tx, "1", 1, "physics", [])
        for file_id in (1, 2, 3):
            mad = {"x": TrendValue(1.7e308, "Hz"), "y": TrendValue(float("nan"), "Hz", reason="no")}
            trends.save(tx, "P", file_id, run_id, time, None, mad)
        for name in trends.names(tx):
            found = trends.series(tx, name.id, time - 10, time + 10, 1)
            assert found.files == 3
            assert [r.mean for r in found.rollups] == [1.7e308 if name.name == "x" else None]


def test_upgrading_a_filled_first_database_keeps_everything_and_makes_its_hours_and_days(
    new_store: Store, tmp_path: Path
) -> None:
    _to(new_store, "0001")
    with new_store.begin() as tx:
        tx.exec_driver_sql("INSERT INTO runs (id, key, tags, updated) VALUES (1, '1', '[]', 1.0)")
        for trend in (1, 2):
            tx.exec_driver_sql(
                f"INSERT INTO trend_names (id, plot, name, unit, limits) VALUES ({trend}, 'P', 'x{trend}', 'Hz', '{{}}')"
            )
        rows = [
            {
                "trend_id": 1 + i % 2, "time": NOON + 700.5 * i - 50 * HOUR, "file_id": i, "run_id": 1,
                "value": None if i % 7 == 0 else 0.1 * i, "reason": "",
            }
            for i in range(500)
        ]  # fmt: skip
        rows += [rows[1] | {"time": -1.5, "file_id": 900}, rows[1] | {"time": -HOUR, "file_id": 901}]
        tx.execute(trend_points.insert(), rows)
    upgrade(new_store)
    with new_store.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(trend_points)) == len(rows)
        assert runs.get(tx, "1") is not None
    agree(new_store)


def _to(store: Store, revision: str) -> None:
    if not store.is_sqlite:
        with store.begin() as tx:
            tx.execute(sa.schema.CreateSchema("larboard", if_not_exists=True))
    with store.begin() as tx:
        config = _alembic()
        config.attributes["connection"] = tx
        command.upgrade(config, revision)
