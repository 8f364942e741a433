"""One file through all plots: read once, a plot that raises is set aside, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from dqm.formats.packets import cut
from dqm.ingest.oneshot import FileReport, Sources, process
from plots.adc_spectrum import AdcSpectrum
from plots.base import MergeablePlot, Plot
from plots.discovery import discover
from plots.hot_pixels import HotPixels, hottest
from plots.pixel_map import PixelMap
from plots.sync_dt import SyncDt, missing_syncs
from plots.tile_rate import TileRate
from tests.conftest import packets_of, some_packets


class Raises(AdcSpectrum):
    """Counts one block, then fails in the way of `error`."""

    error: BaseException = ValueError("no such pixel")

    def count(self, packets):
        if packets.first_row:
            raise self.error
        return super().count(packets)


class Exits(Raises):
    error = SystemExit(3)


class FailsToDraw(AdcSpectrum):
    def draw(self, state, fig):
        raise KeyError("adc")


class FailsAtTheStart(AdcSpectrum):
    def count(self, packets):
        raise RuntimeError("no calibration file")


class CannotBeMade(AdcSpectrum):
    def __init__(self):
        raise RuntimeError("no licence")


class IsCancelled(Raises):
    error = asyncio.CancelledError()


class Recurses(AdcSpectrum):
    def count(self, packets):
        return self.count(packets)


class NeedsPixels(AdcSpectrum):
    fields = ("pixel",)


class WritesIntoColumns(AdcSpectrum):
    def count(self, packets):
        packets.data["dataword"][:] = 7
        return super().count(packets)


class NeedsChargeColumn(AdcSpectrum):
    fields = ("charge",)


class NeedsFlow(AdcSpectrum):
    level = "flow"


class Simple(Plot):
    title = "packets"

    def __call__(self, packets, fig):
        if not fig.data:
            fig.add_bar(y=[0])
        fig.data[0].y = [fig.data[0].y[0] + len(packets)]


class ReturnsItsOwn(Plot):
    title = "packets"

    def __call__(self, packets, fig):
        return go.Figure(go.Bar(y=[len(packets)]))


@pytest.fixture
def path(packet_file: Callable) -> Path:
    return packet_file(some_packets(150_000), chunk=50_000)


def run(path: Path, *plots: type[Plot]) -> dict:
    report = process(path, list(plots), Sources())
    return {element.name: element for element in report.elements}


@pytest.mark.parametrize(
    ("plot", "reason"),
    [
        (Raises, "counting rows from 100,000: ValueError: no such pixel"),
        (Exits, "counting rows from 100,000: SystemExit: 3"),
        (FailsToDraw, "drawing: KeyError: 'adc'"),
        (FailsAtTheStart, "at the start: RuntimeError: no calibration file"),
        (CannotBeMade, "at the start: RuntimeError: no licence"),
        (IsCancelled, "counting rows from 100,000: CancelledError"),
        (Recurses, "at the start: RecursionError: maximum recursion depth exceeded"),
        (WritesIntoColumns, "at the start: ValueError: assignment destination is read-only"),
    ],
)
def test_a_plot_that_raises_is_broken_with_its_reason_and_the_others_run(
    path: Path, plot: type[Plot], reason: str
) -> None:
    elements = run(path, plot, AdcSpectrum, Simple)
    assert elements[plot.__name__].broken == reason
    assert "Traceback" in elements[plot.__name__].traceback
    assert elements[plot.__name__].figure is None
    assert not elements["AdcSpectrum"].broken
    assert elements["AdcSpectrum"].trends["mean_adc"].value
    assert elements["Simple"].figure.data[0].y[0] == 150_000


@pytest.mark.parametrize(
    ("plot", "reason"),
    [
        (NeedsChargeColumn, "needs column charge, which a packets file of version 2.4 does not have"),
        (NeedsPixels, "needs column pixel, and no known geometry fits the ids of this file"),
        (NeedsFlow, "needs flow data, this is a packets file of version 2.4"),
    ],
)
def test_a_plot_that_the_file_cannot_feed_says_so_and_its_trends_are_null(
    path: Path, plot: type[Plot], reason: str
) -> None:
    (element,) = process(path, [plot], Sources(name="of nowhere")).elements
    assert element.unavailable == reason
    assert element.trends["mean_adc"].value is None
    assert element.trends["mean_adc"].reason == reason


def test_a_simple_plot_may_return_a_new_figure(path: Path) -> None:
    assert run(path, ReturnsItsOwn)["ReturnsItsOwn"].figure.data[0].y[0] == 50_000


def test_columns_are_computed_once_for_all_plots(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dqm.formats.clock import BlockClock

    calls = []
    compute = BlockClock.time_ticks
    monkeypatch.setattr(BlockClock, "time_ticks", lambda clock: calls.append(1) or compute(clock))
    blocks = 3
    run(path, *[found.plot for found in discover().plots.values()])
    assert len(calls) <= blocks + len(discover().plots)  # once a block, and once for each empty start


def test_a_file_that_fails_half_way_shows_nothing_of_what_was_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dqm.formats.scan import Scan

    feed = Scan.feed

    def fails_later(scan: Scan, packets: object) -> None:
        if scan.rows:
            raise RuntimeError("the disk is gone")
        feed(scan, packets)  # type: ignore[arg-type]

    monkeypatch.setattr(Scan, "feed", fails_later)
    report = process(path, [Simple, AdcSpectrum], Sources())
    assert (report.state, report.rows, report.elements) == ("quarantined", None, [])
    assert report.reason == "cannot be read: RuntimeError: the disk is gone"


def trends_of(report: FileReport) -> dict[str, object]:
    return {f"{e.name}.{name}": trend.value for e in report.elements for name, trend in e.trends.items()}


def of_rows(packet_file: Callable, rows: np.ndarray, name: str = "packets.h5") -> dict[str, object]:
    every = [found.plot for found in discover().plots.values()]
    return trends_of(process(packet_file(rows, name), every, Sources(name="demo")))


def second_of_syncs(missing: tuple[int, ...] = (), silent: tuple[int, ...] = ()) -> np.ndarray:
    """Ten seconds of one io_group: a stamp, a hit and a PPS each second; the counter runs on over `missing` ones, while
    those in `silent` reset it but never arrive."""
    rows, counter = [], 0
    for second in range(10):
        rows += [(4, 1_700_000_000 + second, 0), (0, counter + 5_000_000, 0)]
        counter += 10_000_000
        if second not in missing:
            if second not in silent:
                rows.append((6, counter + 3, ord("S")))
            counter = 0
    rows += [(4, 1_700_000_010, 0), (0, 5_000_000, 0)]
    types, stamps, kinds = zip(*rows, strict=True)
    return packets_of(
        len(rows),
        io_group=1,
        io_channel=1,
        chip_id=11,
        valid_parity=1,
        packet_type=types,
        timestamp=stamps,
        trigger_type=kinds,
    )


@pytest.mark.parametrize(
    ("missing", "silent", "expected"),
    [((), (), 0), ((4,), (), 1), ((4, 5), (), 2), ((), (4,), 1), ((), (3, 6), 2), ((), tuple(range(10)), 9)],
)
def test_missing_syncs_are_counted(packet_file: Callable, missing: tuple, silent: tuple, expected: int) -> None:
    trends = of_rows(packet_file, second_of_syncs(missing, silent))
    assert trends["SyncDt.missing_syncs"] == expected
    if len(silent) < 10:
        assert trends["SyncDt.max_abs_dt_ticks"] == 3


def test_missing_syncs_of_two_files_are_those_of_each(packet_file: Callable) -> None:
    """A pause between the files of a run asks for no syncs."""
    plot = SyncDt()
    merged = plot.start()
    for start, missing in ((0, ()), (100, ()), (200, (4,))):
        rows = second_of_syncs(missing)
        rows["timestamp"][rows["packet_type"] == 4] += np.uint64(start)
        for block in cut(rows):
            merged.add(plot.count(block))
    assert missing_syncs(merged) == 1


@pytest.mark.parametrize("stamp", [0, 5, 4_000_000_000, 2**40])
def test_one_wrong_stamp_is_not_years_of_missing_syncs(packet_file: Callable, stamp: int) -> None:
    for row in (0, 15, 30):
        rows = second_of_syncs()
        rows["timestamp"][row - row % 3] = stamp
        assert of_rows(packet_file, rows, f"{row}.h5")["SyncDt.missing_syncs"] <= 1


def test_stamps_without_io_group_speak_for_all(packet_file: Callable) -> None:
    """As larnd-sim writes them."""
    for missing, expected in (((), 0), ((4,), 1)):
        rows = second_of_syncs(missing)
        rows["io_group"][rows["packet_type"] == 4] = 0
        assert of_rows(packet_file, rows, f"{expected}.h5")["SyncDt.missing_syncs"] == expected


def test_a_file_without_syncs_and_seconds_cannot_tell_of_missing_ones(packet_file: Callable) -> None:
    assert of_rows(packet_file, packets_of(10, io_group=1, valid_parity=1))["SyncDt.missing_syncs"] is None


def test_the_tile_rate_puts_each_tile_in_its_row_and_second(packet_file: Callable) -> None:
    rows = packets_of(8, io_group=1, chip_id=11, valid_parity=1, timestamp=np.arange(8) * 3_000_000)
    rows["packet_type"][[0, 4]] = 4
    rows["timestamp"][[0, 4]] = [100, 101]
    rows["io_channel"] = [0, 1, 1, 5, 0, 9, 1, 9]  # tiles 1, 1, 2 in the first second, 3, 1, 3 in the next
    report = process(packet_file(rows), [TileRate], Sources(name="demo"))
    heat = report.elements[0].figure.data[0]
    table = {name.strip(): rate.tolist() for name, rate in zip(heat.y, heat.z, strict=True) if rate.any()}
    assert table == {"1": [2, 1], "2": [1, 0], "3": [0, 2]}


def test_the_pixel_map_has_mean_spread_and_rate_of_each_pixel(packet_file: Callable) -> None:
    rows = packets_of(6, io_group=1, io_channel=1, chip_id=11, valid_parity=1, timestamp=np.arange(6) * 4_000_000)
    rows["channel_id"] = [0, 0, 0, 0, 1, 1]
    rows["dataword"] = [10, 20, 30, 40, 7, 7]
    (element,) = process(packet_file(rows), [PixelMap], Sources(name="demo")).elements
    values = {}
    for trace in element.figure.data:
        if trace.name == "io_group 1":
            values[trace.coloraxis] = sorted(trace.z[np.isfinite(trace.z)].tolist())
    assert values == {
        "coloraxis": [7, 25],
        "coloraxis2": [0, pytest.approx(np.std([10, 20, 30, 40]))],
        "coloraxis3": [1, 2],  # 2 s live
    }


def test_a_pixel_is_hot_above_five_hertz_not_at_it(packet_file: Callable) -> None:
    for n, hot in ((10, 0), (11, 1)):
        rows = packets_of(n + 1, io_group=1, io_channel=1, chip_id=11, valid_parity=1)
        rows["timestamp"] = np.linspace(0, 20_000_000, n + 1).astype(int)
        rows["channel_id"][-1] = 1
        assert of_rows(packet_file, rows, f"{n}.h5")["HotPixels.hot_pixels"] == hot


def test_equally_hot_pixels_keep_the_order_of_their_ids(packet_file: Callable) -> None:
    rows = packets_of(60, io_group=2, io_channel=1, chip_id=np.repeat(np.arange(11, 41), 2), valid_parity=1)
    rows["timestamp"] = np.arange(60) * 1_000_000
    (element,) = process(packet_file(rows[::-1]), [HotPixels], Sources(name="demo")).elements
    assert element.state is not None
    assert [label.split("-")[2] for label in hottest(element.state).labels] == [str(chip) for chip in range(11, 41)]


def test_a_chip_is_silent_only_where_chance_cannot_explain_it(packet_file: Callable) -> None:
    chips = np.arange(11, 111)
    for per_chip, expected in ((6, 1), (3, 0)):  # exp(-6) = 0.2 %, exp(-3) = 5 %
        rows = packets_of(99 * per_chip, io_group=1, io_channel=1, valid_parity=1)
        rows["chip_id"] = np.repeat(chips[chips != 42], per_chip)
        assert of_rows(packet_file, rows, f"{per_chip}.h5")["PixelMap.silent_chip_candidates"] == expected


def test_tile_trends_wait_for_a_second_of_live_time(packet_file: Callable) -> None:
    rows = packets_of(10, io_group=1, io_channel=1, chip_id=11, valid_parity=1, timestamp=np.arange(10) * 1_000_000)
    trends = of_rows(packet_file, rows)
    assert trends["TileRate.silent_tiles"] is None
    assert trends["TileRate.max_tile_rate_hz"] is None


def test_live_time_does_not_stop_at_a_missed_pps(packet_file: Callable) -> None:
    whole, missed = (of_rows(packet_file, second_of_syncs(m), f"{m}.h5") for m in ((), (4,)))
    assert whole["PacketRate.data_rate_hz"] == pytest.approx(11 / 10, rel=1e-5)
    assert missed["PacketRate.data_rate_hz"] == pytest.approx(11 / 10, rel=1e-5)


def test_packets_without_any_timestamp_still_have_rates(packet_file: Callable) -> None:
    rows = packets_of(21, io_group=1, io_channel=1, chip_id=11, valid_parity=1, timestamp=np.arange(21) * 1_000_000)
    trends = of_rows(packet_file, rows)
    assert trends["PacketRate.data_rate_hz"] == pytest.approx(10.5)
    assert trends["HotPixels.top_pixel_rate_hz"] == pytest.approx(10.5)


def test_counts_count_all_rows_and_physics_only_valid_ones(packet_file: Callable) -> None:
    rows = packets_of(10, io_group=1, io_channel=1, chip_id=11, valid_parity=1, dataword=10)
    rows["valid_parity"][:4], rows["dataword"][:4], rows["local_fifo"][:4] = 0, 250, 3
    rows["local_fifo"][4:] = [0, 0, 1, 2, 3, 0]
    trends = of_rows(packet_file, rows)
    assert trends["PacketRate.data_packets"] == 10
    assert trends["ParityErrors.invalid_parity"] == 4
    assert trends["ParityErrors.invalid_parity_fraction"] == 0.4
    assert trends["AdcSpectrum.mean_adc"] == 10
    assert trends["FifoFlags.local_half"] == pytest.approx(2 / 6)  # values 1 and 3
    assert trends["FifoFlags.local_full"] == pytest.approx(2 / 6)  # values 2 and 3


def test_silent_tiles_are_those_without_valid_data(packet_file: Callable) -> None:
    rows = packets_of(200, io_group=1, chip_id=11, valid_parity=1, timestamp=np.arange(200) * 100_000)
    rows["io_channel"] = np.arange(200) % 12 + 1  # three of the four tiles of io_group 1
    rows["valid_parity"][rows["io_channel"] <= 4] = 0  # the first sends only garbage
    assert of_rows(packet_file, rows)["TileRate.silent_tiles"] == 16 - 2


@pytest.mark.parametrize("seed", range(3))
def test_garbage_of_any_kind_never_raises_and_stays_bounded(packet_file: Callable, seed: int) -> None:
    """Random bytes as rows: every plot gives a figure and numbers."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 256, 70_000 * 36, np.uint8).view(packets_of(0).dtype)
    every = [found.plot for found in discover().plots.values()]
    report = process(packet_file(rows, chunk=10_000), every, Sources(name="demo"))
    assert not report.broken
    assert all(issubclass(element.plot, MergeablePlot) for element in report.elements)
    for element in report.elements:
        assert element.state is not None
        assert sum(array.nbytes for array in element.state.to_arrays().values()) < 30e6
        assert len(element.figure.to_json(engine="orjson")) < 10e6
