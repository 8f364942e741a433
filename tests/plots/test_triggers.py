"""What the plots of triggers say of spills that are known: their edge, their charge, their settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dqm.demo import DemoRun, demo_rows
from dqm.detector import demo_detector
from dqm.formats.packets import cut
from dqm.settings import PlotSettings
from plots.base import MergeablePlot, State
from plots.discovery import Shelf, discover
from plots.drift_edge import BIN_US, BINS, TRIGGER, drift_edge
from plots.options import Options
from plots.trigger_intervals import TriggerIntervals
from plots.trigger_packets import TriggerCharge, TriggerPackets
from tests.conftest import packets_of


def counted(plot: MergeablePlot, rows: np.ndarray, geometry: bool = True) -> State:
    detector = demo_detector() if geometry else None
    state = plot.start(detector)
    for packets in cut(rows, [len(rows) // 3], detector):
        state.add(plot.count(packets))
    return state


def histogram(times_us: np.ndarray) -> np.ndarray:
    return np.histogram(times_us, bins=BINS, range=(-TRIGGER * BIN_US, (BINS - TRIGGER) * BIN_US))[0]


def spill(
    random: np.random.Generator, drift_us: float, tracks: int, hits: int = 100, spill_us: float = 0, any_time: int = 500
) -> np.ndarray:
    """Hits of tracks that each cross the whole drift, and others at any time [us since the trigger]."""
    start = np.repeat(random.uniform(0, spill_us, tracks), hits) if spill_us else 0.0
    return histogram(
        np.append(start + random.uniform(0, drift_us, tracks * hits), random.uniform(-200, 1000, any_time))
    )


# the edge ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drift_us", [120.0, 183.5, 189.6, 283.0, 467.0])
@pytest.mark.parametrize("spill_us", [0.0, 10.0])
def test_the_edge_is_the_full_drift_and_half_the_spill_within_its_error(drift_us: float, spill_us: float) -> None:
    random = np.random.default_rng(1)
    pulls = []
    for _ in range(40):
        edge = drift_edge(spill(random, drift_us, 40, spill_us=spill_us))
        assert edge.us is not None
        assert edge.us == pytest.approx(drift_us + spill_us / 2, rel=0.02)
        pulls.append((edge.us - drift_us - spill_us / 2) / edge.error_us)
    assert np.std(pulls) < 2


def test_bursts_and_noise_do_not_move_the_edge() -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        values = spill(random, 185.0, 100, any_time=20_000)
        values[TRIGGER + 30 : TRIGGER + 32] += 800
        values[TRIGGER + 300] += 50
        edge = drift_edge(values)
        assert edge.us == pytest.approx(185.0, abs=4)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros(BINS), "0 packets more than at other times, it takes 200"),
        (np.full(BINS, 1000.0), "0 packets more"),
        (np.random.default_rng(3).poisson(5000, BINS), "do not stand out after the triggers"),
        (np.where(np.arange(BINS) > TRIGGER, 50, 0), "go on to the end of the window of 1,000 us"),
        (histogram(np.add.outer([0, 30, 62, 75, 120, 172], np.linspace(0, 12, 100)).ravel()), "the edge is known to"),
        (histogram(np.full(1000, 150.0)), "come in bursts, not over a whole drift"),
        (
            histogram(np.append(np.linspace(0, 185, 3000), np.repeat([400.0, 403.0], 200))),
            "come in bursts behind the edge, too",
        ),
    ],
)
def test_without_an_edge_there_is_a_reason(values: np.ndarray, reason: str) -> None:
    edge = drift_edge(values)
    assert edge.us is None
    assert reason in edge.reason


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_in_the_bins_there_is_an_edge_or_a_reason(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(300):
        values = np.zeros(BINS)
        for _ in range(random.integers(1, 6)):
            begin = random.integers(0, BINS)
            values[begin : begin + random.integers(1, 200)] += random.integers(-50, 1000)
        edge = drift_edge(values)
        assert np.isfinite(edge.us) if edge.us is not None else edge.reason


def test_a_few_tracks_make_no_edge_that_is_far_off_and_sure_of_it() -> None:
    """Six tracks that lie along the anode, each at its drift: mostly nothing is said."""
    random = np.random.default_rng(4)
    said = []
    for _ in range(200):
        centres = np.repeat(random.uniform(0, 185, 6), 60)
        edge = drift_edge(histogram(centres + random.uniform(-8, 8, len(centres))))
        said.append(edge.us is not None)
    assert np.mean(said) < 0.1


# the plots -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run() -> np.ndarray:
    return demo_rows(DemoRun(seed=5, duration_s=9, trigger_io_group=2))


def test_the_demo_drifts_as_long_as_it_is_made_to(run: np.ndarray) -> None:
    """30.27 cm at 1.648 mm/us are 183.7 us; the spill lasts 10 us."""
    trends = TriggerPackets().trends(counted(TriggerPackets(), run))
    edge = trends["drift_edge_us"]
    assert edge.value == pytest.approx(183.7 + 5, rel=0.02)
    assert edge.warn[0] < 183.7 < 193 < edge.warn[1] < edge.alarm[1]
    charge = TriggerCharge().trends(counted(TriggerCharge(), run))
    assert charge["charge_edge_us"].value == pytest.approx(edge.value, abs=2)
    assert charge["default_pedestal_fraction"].value == 1.0
    intervals = TriggerIntervals().trends(counted(TriggerIntervals(), run))
    assert intervals["triggers"].value == 8
    assert intervals["median_trigger_interval_s"].value == pytest.approx(1.2, rel=1e-5)


def test_every_io_group_has_its_packets_though_three_stand_before_the_trigger(run: np.ndarray) -> None:
    state = counted(TriggerPackets(), run)
    by_group = state["packets"].reshape(256, BINS).sum(axis=1)
    assert (by_group[1:5] > 500).all()
    assert by_group.sum() == by_group[1:5].sum()


def test_half_the_field_is_bad_and_its_line_is_drawn(run: np.ndarray) -> None:
    state = counted(TriggerPackets(), run)
    rows = state["packets"].reshape(256, BINS)
    slow = np.zeros_like(rows)
    for group in range(1, 5):  # each hit as much later as it drifts more slowly
        us = np.repeat((np.arange(BINS) - TRIGGER) * BIN_US, rows[group])
        slow[group] = histogram(np.where((us > 0) & (us < 200), us * 1.648 / 1.07, us) + 0.5)
    state["packets"] = slow.ravel()
    edge = TriggerPackets().trends(state)["drift_edge_us"]
    assert edge.value > edge.alarm[1]
    fig = TriggerPackets().figure(state)
    assert {"trigger", "full drift at nominal field", "full drift at half the field"} <= {
        note.text for note in fig.layout.annotations
    }
    assert 302.72 / 1.07 in [pytest.approx(shape.x0, abs=0.1) for shape in fig.layout.shapes]


def test_without_triggers_or_geometry_there_is_a_reason_and_no_limits(run: np.ndarray) -> None:
    quiet = run[run["packet_type"] != 7]
    for plot in (TriggerPackets(), TriggerCharge(), TriggerIntervals()):
        trends = plot.trends(counted(plot, quiet))
        nulls = {name: trend.reason for name, trend in trends.items() if trend.value is None}
        assert nulls
        assert all("no external triggers (bit 1)" in why or "no two triggers" in why for why in nulls.values())
        assert plot.figure(counted(plot, quiet)).layout.annotations[0].text
    trend = TriggerPackets().trends(counted(TriggerPackets(), run, geometry=False))["drift_edge_us"]
    assert trend.value is not None
    assert (trend.warn, trend.alarm) == ((None, None), (None, None))


def test_a_few_triggers_are_too_few_for_an_edge() -> None:
    trend = TriggerPackets().trends(counted(TriggerPackets(), demo_rows(DemoRun(duration_s=3))))["drift_edge_us"]
    assert trend.value is None
    assert "only 3 triggers, it takes 5" in trend.reason


# settings ------------------------------------------------------------------------------------------------------------


def configured(name: str, **settings: object) -> type[MergeablePlot]:
    found = discover(options=Options.of(PlotSettings(**settings))).plots[name].plot
    assert issubclass(found, MergeablePlot)
    return found


def test_only_triggers_of_the_io_group_and_bit_of_the_settings_count(run: np.ndarray) -> None:
    for settings, triggers in (
        ({}, 8),
        ({"trigger_io_group": 2}, 8),
        ({"trigger_io_group": 1}, 0),
        ({"trigger_bit": 0}, 0),
    ):
        state = counted(configured("TriggerPackets", **settings)(), run)
        assert state["triggers"].tolist() == [triggers]
        state = counted(configured("TriggerIntervals", **settings)(), run)
        assert state["triggers"].sum() == triggers
    plot = configured("TriggerPackets", trigger_io_group=1)()
    trend = plot.trends(counted(plot, run))["drift_edge_us"]
    assert trend.reason == "no external triggers (bit 1) of io_group 1"


def test_charge_is_that_of_the_constants_and_pedestals_of_the_settings(tmp_path: Path) -> None:
    trigger = packets_of(1, packet_type=7, trigger_type=2, io_group=1, timestamp=100_000)
    data = packets_of(2, io_group=1, io_channel=1, chip_id=11, channel_id=[0, 1], valid_parity=1, dataword=128)
    data["timestamp"] = 100_500
    (tmp_path / "ped.json").write_text(json.dumps({str(((256 + 1) * 256 + 11) * 64): {"pedestal_mv": 600}}))
    plot = configured(
        "TriggerCharge",
        v_ref_mv=1300,
        v_cm_mv=300,
        gain_mv_per_ke=4,
        pedestal_mv=500,
        pedestal_file=tmp_path / "ped.json",
    )()
    state = counted(plot, np.concatenate([trigger, data]))
    assert state["electrons"][state["electrons"] != 0].tolist() == [(800 - 600) * 250 + (800 - 500) * 250]
    assert plot.trends(state)["charge_per_trigger"].value == 125.0
    assert plot.trends(state)["default_pedestal_fraction"].value == 0.5
    assert "50.0% with a pedestal of the file, others 500 mV" in {n.text for n in plot.figure(state).layout.annotations}
    said = TriggerCharge().figure(counted(TriggerCharge(), np.concatenate([trigger, data]))).layout.annotations
    assert "no pedestal file: 580 mV for all channels" in {note.text for note in said}


def test_other_settings_are_another_version_for_the_plots_that_use_them_alone(tmp_path: Path) -> None:
    path = tmp_path / "ped.json"
    versions = {}
    for what, settings in {
        "default": {}, "gain": {"gain_mv_per_ke": 4}, "group": {"trigger_io_group": 5}, "file": {"pedestal_file": path},
    }.items():  # fmt: skip
        registry = discover(options=Options.of(PlotSettings(**settings)))
        versions[what] = {name: found.plot.version for name, found in registry.plots.items()}
    for what, changed in {
        "gain": {"TriggerCharge"},
        "group": {"TriggerCharge", "TriggerPackets", "TriggerIntervals"},
        "file": {"TriggerCharge"},
    }.items():
        different = {name for name, version in versions[what].items() if version != versions["default"][name]}
        assert different == changed
        assert all(0 < version < 2**31 for version in versions[what].values())


def test_a_pedestal_file_that_comes_or_changes_is_read_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ped.json"
    shelf = Shelf(settings=PlotSettings(pedestal_file=path))
    seen = []
    for content in (None, '{"4211392": {"pedestal_mv": 700}}', '{"4211392": {"pedestal_mv": 700.5}}', "{"):
        if content:
            path.write_text(content)
        assert shelf.look()
        assert not shelf.look()
        plot = shelf.registry.plots["TriggerCharge"].plot
        seen.append((plot.version, plot.unable))
    assert len({version for version, _ in seen}) == 4
    assert ["is not there" in seen[0][1], seen[1][1], seen[2][1], "is not JSON" in seen[3][1]] == [True, "", "", True]
