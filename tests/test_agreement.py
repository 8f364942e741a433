"""Agreement with the peers' files and numbers (LARBOARD_SAMPLES): what others counted, injected and placed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from dqm.detector import Library
from dqm.formats import open_file
from dqm.formats.packets import Packets, cut
from dqm.formats.triggers import Recent
from dqm.ingest.oneshot import Sources, inspect, process
from dqm.results import FileReport
from plots.base import MergeablePlot, Series, State
from plots.discovery import discover
from plots.hot_pixels import hottest
from plots.hydra_delay import delays
from plots.options import Calibration
from plots.pixel_map import silent_chips
from tests.conftest import SAMPLES

pytestmark = pytest.mark.samples

EXPECTED = SAMPLES / "expected"
MODULE_FILE = "charge/packet_2022_02_09_17_23_09_CET.h5"
PPS_FILE = "charge/packet_2022_02_09_18_00_00_CET.h5"
TWO_BY_TWO = "charge/packet-0050017-2024_07_08_13_37_42_CDT.hdf5"
PAIRS = {
    TWO_BY_TWO: "charge/binary-0050017-2024_07_08_13_37_42_CDT.h5",
    MODULE_FILE: "charge/raw_2022_02_09_17_23_09_CET.h5",
    PPS_FILE: "charge/raw_2022_02_09_18_00_00_CET.h5",
}


def expected(name: str) -> dict:
    path = EXPECTED / name
    return json.loads(path.read_text()) if path.is_file() else {}


COUNTS = {name: numbers for name, numbers in expected("counts.json").items() if "n_packets" in numbers}
VALID = expected("valid_parity.json")
PATHS = {Path(name).name: name for name in COUNTS}


@cache
def processed(name: str) -> FileReport:
    return process(SAMPLES / name, [found.plot for found in discover().plots.values()], Sources())


def trend(report: FileReport, name: str) -> float | int | None:
    plot, number = name.split(".")
    return next(element for element in report.elements if element.name == plot).trends[number].value


def leaf(report: FileReport, plot: str, name: str):
    state = next(element for element in report.elements if element.name == plot).state
    assert state is not None
    return state[name]


@pytest.mark.parametrize("name", COUNTS)
def test_all_rows_are_counted_as_an_independent_count_does(name: str) -> None:
    numbers, report = COUNTS[name], processed(name)
    by_type = {str(kind): int(n) for kind, n in enumerate(leaf(report, "PacketRate", "by_type")) if n}
    assert report.state == "ok"
    assert report.rows == numbers["n_packets"] == trend(report, "PacketRate.packets")
    assert by_type == numbers["by_type"]
    for kind, number in (("data", 0), ("timestamp", 4), ("sync", 6), ("trigger", 7)):
        assert trend(report, f"PacketRate.{kind}_packets") == numbers["by_type"].get(str(number), 0)
    config = numbers["by_type"].get("2", 0) + numbers["by_type"].get("3", 0)
    assert trend(report, "PacketRate.config_packets") == config
    assert trend(report, "ParityErrors.invalid_parity") == numbers["data_bad_parity"]
    assert (report.version, report.format) == (numbers["version"], "sim" if name.startswith("sim/") else "packets")
    assert report.start is not None
    assert report.end is not None
    assert int(report.start.timestamp()) == numbers["unix_first"]
    assert int(report.end.timestamp()) == numbers["unix_last"]


@pytest.mark.parametrize("name", [name for name in COUNTS if "data_by_io_group" in COUNTS[name]])
def test_data_syncs_and_io_groups_are_those_of_the_independent_count(name: str) -> None:
    numbers = COUNTS[name]
    by_group: dict[str, int] = {}
    syncs: dict[str, int] = {}
    with open_file(SAMPLES / name) as reader:
        for block in reader.blocks():
            data, sync = block.of_type(0), block.of_type(6)
            for group, n in zip(*np.unique(data["io_group"], return_counts=True), strict=True):
                by_group[str(group)] = by_group.get(str(group), 0) + int(n)
            for kind, n in zip(*np.unique(sync["trigger_type"], return_counts=True), strict=True):
                syncs[chr(kind)] = syncs.get(chr(kind), 0) + int(n)
    assert by_group == numbers["data_by_io_group"]
    assert syncs == numbers["sync_by_kind"]


@pytest.mark.parametrize("name", VALID)
def test_physics_content_is_that_of_valid_parity(name: str) -> None:
    numbers, report = VALID[name], processed(PATHS[name])
    assert trend(report, "PacketRate.packets") == numbers["packets"]
    assert trend(report, "PacketRate.data_packets") == numbers["data_packets"]
    assert trend(report, "ParityErrors.invalid_parity") == numbers["invalid_parity"]
    assert trend(report, "PacketRate.trigger_packets") == numbers["triggers"]
    assert leaf(report, "AdcSpectrum", "adc").sum() == numbers["valid_data"]
    assert trend(report, "AdcSpectrum.mean_adc") == pytest.approx(numbers["mean_adc"], rel=1e-12)
    assert trend(report, "AdcSpectrum.rms_adc") == pytest.approx(numbers["rms_adc"], rel=1e-12)
    for flag in ("local_half", "local_full", "shared_half", "shared_full"):
        assert trend(report, f"FifoFlags.{flag}") == pytest.approx(numbers[flag], rel=1e-12)
    assert leaf(report, "SyncDt", "syncs").sum() == numbers["sync_S"]
    assert trend(report, "HotPixels.active_channels") == numbers["active_channels"]
    if report.geometry:
        assert trend(report, "PixelMap.active_pixels") == numbers["active_channels"]
    else:
        assert trend(report, "PixelMap.active_pixels") is None
    state = next(element for element in report.elements if element.name == "HotPixels").state
    assert state is not None
    top = hottest(state)
    assert top.counts[0] == numbers["hottest"]["packets"]
    ties = [label for label, count in zip(top.labels, top.counts, strict=True) if count == top.counts[0]]
    assert numbers["hottest"]["channel"] in ties


MONITOR = {TWO_BY_TWO: expected("2x2_a.larpix-monitor.json"), MODULE_FILE: expected("mod0_a.larpix-monitor.json")}
EDGES = {"Hydra network delay": np.linspace(0, 52_800, 400), "UART synchronization": np.linspace(0, 264, 264)}


COMPARED = {
    "PacketRate", "FIFOFlags", "TileRate", "TimestampHistograms", "PacmanSyncHistograms", "TriggerHistograms", "PixelMap",
    "AnodeSimple", "HotPixelPlot",
}  # fmt: skip


@pytest.mark.parametrize("name", MONITOR)
def test_nothing_of_the_numbers_of_the_peers_is_left_uncompared(name: str) -> None:
    plots = MONITOR[name]["plots"]
    kinds = {re.sub(r"(_\d_\d|(?<=AnodeSimple)\w+)$", "", plot) for plot in plots}
    assert kinds == COMPARED - ({"PixelMap", "AnodeSimple"} if name == TWO_BY_TWO else set())
    # of these panels only the frame was kept
    assert "lines" not in plots["PacmanSyncHistograms"][0]
    numbers = {
        plot: [axes for axes in found if axes.keys() & {"lines", "bars", "scatter"}] for plot, found in plots.items()
    }
    assert {plot: len(found) for plot, found in numbers.items() if not plot.startswith("PixelMap")} == {
        "PacketRate": 3, "FIFOFlags": 2, "TileRate": 2, "TimestampHistograms": 3, "PacmanSyncHistograms": 1,
        "TriggerHistograms": 2, "HotPixelPlot": 1,
    } | ({f"AnodeSimple{value}": 2 for value in ("Mean", "Std", "Rate")} if name == MODULE_FILE else {})  # fmt: skip
    assert NEARLINE.keys() == {
        "trig_io_group", "plot_rate_trigger", "plot_charge_trigger", "plot_hot_pixels", "panel_ped_mean_std",
    }  # fmt: skip


def drawn(name: str, plot: str, axis: str) -> dict[str, dict]:
    """Lines of an axis that larpix-monitor drew, by label."""
    (found,) = [axes for axes in MONITOR[name]["plots"][plot] if axes["xlabel"].startswith(axis)]
    return {line["label"]: line for line in found["lines"]}


@pytest.mark.parametrize("axis", EDGES)
@pytest.mark.parametrize("name", MONITOR)
def test_delays_and_phases_are_those_of_larpix_monitor_but_for_packets_read_out_after_a_reset(
    name: str, axis: str
) -> None:
    with open_file(SAMPLES / name) as reader:
        blocks = list(reader.blocks())
    groups, delay = (np.concatenate(column) for column in zip(*map(delays, blocks), strict=True))
    data = [block.data for block in blocks]
    # its delay of such a packet is below 0 and stands in its first bins: the receipt is a second later
    reset = np.concatenate([part["receipt_timestamp"] < part["timestamp"] for part in data])
    phase = axis.startswith("UART")
    for io_group in (1, 2):  # the only ones that it draws
        line = drawn(name, "TimestampHistograms", axis)[f"tpc {io_group}"]
        mine = delay[groups == io_group]
        theirs = np.where(reset[groups == io_group], 0, mine)
        theirs = theirs % 264 if phase else theirs
        assert np.histogram(theirs, EDGES[axis])[0].tolist() == line["y"]


@pytest.mark.parametrize("name", MONITOR)
def test_syncs_over_time_are_those_of_larpix_monitor(name: str) -> None:
    syncs, ticks = (leaf(processed(name), "SyncSeries", part) for part in ("syncs", "ticks"))
    for label, line in drawn(name, "PacmanSyncHistograms", "Timestamp packet").items():
        io_group = int(label.split(":")[0].removeprefix("io_group "))
        assert syncs.counts[:, io_group].sum() == len(line["y"])
        assert ticks.counts[:, io_group].sum() == sum(line["y"])


@cache
def whatever_parity(name: str) -> Packets:
    """All rows, each data packet as if its parity were valid: larpix-monitor asks for that on its anodes alone."""
    rows = rows_and_times(name)[0].copy()
    rows["valid_parity"] = 1
    return as_block(name, rows)


def as_block(name: str, rows: np.ndarray) -> Packets:
    with open_file(SAMPLES / name) as reader:
        detector = Sources().match(reader).detector
    (block,) = cut(rows, detector=detector)
    return block


def state_of(plot: str, packets: Packets) -> State:
    made = discover().plots[plot].plot()
    assert isinstance(made, MergeablePlot)
    state = made.start(packets.detector)
    state.add(made.count(packets))
    return state


def lines_of(name: str, plot: str, axes: int) -> dict[str, dict[int, float]]:
    """Lines that larpix-monitor drew over time, by label: value of each second. It leaves the first and last ones out."""
    lines = MONITOR[name]["plots"][plot][axes]["lines"]
    assert all(len(line["x"]) == 7 for line in lines)
    return {line["label"]: dict(zip(line["x"], line["y"], strict=True)) for line in lines}


def at(series: Series, seconds: Iterable[int]) -> np.ndarray:
    """Rows of a series with bins of 1 s."""
    assert series.width == 1
    return series.counts[np.searchsorted(series.seconds, list(seconds))]


@pytest.mark.parametrize("name", MONITOR)
def test_packets_of_each_type_and_second_are_those_of_larpix_monitor(name: str) -> None:
    rates, fractions = (lines_of(name, "PacketRate", axes) for axes in range(2))
    per_second = leaf(processed(name), "PacketRate", "per_second")
    seconds = rates["total"].keys()
    total = at(per_second, seconds).sum(axis=1)
    assert total.tolist() == list(rates.pop("total").values())
    names = {"data": 0, "test": 1, "write": 2, "read": 3, "timestamp": 4, "message": 5, "sync": 6, "trigger": 7}
    assert rates.keys() == fractions.keys() == names.keys()
    for label, number in names.items():
        counts = at(per_second, seconds)[:, number]
        assert counts.tolist() == list(rates[label].values())
        np.testing.assert_allclose(counts / total, list(fractions[label].values()), atol=1e-9)


@pytest.mark.parametrize("name", MONITOR)
def test_parity_errors_are_those_of_larpix_monitor_but_for_words_that_are_no_data(name: str) -> None:
    """It counts those of test and configuration words, too; a flipped bit made most of these out of data packets."""
    theirs = lines_of(name, "PacketRate", 2)["parity errors"]
    rows = rows_and_times(name)[0].copy()
    rows["packet_type"][rows["packet_type"] <= 3] = 0

    def invalid(state: State) -> np.ndarray:
        counts = at(state["per_second"], theirs)
        return np.array([counts[:, 1::2].sum(axis=1), counts.sum(axis=1)])

    errors, words = invalid(state_of("ParityErrors", as_block(name, rows)))
    np.testing.assert_allclose(errors / words, list(theirs.values()), atol=1e-9)
    ours, data = invalid(next(found.state for found in processed(name).elements if found.name == "ParityErrors"))
    assert (errors - ours <= words - data).all()
    assert (errors > ours).any()


@pytest.mark.parametrize("name", MONITOR)
def test_fifo_flags_are_those_of_larpix_monitor_but_for_a_full_fifo_which_it_never_shows(name: str) -> None:
    """It compares flags with 0, 1 and 2. A full FIFO is 3, more than half full as well, which is on none of its lines."""
    rates, fractions = (lines_of(name, "FIFOFlags", axes) for axes in range(2))
    packets, seen_full = whatever_parity(name), 0
    for second in rates["local fifo 0%"]:
        flags = state_of("FifoFlags", packets.select(packets["unix_time"] == second))["flags"].sum(axis=0)
        for fifo, counts in (("local", flags.sum(axis=1)), ("shared", flags.sum(axis=0))):
            for value, words in enumerate(("0%", ">50%", "100%")):
                label = f"{fifo} fifo {words}"
                assert counts[value] == rates[label][second]
                assert counts[value] / counts.sum() == pytest.approx(fractions[label][second], abs=1e-9)
            seen_full += counts[3]
    assert (seen_full > 0) == (trend(processed(name), "FifoFlags.local_full") != 0)


@pytest.mark.parametrize("name", MONITOR)
def test_rates_of_tiles_are_those_of_larpix_monitor_but_for_invalid_parity(name: str) -> None:
    packets = whatever_parity(name)
    detector, per_second = packets.detector, state_of("TileRate", packets)["per_second"]
    valid = leaf(processed(name), "TileRate", "per_second")
    looked = 0
    for axes in range(2):
        for label, values in lines_of(name, "TileRate", axes).items():
            io_group, number = map(int, label.removeprefix("tile ").split("-"))
            place = detector.tile_place[detector.tile_of(np.array([io_group]), np.array([4 * number - 3]))[0]]
            assert at(per_second, values)[:, place].tolist() == list(values.values())
            assert (at(valid, values)[:, place] <= list(values.values())).all()
            looked += 1
    assert looked == 16


@pytest.mark.parametrize("name", MONITOR)
def test_hot_pixels_are_those_of_larpix_monitor_but_for_invalid_parity(name: str) -> None:
    (axes,) = MONITOR[name]["plots"]["HotPixelPlot"]
    shares = {label: bar["w"] for label, bar in zip(axes["yticklabels"], axes["bars"], strict=True)}
    hottest_of_all_rows_are(name, shares)


def hottest_of_all_rows_are(name: str, shares: dict[str, float]) -> None:
    """The 100 channels with most packets of whatever parity, and their share of all data packets."""
    packets = whatever_parity(name)
    n_data = int((packets["packet_type"] == 0).sum())
    top = hottest(state_of("HotPixels", packets))
    np.testing.assert_allclose(sorted(top.counts / n_data), sorted(shares.values()), rtol=1e-12)
    counts = dict(zip(top.labels, (top.counts / n_data).tolist(), strict=True))
    more = {
        label for label, share in shares.items() if share > min(shares.values())
    }  # of equal ones any may be the last
    assert {label: counts.get(label) for label in more} == pytest.approx({label: shares[label] for label in more})


@pytest.mark.parametrize("name", MONITOR)
def test_counters_at_syncs_are_those_of_larpix_monitor(name: str) -> None:
    """Its bins are 2,000 / 1,999 of a tick wide."""
    dt = leaf(processed(name), "SyncDt", "dt")
    values, edges = np.arange(dt.shape[1]) - dt.shape[1] // 2, np.linspace(-1000, 1000, 2000)
    for io_group in (1, 2):
        line = drawn(name, "TimestampHistograms", "clock synchronization")[f"tpc {io_group}"]
        assert not dt[io_group, [0, -1]].any()
        assert np.histogram(values, edges, weights=dt[io_group])[0].tolist() == line["y"]
        assert sum(line["y"]) == 10


def moments(state: State, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, standard deviation and packets of the pixels that are chosen."""
    n, total, squares = (state[leaf][chosen].astype(float) for leaf in ("packets", "adc", "adc_squared"))
    mean = total / n
    return {"Mean": mean, "Std": np.sqrt(np.maximum(squares / n - mean**2, 0)), "Rate": n / 10}


