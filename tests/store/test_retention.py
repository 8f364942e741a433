"""What retention rules drop, and what they never drop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.ingest.upkeep import collect, drop, keep_small, report
from dqm.records import DROPPED, Element, ElementState, FileState, RetentionRule, TrendValue
from dqm.settings import RetentionRuleSettings, RetentionSettings
from dqm.store import Store, audit, elements, files, masks, notices, retention, rollups, runs, trends, watchers
from dqm.store.rollups import DAY, HOUR
from dqm.store.states import ORPHAN_AGE_S
from dqm.store.tables import masks as mask_table
from dqm.store.tables import runs as run_table
from dqm.store.tables import trend_points, trend_rollups

NOON = 1_720_440_000.0
LATER = NOON + 1000 * DAY
AFTER_90 = RetentionSettings(rules=[RetentionRuleSettings(points_days=90, states_days=90)])


def a_run(
    store: Store, key: str, start: float, n_files: int = 25, category: str = "physics", closed: bool = True
) -> int:
    """A run with files, a point of one trend for each, and an element with a state."""
    with store.begin() as tx:
        run_id = runs.ensure(tx, key, int(key), category, [])
        for i in range(n_files):
            time = start + 600.0 * i
            file_id = files.add(tx, f"/{key}/{i}.h5", "/", 1, 1, "", time)
            files.update(tx, file_id, run_id=run_id, state="done", counted=True, start=time, end=time + 600)
            value = TrendValue(None if i % 5 == 4 else float(i), "Hz", reason="too short")
            trends.save(tx, "P", file_id, run_id, time, time + 600, {"x": value})
        base = store.states.put(f"state of {key}".encode())
        element = Element(
            run_id, key, "P", 1, None, 0, base, True, 10, ElementState.OK, "", "", False,
            {"x": TrendValue(1.5, "Hz")}, start,
        )  # fmt: skip
        elements.save(tx, element)
        runs.recount(tx, run_id)
        tx.execute(run_table.update().where(run_table.c.id == run_id).values(closed=closed))
    return run_id


def keep_rules(store: Store, wanted: RetentionSettings, now: float = LATER) -> None:
    drop(store, wanted, store.begin, now, 1e9)


def n_points(store: Store, run_id: int) -> int:
    with store.read() as tx:
        return tx.scalar(sa.select(sa.func.count()).where(trend_points.c.run_id == run_id)) or 0


def series(store: Store, resolution: Any = None) -> Any:
    with store.read() as tx:
        return trends.series(tx, trends.names(tx)[0].id, NOON - 1e9, NOON + 1e9, 100, resolution)


def test_points_go_and_their_hours_and_days_stay_as_they_were(store: Store) -> None:
    old = a_run(store, "1", NOON)
    new = a_run(store, "2", LATER - DAY)
    before = [series(store, step).rollups for step in ("hour", "day")]
    keep_rules(store, AFTER_90)
    after = [series(store, step) for step in ("hour", "day")]
    assert (n_points(store, old), n_points(store, new)) == (0, 25)
    for was, found in zip(before, after, strict=True):
        assert [(r.time, r.count, r.unknown, r.low, r.high, r.first, r.last) for r in was] == [
            (r.time, r.count, r.unknown, r.low, r.high, r.first, r.last) for r in found.rollups
        ]
        assert [r.mean for r in was] == pytest.approx([r.mean for r in found.rollups])
        assert (found.kept, found.kept_until) == (25, NOON + 24 * 600)
    assert series(store).resolution == "hour"
    with store.read() as tx:
        assert trends.span(tx) == (NOON, LATER - DAY + 24 * 600)
        (entry,) = [e for e in audit.of(tx, "run 1") if e["action"].startswith("points")]
    assert entry["actor"] == retention.ACTOR


def test_states_go_numbers_stay_and_the_page_is_told(store: Store) -> None:
    old = a_run(store, "1", NOON)
    a_run(store, "2", LATER)
    with store.read() as tx:
        before = elements.of_run(tx, old)["P"]
        seq = notices.last(tx)
    assert before.base
    keep_rules(store, AFTER_90)
    with store.read() as tx:
        after = elements.of_run(tx, old)["P"]
        told = [(notice.topic, notice.key) for notice in notices.after(tx, seq)]
    assert (after.base, after.trends, after.version) == (DROPPED, before.trends, before.version + 1)
    assert ("element", "1/P") in told
    assert store.states.missing({DROPPED}) == set()  # nobody is alarmed
    assert collect(store, 1e11) == 1
    with pytest.raises(KeyError):
        store.states.get(before.base)


def test_the_newest_run_and_open_runs_are_never_touched(store: Store) -> None:
    open_one = a_run(store, "1", NOON, closed=False)
    newest = a_run(store, "2", NOON + DAY)
    keep_rules(store, AFTER_90)
    assert (n_points(store, open_one), n_points(store, newest)) == (25, 25)
    with store.read() as tx:
        assert {e.base for run in (open_one, newest) for e in elements.of_run(tx, run).values()}.isdisjoint({DROPPED})


def test_a_run_that_was_opened_again_meanwhile_is_left_alone(store: Store) -> None:
    old = a_run(store, "1", NOON)
    a_run(store, "2", LATER)
    with store.read() as tx:
        (found,) = retention.due(tx, [RetentionRule(points_days=90)], "points", LATER)
    with store.begin() as tx:
        runs.reopen(tx, old)
        assert not retention.bite(tx, found)
    assert n_points(store, old) == 25


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        ([], []),
        ([{"points_days": 0}], []),
        ([{"points_days": 2000}], []),
        ([{"category": "laser", "points_days": 30}], ["2"]),
        ([{"certification": "good", "points_days": 0}, {"points_days": 30}], ["2"]),
        ([{"states_days": 0}, {"points_days": 30}], ["1", "2"]),
        ([{"category": "laser", "points_days": 0}, {"points_days": 30}], ["1"]),
    ],
)
def test_the_first_rule_that_fits_and_says_something_decides(
    store: Store, rules: list[dict[str, Any]], gone: list[str]
) -> None:
    ids = {"1": a_run(store, "1", NOON), "2": a_run(store, "2", NOON + DAY, category="laser")}
    a_run(store, "3", LATER)
    with store.begin() as tx:
        tx.execute(run_table.update().where(run_table.c.id == ids["1"]).values(certification="good"))
    keep_rules(store, RetentionSettings(rules=[RetentionRuleSettings(**rule) for rule in rules]))
    assert [key for key, run in ids.items() if not n_points(store, run)] == gone


def test_a_file_whose_points_were_dropped_is_never_counted_twice(store: Store) -> None:
    old = a_run(store, "1", NOON)
    a_run(store, "2", LATER)
    keep_rules(store, AFTER_90)
    before = series(store)
    with store.begin() as tx:
        read_again = files.at(tx, "/1/3.h5")
        assert read_again
        trends.save(tx, "P", read_again.id, old, NOON + 1800, None, {"x": TrendValue(3.0, "Hz")})
        files.retire(tx, read_again.id, FileState.REPLACED, "its name holds something else")
        instead = files.add(tx, "/1/3.h5", "/", 2, 2, "", NOON)
        files.update(tx, instead, run_id=old, state="done", counted=True, start=NOON + 1800)
        trends.save(tx, "P", instead, old, NOON + 1800, None, {"x": TrendValue(3.5, "Hz")})
    assert series(store) == before
    with store.begin() as tx:  # one that nobody had seen is counted beside them
        late = files.add(tx, "/1/late.h5", "/", 2, 2, "", NOON)
        trends.save(tx, "P", late, old, NOON + 60, None, {"x": TrendValue(500.0, "Hz")})
    assert series(store).files == before.files + 1
    assert series(store, "hour").rollups[0].high == 500.0


def test_hours_of_dropped_points_go_after_their_days_and_days_stay(store: Store) -> None:
    a_run(store, "1", NOON)
    a_run(store, "2", LATER - DAY)
    wanted = RetentionSettings(rules=[RetentionRuleSettings(points_days=90)], hours_days=200)
    days = series(store, "day").rollups
    keep_rules(store, wanted)
    with store.read() as tx:
        assert retention.hours_due(tx, 200, LATER) == 0
        assert tx.scalar(sa.select(sa.func.count()).where(trend_rollups.c.kept, trend_rollups.c.seconds == HOUR)) == 0
    found = series(store, "hour")
    assert found.resolution == "day"
    assert [(r.time, r.count, r.low, r.high) for r in found.rollups] == [(r.time, r.count, r.low, r.high) for r in days]
    with store.read() as tx:  # where nothing was dropped there are still points
        near = trends.series(tx, trends.names(tx)[0].id, LATER - DAY, LATER, 100)
    assert (near.resolution, near.files) == ("file", 25)


def test_a_dry_run_says_what_would_go_and_drops_nothing(store: Store) -> None:
    old = a_run(store, "1", NOON)
    a_run(store, "2", LATER)
    found = report(store, AFTER_90, LATER)
    assert found.lines() == [
        "points older than 90 days: 1 runs, 25 points of 25 files; their hours and days stay",
        "states older than 90 days: 1 runs, 1 states, 0.0 MB; their numbers stay",
    ]
    assert {one["run"] for one in found.to_json()["runs"]} == {"1"}
    assert n_points(store, old) == 25
    keep_rules(store, AFTER_90)
    assert report(store, AFTER_90, LATER).lines() == ["nothing is old enough to be dropped"]
    assert "everything is kept" in report(store, RetentionSettings(), LATER).lines()[0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.lists(st.tuples(st.floats(0, 2 * DAY), st.floats(-100, 100)), min_size=1, max_size=20),
    order=st.lists(st.integers(0, 19), max_size=10),
)
def test_in_whatever_order_points_are_dropped_the_sum_of_hours_and_of_days_stays(
    store: Store, points: list[tuple[float, float]], order: list[int]
) -> None:
    with store.begin() as tx:
        for table in (trend_rollups, trend_points):
            tx.execute(table.delete())
        run_id = runs.ensure(tx, "1", 1, "physics", [])
        for i, (after, value) in enumerate(points):
            trends.save(tx, "P", i, run_id, NOON + after, None, {"x": TrendValue(value, "Hz")})
    for i in order:
        with store.begin() as tx:
            retention.condense(tx, [i])
    for seconds in (HOUR, DAY):
        with store.read() as tx:
            name = trends.names(tx)[0]
            found = rollups.of_trend(tx, name.id, seconds, 0, 1e12)
        assert sum(r.count for r in found) == len(points)
        assert sum(r.total or 0 for r in found) == pytest.approx(sum(value for _, value in points), abs=1e-9)
        assert min(r.low for r in found if r.low is not None) == min(value for _, value in points)
        assert sum(r.kept for r in found) == len({i for i in order if i < len(points)})


def test_a_mask_goes_when_nobody_looked_at_it_for_long_and_not_before(store: Store) -> None:
    wanted = RetentionSettings(masks_days=30)
    unused, used, again = (f"{number:024x}" for number in range(3))
    with store.begin() as tx:
        for address in (unused, used, again):
            assert masks.save(tx, address, "{}", 1, "ada")
        now = tx.scalar(sa.select(sa.func.max(mask_table.c.created))) or 0.0
        assert masks.use(tx, used, now + 20 * DAY)
        tx.execute(mask_table.update().where(mask_table.c.address == again).values(used=now - 100 * DAY))
        assert not masks.save(tx, again, "{}", 1, "bob")  # who makes it once more looks at it, too
    keep_rules(store, wanted, now + 29 * DAY)
    keep_rules(store, RetentionSettings(masks_days=0), now + 1000 * DAY)
    assert known_masks(store) == {unused, used, again}
    told = report(store, wanted, now + 31 * DAY)
    assert (told.lines()[-1], told.to_json()["masks"]) == ("masks that nobody looked at for 30 days: 2", 2)
    keep_small(store, wanted, store.begin, now + 31 * DAY)
    assert known_masks(store) == {used}
    with store.begin() as tx:
        (entry,) = audit.of(tx, "masks")
        assert not masks.use(tx, unused, now)
    assert (entry["actor"], entry["after"]["masks"]) == (retention.ACTOR, [unused, again])
    assert report(store, wanted, now + 31 * DAY).empty


def known_masks(store: Store) -> set[str]:
    with store.read() as tx:
        return set(tx.scalars(sa.select(mask_table.c.address)))


def test_many_masks_go_in_short_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.begin() as tx:
        for number in range(450):
            masks.save(tx, f"{number:024x}", "{}", 1, "ada")
    begun: list[int] = []

    @contextmanager
    def begin() -> Iterator[Any]:
        begun.append(len(known_masks(store)))
        with store.begin() as tx:
            yield tx

    drop(store, RetentionSettings(masks_days=1), begin, LATER + 1e9, 1e9)
    assert begun == [450, 250, 50]
    drop(store, RetentionSettings(masks_days=1), begin, LATER + 1e9, 1e9)
    assert len(begun) == 3  # nothing is to be dropped: nobody waits to write


def test_states_are_not_collected_while_a_backup_copies_them(store: Store) -> None:
    orphan = store.states.put(b"named a moment ago")
    with store.begin() as tx:
        watchers.back_up(tx, "backup", until=1e11)
    keep_small(store, AFTER_90, store.begin, 1e11)
    assert store.states.get(orphan)
    with store.begin() as tx:
        watchers.backed_up(tx, "backup")
    assert ORPHAN_AGE_S > 60
    keep_small(store, AFTER_90, store.begin, 1e11)
    with pytest.raises(KeyError):
        store.states.get(orphan)
