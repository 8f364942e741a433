"""What several plots counted goes into one file and comes back from it, bit for bit."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plots.base import Increment, LiveTime, Scatter, Series, State
from plots.packs import SPARSE_FROM, add_delta, sparse, taken_apart, together

numbers = arrays.arrays(np.int64, st.integers(0, 60), elements=st.integers(-(2**63), 2**63 - 1))


def of_state(leaves: dict) -> State:
    return State("A", 1, None).add(leaves)


@given(numbers, numbers, arrays.arrays(np.float64, st.integers(0, 9)))
def test_any_numbers_come_back_as_they_were(one: np.ndarray, other: np.ndarray, floats: np.ndarray) -> None:
    content = together({"A": {"one": one, "floats": floats}, "B": {"other": other}, "C": {}})
    back = taken_apart(content)
    assert back.keys() == {"A", "B", "C"}
    assert np.array_equal(back["A"]["one"], one)
    assert back["A"]["one"].dtype == np.int64
    assert back["A"]["floats"].tobytes() == floats.tobytes()
    assert np.array_equal(taken_apart(content, "B")["B"]["other"], other)
    assert taken_apart(content, "B").keys() == {"B"}


@given(st.dictionaries(st.integers(0, 2 * SPARSE_FROM - 1), st.integers(-(2**62), 2**62), max_size=50), st.booleans())
def test_a_large_array_of_which_little_changed_adds_as_all_of_it(places: dict[int, int], dense: bool) -> None:
    array = np.full(2 * SPARSE_FROM, 3 if dense else 0)
    for place, value in places.items():
        array[place] = value
    (back,) = taken_apart(together({"A": {"map": array}})).values()
    assert isinstance(back["map"], np.ndarray if dense else Scatter)
    start = np.arange(2 * SPARSE_FROM)
    assert np.array_equal(of_state({"map": start}).add(back)["map"], start + array)


def test_what_two_plots_have_in_common_is_there_once() -> None:
    same = np.random.default_rng(1).integers(0, 1 << 30, 20_000)
    alone, both = (len(together({name: {"map": same} for name in names})) for names in (["A"], ["A", "B"]))
    assert both < alone + 1000
    assert together({"B": {"map": same}, "A": {"map": same}}) == together({"A": {"map": same}, "B": {"map": same}})


@given(st.lists(st.booleans(), min_size=1, max_size=4))
def test_places_and_whole_arrays_add_up_in_any_order(kinds: list[bool]) -> None:
    own = np.zeros(SPARSE_FROM, np.int64)
    own[[1, 5]] = 2, 7
    total = Increment()
    for few in kinds:
        total.collect(sparse({"map": own}) if few else {"map": own})
    assert np.array_equal(of_state({"map": np.zeros_like(own)}).add(total)["map"], len(kinds) * own)
    assert own.tolist()[:6] == [0, 2, 0, 0, 0, 7]  # what was added is not changed by it


def test_a_delta_adds_whether_it_is_of_all_plots_or_of_this_one_alone() -> None:
    times = np.array([5, 6, 6])
    leaves = {"by": Series.of(times, times * 0, 1), "live": LiveTime({1: np.array([[0, 9]])}), "n": np.array([4])}
    alone = Increment(leaves).to_bytes()
    for content in (alone, together({"A": leaves, "B": {"n": np.array([100])}})):
        state = add_delta(of_state(leaves), content)
        assert state["n"].tolist() == [8]
        assert state["by"].counts.tolist() == [[2], [4]]
        assert state["live"].seconds(1) == 9e-7
    assert add_delta(of_state(leaves), together({"B": leaves}))["n"].tolist() == [4]


def test_a_slice_of_an_earlier_larboard_is_read() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{"A/n": np.array([4]), "B/m": np.array([5])})
    assert taken_apart(buffer.getvalue(), "B")["B"]["m"].tolist() == [5]
    assert taken_apart(buffer.getvalue()).keys() == {"A", "B"}