def is_summed(found: np.ndarray, axes: dict) -> None:
    """Of the points that larpix-monitor drew number, sum, smallest and largest value are kept; of a single one nothing."""
    if "scatter" not in axes:
        assert len(found) <= 1
        return
    (points,) = axes["scatter"]
    assert len(found) == points["n"]
    told = found.sum(), found.min(), found.max()
    assert told == pytest.approx([points[f"value_{name}"] for name in ("sum", "min", "max")], rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("io_group", [1, 2])
@pytest.mark.parametrize("value", ["Mean", "Std", "Rate"])
def test_the_maps_of_both_anodes_are_those_of_larpix_monitor(value: str, io_group: int) -> None:
    """Its rates are over the 10 s of the file."""
    state = next(element for element in processed(MODULE_FILE).elements if element.name == "PixelMap").state
    assert state is not None
    assert state.detector is not None
    chosen = (state.detector.pixels.io_group == io_group) & (state["packets"] > 0)
    axes = MONITOR[MODULE_FILE]["plots"][f"AnodeSimple{value}"][io_group - 1]
    assert axes["title"] == f"TPC {io_group}"
    is_summed(moments(state, chosen)[value], axes)


@pytest.mark.parametrize("tile", range(1, 9))
@pytest.mark.parametrize("io_group", [1, 2])
def test_the_maps_of_a_tile_are_those_of_larpix_monitor_but_for_parity_and_pixels_with_few_packets(
    io_group: int, tile: int
) -> None:
    """It draws pixels with 4 packets of whatever parity; we draw every pixel with one."""
    axes = MONITOR[MODULE_FILE]["plots"][f"PixelMap_{io_group}_{tile}"] or [{}] * 3  # it drew nothing of one tile
    packets = whatever_parity(MODULE_FILE)
    state, detector = state_of("PixelMap", packets), packets.detector
    number = detector.tile_of(np.array([io_group]), np.array([4 * tile - 3]))[0]
    found = moments(state, (detector.pixels.tile == number) & (state["packets"] >= 4))
    for value, drawn_by_it in zip(("Mean", "Std", "Rate"), axes, strict=False):
        is_summed(found[value], drawn_by_it)


NEARLINE = expected("2x2_a.arcube-nearline.json")
FULL_DRIFT = int(0.3 / 1.65e3 * 1e7)
"""30 cm at 1.65 mm/us [ticks], as arcube_nearline and larpix-monitor have it."""
NEARLINE_EDGES = np.linspace(-0.1 * FULL_DRIFT, 4 * FULL_DRIFT, FULL_DRIFT // 20)
MONITOR_EDGES = np.linspace(-2 * FULL_DRIFT, 4 * FULL_DRIFT, 6 * FULL_DRIFT // 10)


@cache
def rows_and_times(name: str) -> tuple[np.ndarray, np.ndarray]:
    with open_file(SAMPLES / name) as reader:
        blocks = list(reader.blocks())
    rows = [block.source[0] for block in blocks if block.source is not None]
    return np.concatenate(rows), np.concatenate([block["time_ticks"] for block in blocks])


def is_data(rows: np.ndarray, io_group: int) -> np.ndarray:
    return (rows["packet_type"] == 0) & (rows["valid_parity"] == 1) & (rows["io_group"] == io_group)


def is_trigger(rows: np.ndarray, *io_groups: int) -> np.ndarray:
    return (rows["packet_type"] == 7) & (rows["trigger_type"] == 2) & np.isin(rows["io_group"], io_groups)


def after_each_trigger(rows: np.ndarray, io_group: int) -> list[Packets]:
    """What is beside each trigger of an io_group, but only as far as it stands between it and the next one."""
    triggers = np.flatnonzero(is_trigger(rows, io_group))
    _, *blocks = cut(rows, np.diff(triggers, prepend=0).tolist())
    for block in blocks:
        block.recent = Recent()
    return [block.beside_triggers(io_group) for block in blocks]


@pytest.mark.parametrize("kind", ["rate", "charge"])
def test_packets_and_charge_after_triggers_are_those_of_arcube_nearline_as_far_as_it_looks(kind: str) -> None:
    """It looks from a trigger to the next one in the file, not behind the last one, and compares bare counters.

    So it misses whatever stands before the trigger in the file, and takes what came whole seconds later for what came with
    the trigger.
    """
    rows, times = rows_and_times(TWO_BY_TWO)
    triggers = np.flatnonzero(is_trigger(rows, 5))
    *between, _ = after_each_trigger(rows, 5)
    calibration = Calibration(gain_mv_per_ke=4.0)
    for theirs in NEARLINE[f"plot_{kind}_trigger"]:
        io_group = int(theirs["title"].split("=")[1])
        mine, seconds_later = np.zeros(len(theirs["y"])), np.zeros(len(theirs["y"]))
        for packets in between:
            packets = packets.select((packets["io_group"] == io_group) & (packets["trigger_ticks"] >= 0))
            charge = calibration.electrons(packets)[0] / 1000 if kind == "charge" else None
            mine += np.histogram(packets["trigger_ticks"], NEARLINE_EDGES, weights=charge)[0]
        for first, last in pairwise(triggers):
            where = first + np.flatnonzero(
                is_data(rows[first:last], io_group) & (times[first:last] > times[first] + 10**6)
            )
            counter = rows["timestamp"][where].astype(int) - int(rows["timestamp"][first])
            charge = (rows["dataword"][where] / 256 * (1568 - 478.1) + 478.1 - 580) / 4 if kind == "charge" else None
            seconds_later += np.histogram(counter, NEARLINE_EDGES, weights=charge)[0]
        np.testing.assert_allclose(mine + seconds_later, theirs["y"], atol=0.05 if kind == "charge" else 0)


def test_hot_pixels_are_those_of_arcube_nearline_but_for_invalid_parity() -> None:
    hottest_of_all_rows_are(
        TWO_BY_TWO, {name.replace(" ", ""): share for name, share in NEARLINE["plot_hot_pixels"].items()}
    )


def test_mean_and_deviation_of_every_channel_are_those_of_arcube_nearline() -> None:
    state = next(element for element in processed(TWO_BY_TWO).elements if element.name == "PixelMap").state
    assert state is not None
    assert state.detector is not None
    theirs = [
        (*map(int, chip.split("-")), int(channel), *values)
        for chip, channels in NEARLINE["panel_ped_mean_std"].items()
        for channel, values in channels.items()
    ]
    ids = np.array([one[:4] for one in theirs], np.uint8)
    pixels = state.detector.pixel_of(*ids.T)
    seen = pixels >= 0
    assert np.array_equal(np.sort(pixels[seen]), np.flatnonzero(state["packets"]))
    mine, told = moments(state, pixels[seen]), np.array([one[4:] for one in theirs])[seen]
    np.testing.assert_allclose(mine["Mean"], told[:, 0], rtol=1e-6)
    np.testing.assert_allclose(mine["Std"], told[:, 1], rtol=1e-6, atol=1e-5)


def test_beside_triggers_are_all_packets_that_are_there_in_time_wherever_they_stand() -> None:
    """arcube_nearline draws 2 packets of io_groups 1 to 4, which stand before io_group 5 in each window of the readout."""
    rows, times = rows_and_times(TWO_BY_TWO)
    with open_file(SAMPLES / TWO_BY_TWO) as reader:
        beside = [block.beside_triggers(5) for block in reader.blocks()]
    groups, ticks = (np.concatenate([part[name] for part in beside]) for name in ("io_group", "trigger_ticks"))
    when = times[is_trigger(rows, 5)]
    for io_group in range(1, 9):
        since = times[is_data(rows, io_group)][:, None] - when
        since = np.sort(since[(since >= -2_000) & (since < 10_000)])
        np.testing.assert_array_equal(np.sort(ticks[groups == io_group]), since)
        assert len(since) > 250
    seen = {int(ax["title"].split("=")[1]): sum(ax["y"]) for ax in NEARLINE["plot_rate_trigger"]}
    assert sum(seen[io_group] for io_group in (1, 2, 3, 4)) == 2


@pytest.mark.parametrize("io_group", [1, 2])
@pytest.mark.parametrize("name", MONITOR)
def test_packets_after_triggers_are_those_of_larpix_monitor_but_for_its_slips(name: str, io_group: int) -> None:
    """It takes the first row for a trigger, leaves the flag in bit 31 in the counter, and counts no seconds."""
    rows, times = rows_and_times(name)
    line = drawn(name, "TriggerHistograms", "timestamp relative")[f"tpc {io_group}"]
    own = np.flatnonzero(rows["io_group"] == io_group)
    rows, times = rows[own], times[own]
    first, *triggers = np.split(np.arange(len(rows)), np.flatnonzero(is_trigger(rows, io_group)))
    bare, whole = [], []
    for part in (first, *triggers):
        data = part[1:][is_data(rows[part[1:]], io_group)]
        bare.append(rows["timestamp"][data].astype(int) - int(rows["timestamp"][part[0]]))
        whole.append(times[data] - times[part[0]])
    slips = np.clip(np.concatenate(bare), MONITOR_EDGES[0], MONITOR_EDGES[-1])
    assert np.histogram(slips, MONITOR_EDGES)[0].tolist() == line["y"]
    inside = MONITOR_EDGES[MONITOR_EDGES > -2_000]
    mine = [packets["trigger_ticks"] for packets in after_each_trigger(rows, io_group)]
    assert len(mine) == len(triggers) == (0 if name == TWO_BY_TWO else 391)
    corrected, mine = (np.concatenate([np.zeros(0, int), *parts]) for parts in (whole[1:], mine))
    np.testing.assert_array_equal(np.histogram(mine, inside)[0], np.histogram(corrected, inside)[0])
    assert mine.any() == (name == MODULE_FILE)


@pytest.mark.parametrize("name", MONITOR)
def test_intervals_of_triggers_are_those_of_larpix_monitor_for_each_io_group_alone(name: str) -> None:
    """It takes the bare difference to the trigger before in the file, mostly the same one told by the other io_group."""
    rows, times = rows_and_times(name)
    line = drawn(name, "TriggerHistograms", "external trigger")["_child0"]
    both = rows["timestamp"][is_trigger(rows, 1, 2)].astype(int)
    bare = np.clip(np.diff(both), -1000, 1000)
    assert np.histogram(bare, np.linspace(-1000, 1000, 2000))[0].tolist() == line["y"]
    report = processed(name)
    assert trend(report, "TriggerIntervals.triggers") == rows_and_times(name)[0][is_trigger(rows, *range(9))].shape[0]
    intervals, extent = (leaf(report, "TriggerIntervals", part) for part in ("intervals", "extent"))
    for io_group in np.unique(rows["io_group"][is_trigger(rows, *range(9))]).tolist():
        apart = np.diff(times[is_trigger(rows, io_group)])
        assert intervals.reshape(256, -1)[io_group].sum() == len(apart)
        assert (extent.low[io_group], extent.high[io_group]) == (apart.min(), apart.max())


def test_spills_come_as_often_and_drift_as_long_as_they_were_made_to() -> None:
    report, truth = processed(TWO_BY_TWO), expected("2x2_a.truth.json")
    assert leaf(report, "TriggerPackets", "triggers") == truth["n_triggers"]
    assert trend(report, "TriggerIntervals.median_trigger_interval_s") == pytest.approx(
        truth["config"]["spill_period_s"], rel=1e-5
    )
    for name in (TWO_BY_TWO, MODULE_FILE):
        for edge in ("TriggerPackets.drift_edge_us", "TriggerCharge.charge_edge_us"):
            # 30.27 cm at 1.596 mm/us, and up to half a spill of 10 us
            assert trend(processed(name), edge) == pytest.approx(189.7 + 2.5, abs=2.5 + 0.02 * 189.7)


@pytest.mark.parametrize(("packets", "raw"), PAIRS.items(), ids=PAIRS.values())
def test_a_raw_file_gives_the_rows_of_the_packet_file_in_all_22_columns(packets: str, raw: str) -> None:
    with open_file(SAMPLES / raw) as one, open_file(SAMPLES / packets) as other:
        assert len(one.columns) == 22 + 2
        mine, theirs = list(one.blocks()), list(other.blocks())
        for name in one.columns:
            left, right = (np.concatenate([block[name] for block in blocks]) for blocks in (mine, theirs))
            np.testing.assert_array_equal(left, right, err_msg=name)


@pytest.mark.parametrize(("packets", "raw"), PAIRS.items(), ids=PAIRS.values())
def test_raw_and_packet_file_give_the_same_trends(packets: str, raw: str) -> None:
    one, other = processed(packets), processed(raw)
    assert [element.trends for element in one.elements] == [element.trends for element in other.elements]


@pytest.mark.parametrize(("name", "truth"), [(TWO_BY_TWO, "2x2_a.truth.json"), (MODULE_FILE, "mod0_a.truth.json")])
def test_injected_hot_pixels_dead_chips_and_parity_errors_are_found(name: str, truth: str) -> None:
    injected, report = expected(truth), processed(name)
    states = {element.name: element.state for element in report.elements}
    hot = hottest(states["HotPixels"]).labels[: len(injected["hot_pixels"])]
    assert set(hot) == set(injected["hot_pixels"])
    assert trend(report, "HotPixels.hot_pixels") == len(injected["hot_pixels"])
    assert trend(report, "HotPixels.top_pixel_rate_hz") == pytest.approx(max(injected["hot_pixels"].values()), rel=0.05)
    assert set(injected["dead_chips"]) <= set(silent_chips(states["PixelMap"]))
    # a flipped bit may also change the type of a word: it is then no data packet of invalid parity
    flipped = injected["n_bitflipped_words"]
    found = trend(report, "ParityErrors.invalid_parity")
    assert found is not None
    assert flipped * 0.95 <= found <= flipped


def test_the_clock_offsets_of_the_truth_are_found() -> None:
    report, slopes = processed(TWO_BY_TWO), expected("2x2_a.truth.json")["clock_slope"]
    worst = leaf(report, "SyncDt", "worst")
    for io_group, slope in slopes.items():
        assert worst.high[int(io_group)] == pytest.approx(slope * 1e7, abs=1)
    assert trend(report, "SyncDt.max_abs_dt_ticks") == 40
    assert trend(report, "SyncDt.missing_syncs") == 0


def test_hits_read_out_after_the_reset_are_put_back_before_it() -> None:
    """718 data rows of this file have a receipt before their own timestamp; corrected, they were on the way 140 to 3593."""
    with open_file(SAMPLES / PPS_FILE) as reader:
        (block,) = reader.blocks()
        data = block.data
        late = data["receipt_timestamp"] < data["timestamp"]
        assert late.sum() == 718
        on_the_way = data["receipt_timestamp"][late].astype(int) + 10_000_000 - data["timestamp"][late].astype(int)
        # the correction brings them into the stream: no step back larger than the latency
        for io_group in (1, 2):
            ticks = data["time_ticks"][data["io_group"] == io_group]
            assert np.diff(ticks).min() > -on_the_way.max() - 100


def test_positions_agree_with_those_of_ndlar_flow_to_a_tenth_of_a_micrometre() -> None:
    detector = Library([SAMPLES / "geometry"]).get("2x2")
    assert len(detector.pixels) == 337_600
    with h5py.File(SAMPLES / "charge/packet-0050017-2024_07_08_13_37_42_CDT.FLOW.hdf5") as flow:
        reference = flow["charge/raw_hits/ref/charge/packets/ref"][:]
        hits = flow["charge/raw_hits/data"][:][reference[:, 0]]
        packets = flow["charge/packets/data"][:][reference[:, 1]]
    pixel = detector.pixel_of(*(packets[name] for name in ("io_group", "io_channel", "chip_id", "channel_id")))
    assert (pixel >= 0).all()
    for axis in "xyz":
        assert np.abs(getattr(detector.pixels, axis)[pixel] - hits[f"{axis}_pix"]).max() < 1e-5  # cm


def test_geometries_are_matched_by_ids() -> None:
    assert processed(TWO_BY_TWO).geometry == "2x2"
    assert processed(MODULE_FILE).geometry == processed(PPS_FILE).geometry == "2.4.16"
    assert processed("real/qc_tpc_cosmics.h5").geometry is None
    assert "fit none of the known geometries" in processed("real/qc_tpc_cosmics.h5").geometry_reason


def test_the_module_geometry_has_its_pixels() -> None:
    library = Library([SAMPLES / "geometry"])
    assert len(library.get("2.4.16").pixels) == 78_400
    assert len(library.get("2.5.16").pixels) == 102_400


@pytest.mark.parametrize("path", sorted((SAMPLES / "charge").glob("*")), ids=lambda path: path.name)
def test_every_charge_file_can_be_processed(path: Path) -> None:
    report = processed(f"charge/{path.name}")
    assert report.readable
    assert report.state == "ok"
    assert not report.broken
    assert all(element.figure is not None or element.unavailable for element in report.elements)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("light/mpd_run_0050017_rctl_p000.data", "light"),
        ("light/0a7a314c_20220209_172309_0a7a314c.data", "light"),
        ("light/0a7a314c_20220209_172309_0a7a314c.h5", "light"),
        ("light/mpd_run_0050017_rctl_p000.FLOW.hdf5", "light"),
        ("sim/MiniSim_2x2.0000000.LARNDSIM.hdf5", "sim"),
        ("sim/MiniSim_2x2.0000000.FLOW.hdf5", "flow"),
        ("charge/packet-0050017-2024_07_08_13_37_42_CDT.FLOW.hdf5", "flow"),
        ("charge/raw_2022_02_09_18_00_00_CET.h5", "raw"),
        ("charge/small_v0.0.h5", "packets"),
        ("real/larnd-sim-jax_ref_output_0.h5", "unknown"),
        ("real/data_2018_02_13_16_12_21_PST_.h5.json", "unknown"),
    ],
)
def test_the_format_of_every_kind_of_file_is_known(name: str, kind: str) -> None:
    assert inspect(SAMPLES / name, Sources()).format == kind


def test_the_run_number_in_the_head_of_a_light_file_wins() -> None:
    report = inspect(SAMPLES / "light/mpd_run_0050017_rctl_p000.data", Sources())
    assert (report.run, report.subrun) == (50017, 0)
