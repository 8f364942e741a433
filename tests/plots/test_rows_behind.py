"""A bin of a built-in plot stands for as many packets as it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dqm.demo import DemoRun, take_run
from dqm.detector import demo_detector
from dqm.formats.columns import TICKS_PER_SECOND
from dqm.formats.packets import Packets
from dqm.formats.reader import open_file
from dqm.formats.triggers import Recent
from dqm.views.rows_behind import OF_TRIGGERS
from plots.base import DATA, Bin, LiveTime, MergeablePlot, Plot
from plots.discovery import discover
from plots.options import Calibration
from plots.sync_dt import SyncDt
from plots.trigger_intervals import BINS, TriggerIntervals, middles, places, ticks_of

TELLING = {
    name: found.plot for name, found in discover().plots.items() if found.plot.rows_behind is not Plot.rows_behind
}


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> Packets:
    """A whole small file as one block."""
    taken = take_run(DemoRun(duration_s=3, start_unix=1_720_000_000), tmp_path_factory.mktemp("run"), raw=False)
    assert taken.packets
    with open_file(taken.packets, demo_detector()) as reader:
        blocks = [block.source for block in reader.blocks() if block.source]
    from dqm.formats.clock import BlockClock, ClockState

    rows = np.concatenate([rows for rows, _ in blocks])
    return Packets.of_rows(rows, BlockClock(rows, ClockState()), demo_detector(), recent=Recent())


def matching(packets: Packets, ranges: Any) -> np.ndarray:
    fits = np.ones(len(packets), bool)
    for column, (low, high) in ranges.items():
        if column in OF_TRIGGERS:
            found = packets.beside_triggers() if column == "trigger_ticks" else packets.triggers()
            near = (found[column] >= low) & (found[column] <= high)
            fits &= np.bincount(found["row"][near], minlength=len(packets)) > 0
        else:
            fits &= (packets[column] >= low) & (packets[column] <= high)
    return fits


def number(x: Any) -> float:
    if isinstance(x, str) and not x.isdecimal():
        return datetime.fromisoformat(x).replace(tzinfo=UTC).timestamp()
    return float(x)


def bins(plot: MergeablePlot, packets: Packets) -> Iterator[tuple[Bin, float]]:
    """Points of the figure as a browser tells of a click on them, with what they show."""
    state = plot.start(packets.detector)
    state.add(plot.count(packets))
    for trace in plot.figure(state).data:
        x = [number(one) for one in trace.x]
        if trace.type == "heatmap":
            yield from cells(trace, x)
            continue
        for place in range(len(x)):
            # the last point of a line over time is the end of its last bin
            ends = x[place + 1 : place + 2] or ([x[place]] if trace.type == "bar" or trace.mode == "markers" else [])
            if ends and np.isfinite(trace.y[place]):
                label = trace.customdata[place][0] if trace.customdata is not None else ""
                yield Bin(trace.name or "", x[place], ends[0], str(label)), float(trace.y[place])


def cells(trace: Any, x: list[float]) -> Iterator[tuple[Bin, float]]:
    for name, values in zip(trace.y, trace.z, strict=True):
        for place, value in enumerate(values.tolist()):
            if np.isfinite(value):
                yield Bin("", x[place], x[min(place + 1, len(x) - 1)], name.strip()), value


def shown(name: str, packets: Packets, ranges: Any) -> float:
    """What the plot shows of the packets that it says are behind a bin."""
    count = int(matching(packets, ranges).sum())
    if name == "PacketTypes":
        return count / int(matching(packets, {"unix_time": ranges["unix_time"]}).sum())
    if name == "ParityErrors":
        return count / int(matching(packets, {**ranges, "valid_parity": (0, 255)}).sum())
    if name in ("HotPixels", "ChipRate"):
        return count / LiveTime.of(packets).seconds(int(ranges["io_group"][0]))
    if name == "FifoFlags":
        return count / int(matching(packets, {**DATA, "io_group": ranges["io_group"]}).sum())
    if name == "SyncSeries":
        ticks = packets["timestamp"][matching(packets, ranges)].astype(float)
        return float(ticks.mean()) - TICKS_PER_SECOND
    if name == "TriggerPackets":
        return count / packets.first_told()
    if name == "TriggerCharge":
        electrons, _ = Calibration().electrons(packets.select(matching(packets, ranges)))
        return electrons.sum() / 1000 / packets.first_told()
    return count


def test_the_plots_of_the_document_say_what_is_behind_their_bins() -> None:
    document = " ".join((Path(__file__).parents[2] / "docs/plots.md").read_text().split())
    told = document.partition("The default is `None`: it cannot be told. ")[2].partition(" say it.")[0]
    assert set(TELLING) == set(re.findall(r"`(\w+)`", told))


@pytest.mark.parametrize("name", TELLING)
def test_a_bin_stands_for_as_many_packets_as_it_shows(name: str, packets: Packets) -> None:
    plot: Any = TELLING[name]()
    looked = 0
    for clicked, y in bins(plot, packets):
        ranges = plot.rows_behind(clicked)
        assert ranges, clicked
        assert shown(name, packets, ranges) == pytest.approx(y), clicked
        looked += bool(y)
    assert looked > (name != "TriggerIntervals")  # spills come evenly: one bin has all intervals


def test_what_lies_beyond_the_histogram_of_syncs_is_behind_its_outer_bins() -> None:
    plot = SyncDt()
    second = TICKS_PER_SECOND
    for dt, low, high in (
        (-251.0, 0, second - 251),
        (251.0, second + 251, second * 1.5),
        (-250.0, second - 250, second - 250),
    ):
        ranges = plot.rows_behind(Bin("io_group 2", dt, dt + 1))
        assert ranges
        assert ranges["timestamp"] == (low, high)
    assert plot.rows_behind(Bin("io_group 2", 252.0, 252.0)) is None


def test_each_interval_is_behind_the_bin_that_counts_it_and_behind_no_other() -> None:
    ends = [ticks_of(place) for place in range(BINS + 1)]
    edges = [edge for pair in ends if pair for edge in pair]
    assert edges == sorted(edges)
    for place, pair in enumerate(ends):
        if pair:
            assert places(np.array(pair)).tolist() == [place, place]
            assert places(np.array([pair[1] + 1]))[0] > place or place == BINS
            clicked = Bin("io_group 2", middles()[place], middles()[place])
            assert (TriggerIntervals().rows_behind(clicked) or {})["interval_ticks"] == pair
    assert TriggerIntervals().rows_behind(Bin("io_group 2", 1e9, 1e9)) is None


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize("series", ["", "invalid / all", "io_group x", "io_group ٣", "<script>", "no such line"])
def test_a_line_that_is_no_line_of_the_plot_stands_for_nothing(name: str, series: str) -> None:
    assert not TELLING[name]().rows_behind(Bin(series, 1.0, 2.0))
