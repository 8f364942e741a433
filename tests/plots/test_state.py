"""Leaves add exactly, whatever the order and the cuts, and stay bounded."""

from __future__ import annotations

import json

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqm.formats.packets import cut
from plots.base import Extent, KeyedCounts, LiveTime, Scatter, Series, State, Versions, WrongState, tally
from tests.conftest import packets_of

SECOND = 10_000_000


def pieces(values: np.ndarray, edges: list[int]) -> list[np.ndarray]:
    return np.split(values, sorted(edge % (len(values) + 1) for edge in edges))


def same(one: object, other: object) -> bool:
    mine, theirs = one.to_arrays(), other.to_arrays()  # type: ignore[attr-defined]
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[key], theirs[key]) for key in mine)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can reach."""
    monkeypatch.setattr(Series, "LIMIT", 8)
    monkeypatch.setattr(LiveTime, "LIMIT", 6)
    monkeypatch.setattr(KeyedCounts, "LIMIT", 5)
    monkeypatch.setattr(Versions, "LIMIT", 5)


times = st.lists(st.integers(0, 60) | st.integers(0, 2**33), max_size=40).map(lambda x: np.array(x, np.int64))
edges = st.lists(st.integers(0, 100), max_size=4)


@given(times, edges, st.randoms())
def test_a_series_is_the_same_for_any_cut_and_order_and_stays_bounded(
    unix: np.ndarray, cuts: list[int], random
) -> None:
    column = unix % 3
    whole = Series.of(unix, column, 3)
    parts = list(zip(pieces(unix, cuts), pieces(column, cuts), strict=True))
    random.shuffle(parts)
    total = Series.of(unix[:0], column[:0], 3)
    for part in parts:
        total += Series.of(*part, 3)
    assert same(total, whole)
    assert len(whole.seconds) <= Series.LIMIT
    assert whole.counts.sum() == len(unix)
    assert (whole.seconds % whole.width == 0).all()


def test_a_series_leaves_out_rows_without_a_time() -> None:
    assert Series.of(np.array([-1, 5, -1]), np.zeros(3, int), 1).counts.tolist() == [[1]]


def test_gaps_of_a_series_are_drawn_as_gaps() -> None:
    edges, rates = Series.of(np.array([5, 5, 6, 9]), np.zeros(4, int), 1).per_second()
    assert edges.tolist() == [5, 6, 7, 9, 10]
    np.testing.assert_array_equal(rates[:, 0], [2, 1, np.nan, 1])


def test_seconds_that_are_not_whole_are_not_drawn_where_a_span_is_long_enough_to_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Series, "LIMIT", 100)
    seconds = np.array([*range(10, 16), 20, 21, *range(30, 35)])
    edges, rates = Series.of(np.repeat(seconds, 2), np.zeros(2 * len(seconds), int), 1).whole_seconds()
    drawn = dict(zip(edges[:-1].tolist(), rates[:, 0].tolist(), strict=True))
    assert [second for second, rate in drawn.items() if rate == 2] == [11, 12, 13, 14, 20, 21, 31, 32, 33]
    assert all(np.isnan(drawn[second]) for second in (10, 15, 16, 22, 30, 34))


def test_a_series_without_a_bin_has_no_whole_seconds() -> None:
    edges, rates = Series.of(np.zeros(0, int), np.zeros(0, int), 3).whole_seconds()
    assert len(edges) == 0
    assert rates.shape == (0, 3)


spans = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 40)), max_size=30)


@given(spans, edges, st.randoms())
def test_live_time_is_the_same_for_any_cut_and_order_and_stays_bounded(points: list, cuts: list[int], random) -> None:
    rows = packets_of(len(points), valid_parity=1)
    rows["io_group"] = [group for group, _ in points]
    rows["timestamp"] = [tenths * SECOND for _, tenths in points]
    rows["timestamp"] %= 2**31
    whole = live_of(rows)
    parts = pieces(rows, cuts)
    random.shuffle(parts)
    total = LiveTime()
    for part in parts:
        total += live_of(part)
    assert same(total, whole)
    assert sum(map(len, whole.spans.values())) <= LiveTime.LIMIT


def live_of(rows: np.ndarray) -> LiveTime:
    total = LiveTime()
    for block in cut(rows):
        total += LiveTime.of(block)
    return total


def test_live_time_is_the_span_without_gaps_over_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveTime, "LIMIT", 100)
    live = live_of(packets_of(5, valid_parity=1, io_group=1, timestamp=np.array([0, 1, 3, 6, 7]) * SECOND))
    assert live.seconds(1) == 3 + 1
    assert live.seconds(2) == 0
    assert live.longest() == 4


def test_invalid_data_do_not_make_live_time() -> None:
    assert live_of(packets_of(2, valid_parity=0, io_group=1, timestamp=[0, SECOND])).longest() == 0


def test_rates_are_unknown_below_one_second_of_live_time() -> None:
    live = live_of(packets_of(4, valid_parity=1, io_group=[1, 1, 2, 2], timestamp=[0, 2 * SECOND, 0, SECOND // 2]))
    np.testing.assert_array_equal(live.per_second(np.array([10, 10, 10]), np.array([1, 2, 3])), [5, np.nan, np.nan])


@given(st.lists(st.integers(0, 12), max_size=40).map(lambda x: np.array(x, np.int64)), edges)
def test_keyed_counts_keep_the_smallest_keys_exactly(keys: np.ndarray, cuts: list[int]) -> None:
    total = KeyedCounts.of(keys[:0])
    for part in pieces(keys, cuts):
        total += KeyedCounts.of(part)
    distinct, counts = np.unique(keys, return_counts=True)
    assert total.keys.tolist() == distinct[:5].tolist()
    assert total.counts.tolist() == counts[:5].tolist()
    assert total.total == len(keys)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-1, 9)), max_size=30), edges)
def test_versions_keep_each_distinct_row_once_with_its_times_in_any_order(seen: list, cuts: list[int]) -> None:
    table = np.array(seen, np.int64).reshape(-1, 3)

    def versions(part: np.ndarray) -> Versions:
        return Versions.of(part[:, 0] << 40, np.stack([part[:, 1], part[:, 1] * 0], axis=1), part[:, 2])

    parts = [versions(part) for part in pieces(table, cuts)]
    total, backwards = versions(table[:0]), versions(table[:0])
    for part in parts:
        total += part
    for part in reversed(parts):
        backwards += part
    distinct = sorted({(key, row) for key, row, _ in seen})[:5]
    times = [[time for key, row, time in seen if (key, row) == one] for one in distinct]
    for found in (total, backwards):
        assert [
            (key >> 40, row[0]) for key, row in zip(found.keys.tolist(), found.rows.tolist(), strict=True)
        ] == distinct
        assert found.first.tolist() == [min(of) for of in times]
        assert found.last.tolist() == [max(of) for of in times]


def test_the_newest_version_of_a_key_is_the_one_that_was_seen_last_and_came_last() -> None:
    keys, rows = np.array([1, 1, 2, 1]), np.array([[7], [8], [9], [6]])
    seen = Versions.of(keys, rows, np.array([10, 20, 5, 15]))
    seen += Versions.of(keys[3:], rows[3:], np.array([20]))
    assert seen.rows[seen.newest()].ravel().tolist() == [8, 9]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), max_size=20), edges)
def test_extents_are_those_of_the_whole(points: list, cuts: list[int]) -> None:
    table = np.array(points, np.int64).reshape(-1, 2)
    total = Extent.of(4, table[:0, 0], table[:0, 1])
    for part in pieces(table, cuts):
        total += Extent.of(4, part[:, 0], part[:, 1])
    for place in range(4):
        values = table[table[:, 0] == place, 1]
        assert bool(total.seen[place]) == bool(len(values))
        if len(values):
            assert (total.low[place], total.high[place]) == (values.min(), values.max())


def test_a_tally_counts_index_tuples_and_refuses_what_is_outside() -> None:
    assert tally((2, 3), np.array([0, 1, 1]), np.array([2, 0, 0])).tolist() == [[0, 0, 1], [2, 0, 0]]
    assert tally((3,), np.array([1, 1]), weights=np.array([5, 7])).tolist() == [0, 12, 0]
    with pytest.raises(IndexError, match="index from 3 to 3 is outside"):
        tally((2, 3), np.array([0]), np.array([3]))
    with pytest.raises(IndexError):
        tally((3,), np.array([3]))


def state(**leaves: object) -> State:
    return State("P", 1, None).add(leaves)


def test_a_scatter_adds_repeats() -> None:
    total = state(a=Scatter(4, np.array([1, 1, 3]))).add({"a": Scatter(4, np.array([1]), np.array([10]))})
    assert total["a"].tolist() == [0, 12, 0, 1]
    with pytest.raises(WrongState, match="cannot add 5 places"):
        total.add({"a": Scatter(5, np.array([1]))})


def test_small_integer_columns_do_not_overflow_in_a_state() -> None:
    total = state(a=np.array([200], np.uint8)).add({"a": np.array([100], np.uint8)})
    assert total["a"].tolist() == [300]


def test_a_state_does_not_keep_hold_of_what_was_added() -> None:
    first = np.array([1, 2])
    total = state(a=first, s=Series.of(np.array([3]), np.array([0]), 1))
    total.add({"a": np.array([1, 1])})
    assert first.tolist() == [1, 2]


@pytest.mark.parametrize("change", [{"plot": "Q"}, {"version": 2}, {"geometry": "2x2-abc"}])
def test_states_of_another_plot_version_or_geometry_do_not_merge(change: dict) -> None:
    other = State(**{"plot": "P", "version": 1, "geometry": None, **change})
    with pytest.raises(WrongState, match="cannot merge"):
        state(a=np.array([1])).merge(other)


def test_a_leaf_that_changes_its_shape_is_refused() -> None:
    with pytest.raises(WrongState, match="changed its shape"):
        state(a=np.zeros(3, int)).add({"a": np.zeros(1, int)})


def test_half_an_increment_never_stays() -> None:
    total = state(a=np.array([1, 1]), b=np.array([0]))
    with pytest.raises(WrongState):
        total.add({"a": np.array([5, 5]), "b": np.array([1, 2])})
    assert total["a"].tolist() == [1, 1]


def test_a_state_of_one_geometry_is_not_read_back_for_another() -> None:
    from dqm.detector import demo_detector

    data = state(a=np.array([1])).to_json()
    with pytest.raises(WrongState, match="belongs to geometry None"):
        State.from_json(data, demo_detector())


@pytest.mark.parametrize("leaf", ["text", np.array(["a"]), [1, 2], np.array([object()])])
def test_a_leaf_that_cannot_add_is_refused(leaf: object) -> None:
    with pytest.raises(WrongState):
        state(a=leaf)


def test_histograms_of_hist_add_and_go_through_json() -> None:
    def spectrum(values: list[float]) -> hist.Hist:
        return hist.Hist.new.Reg(10, 0, 10, name="x", label="x [cm]").Int64().fill(values)

    total = state(h=spectrum([1.5, 2.5])).add({"h": spectrum([2.5])})
    assert total["h"].values()[1:3].tolist() == [1, 2]
    back = State.from_json(json.loads(json.dumps(total.to_json())))
    assert back["h"] == total["h"]
    assert back["h"].axes[0].label == "x [cm]"


def test_histograms_that_do_not_merge_exactly_are_refused() -> None:
    with pytest.raises(WrongState, match="does not merge exactly"):
        state(h=hist.Hist.new.Reg(3, 0, 1).Mean())
    with pytest.raises(WrongState, match="growing axis"):
        state(h=hist.Hist.new.StrCat([], growth=True).Int64())


def test_every_kind_of_leaf_goes_through_json_bit_for_bit() -> None:
    total = state(
        numbers=np.arange(5),
        floats=np.array([0.1, 0.2]),
        series=Series.of(np.array([3, 4, 4]), np.array([0, 1, 1]), 2),
        live=live_of(packets_of(2, valid_parity=1, io_group=1, timestamp=[0, SECOND])),
        extent=Extent.of(3, np.array([1]), np.array([-7])),
        keyed=KeyedCounts.of(np.array([2**40, 3, 3])),
        versions=Versions.of(np.array([2**40, 3]), np.array([[1, 0], [0, 0]]), np.array([-1, 5])),
    )
    back = State.from_json(json.loads(json.dumps(total.to_json())))
    assert back.keys() == total.keys()
    mine, theirs = total.to_arrays(), back.to_arrays()
    assert all(np.array_equal(mine[key], theirs[key]) and mine[key].dtype == theirs[key].dtype for key in mine)
