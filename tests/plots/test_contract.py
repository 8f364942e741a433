"""Every built-in and both examples keep the contract, and the contract catches plots that do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.demo import demo_rows
from dqm.detector import demo_detector
from dqm.formats.packets import cut
from plots import contract
from plots.base import MergeablePlot, Plot, Trend, load_figure
from plots.discovery import discover, load_file

EXAMPLES = Path(contract.__file__).parent / "examples"
BUILT_IN = {name: found.plot for name, found in discover().plots.items()}
ALL = BUILT_IN | {
    name: found.plot
    for file in ("simple_plot.py", "mergeable_plot.py")
    for name, found in load_file(EXAMPLES / file).plots.items()
}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return demo_rows()[:6000]


def cases() -> Iterator[object]:
    for name, plot in ALL.items():
        for sentence, check in contract.sentences(plot):
            yield pytest.param(plot, check, id=f"{name}: {sentence}")


@pytest.mark.parametrize(("plot", "check"), list(cases()))
def test_the_contract(plot: type[Plot], check: object, rows: np.ndarray) -> None:
    check(plot, rows, demo_detector())  # type: ignore[operator]


def test_the_eight_plots_are_there_and_all_merge() -> None:
    eight = {"PacketRate", "ParityErrors", "FifoFlags", "TileRate", "AdcSpectrum", "PixelMap", "HotPixels", "SyncDt"}
    assert eight <= set(BUILT_IN)
    assert all(issubclass(plot, MergeablePlot) for plot in BUILT_IN.values())


def test_one_example_of_each_kind_is_shipped() -> None:
    kinds = {issubclass(plot, MergeablePlot) for name, plot in ALL.items() if name not in BUILT_IN}
    assert kinds == {True, False}


@pytest.mark.parametrize("name", sorted(BUILT_IN))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 1500), max_size=8))
def test_states_are_equal_bit_for_bit_for_any_cut(name: str, sizes: list[int], rows: np.ndarray) -> None:
    plot = BUILT_IN[name]()
    assert isinstance(plot, MergeablePlot)
    states = []
    for blocks in (cut(rows, [], demo_detector()), cut(rows, sizes, demo_detector())):
        state = plot.start(demo_detector())
        for packets in blocks:
            state.add(plot.count(packets))
        states.append(state)
    assert contract.same_state(*states)


# plots that break one sentence each -------------------------------------------------------------------------------


class _Draws(MergeablePlot):
    title = "a plot"
    fields = ("dataword",)

    def count(self, packets):
        return {"n": np.array([len(packets)])}

    def draw(self, state, fig):
        fig.add_bar(y=state["n"])
        fig.update_layout(xaxis_title="x [cm]", yaxis_title="packets")


class CountsBlocks(_Draws):
    def count(self, packets):
        return {"n": np.array([1])}


class FailsOnEmpty(_Draws):
    def count(self, packets):
        return {"n": packets["dataword"].max(keepdims=True)}


class KeepsMemoryInItself(Plot):
    title = "a plot"
    seen = 0

    def __call__(self, packets, fig):
        self.seen += len(packets)
        fig.data = ()
        fig.add_bar(y=[self.seen])
        fig.update_layout(xaxis_title="x [cm]", yaxis_title="packets")


class HasNoUnits(_Draws):
    def draw(self, state, fig):
        super().draw(state, fig)
        fig.update_layout(xaxis_title="distance")


class HasATrendWithoutUnit(_Draws):
    def trends(self, state):
        return {"n": Trend(1, "")}


class HasANullTrendWithoutReason(_Draws):
    def trends(self, state):
        return {"n": Trend(None, "packets")}


class NeedsAGeometry(_Draws):
    def draw(self, state, fig):
        super().draw(state, fig)
        assert state.detector.name


@pytest.mark.parametrize(
    ("plot", "sentence"),
    [
        (CountsBlocks, "any cut into blocks gives the same result"),
        (FailsOnEmpty, "empty input is legal and changes nothing"),
        (KeepsMemoryInItself, "stopping and resuming changes nothing"),
        (HasNoUnits, "its axes have titles with units"),
        (HasATrendWithoutUnit, "every trend has a unit, and a reason when it is null"),
        (HasANullTrendWithoutReason, "every trend has a unit, and a reason when it is null"),
        (NeedsAGeometry, "it works without a geometry"),
    ],
)
def test_the_contract_catches_a_plot_that(plot: type[Plot], sentence: str, rows: np.ndarray) -> None:
    outcomes = {outcome.sentence: outcome for outcome in contract.check_plot(plot, rows, demo_detector())}
    assert not outcomes[sentence].passed
    assert outcomes[sentence].why


def test_the_contract_passes_a_plain_good_plot(rows: np.ndarray) -> None:
    assert all(outcome.passed for outcome in contract.check_plot(_Draws, rows, demo_detector()))


def test_a_trend_is_never_nan() -> None:
    assert Trend(float("nan"), "Hz").value is None
    assert Trend(np.float64("inf"), "Hz").value is None
    assert Trend(np.int64(3), "Hz").value == 3


def test_a_figure_read_back_has_arrays_again() -> None:
    fig = go.Figure(go.Heatmap(z=np.arange(6, dtype=np.float32).reshape(2, 3)))
    back = load_figure(json.loads(fig.to_json(engine="orjson")))
    assert back.data[0].z.shape == (2, 3)
    assert back.data[0].z.dtype == np.float32


DOES_WITHOUT = {name: plot for name, plot in BUILT_IN.items() if plot.without is not MergeablePlot.without}  # type: ignore[attr-defined]


def test_maps_and_rates_of_channels_do_without_some() -> None:
    assert set(DOES_WITHOUT) == {"PixelMap", "HotPixels", "AdcMeans", "SilentChannels", "ChipRate"}


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_channels_may_be_left_out_of_a_state_as_if_they_had_sent_nothing(
    rows: np.ndarray, data: st.DataObject
) -> None:
    some = rows[:600].copy()
    strangers = data.draw(st.lists(st.integers(0, len(some) - 1), max_size=20))
    some["io_channel"][strangers] = 200  # channels that are no pixels
    seen = contract._channels(some)
    chosen = data.draw(st.lists(st.sampled_from(seen.tolist()), unique=True))
    more = data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=5))
    where = data.draw(st.sampled_from([demo_detector(), None]))
    for plot in DOES_WITHOUT.values():
        contract.check_left_out(plot, some, where, np.unique(np.array(chosen + more, np.int64)))


def test_a_plot_that_leaves_the_wrong_channels_out_is_caught(rows: np.ndarray) -> None:
    class Forgetful(DOES_WITHOUT["SilentChannels"]):  # type: ignore[misc, name-defined]
        def without(self, state: object, left_out: object) -> object:
            return state

    with pytest.raises(contract.Unmet, match="is not that of the packets without them"):
        contract.leaves_channels_out(Forgetful, rows, demo_detector())
