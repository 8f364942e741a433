"""What the low-level plots say of packets that are known to the last one."""

from __future__ import annotations

import numpy as np
import pytest

from dqm.demo import demo_rows
from dqm.detector import Detector, demo_detector
from dqm.formats.packets import cut
from plots.adc_means import AdcMeans, at_the_edge, moments
from plots.base import MergeablePlot, State
from plots.chip_rate import ChipRate
from plots.hydra_delay import TAIL_TICKS, HydraDelay, UartPhase
from plots.live_spans import LiveSpans
from plots.packet_types import PacketTypes
from plots.silent_channels import SilentChannels, chip_names, silent_channels, silent_chips
from plots.sync_dt import SyncDt
from plots.sync_series import SyncSeries
from tests.conftest import packets_of


@pytest.fixture(scope="module")
def detector() -> Detector:
    return demo_detector()


def counted(plot: MergeablePlot, rows: np.ndarray, detector: Detector | None = None) -> State:
    (packets,) = cut(rows, (), detector)
    return plot.start(detector).add(plot.count(packets))


def seconds_of(rows: np.ndarray, from_s: int = 1_700_000_000, length_s: float = 10) -> np.ndarray:
    """The rows with their counters spread over `length_s` (below 1e7 ticks each), after a timestamp packet."""
    stamp = packets_of(1, packet_type=4, io_group=1, timestamp=from_s)
    rows["timestamp"] = np.linspace(0, length_s * 1e7 - 1, len(rows)).astype(np.uint64)
    return np.concatenate([stamp, rows])


def every_pixel(detector: Detector, times: int, without: np.ndarray | None = None) -> np.ndarray:
    """`times` data packets of every pixel but those of the mask `without`."""
    table = detector.pixels
    keep = np.flatnonzero(~without) if without is not None else np.arange(len(table))
    chosen = np.tile(keep, times)
    columns = {name: getattr(table, name)[chosen] for name in ("io_group", "io_channel", "chip_id", "channel_id")}
    return packets_of(len(chosen), valid_parity=1, dataword=30, **columns)


# chips ---------------------------------------------------------------------------------------------------------------


def test_a_chip_that_sends_too_much_is_bad_and_its_io_channel_does_not_matter() -> None:
    rows = packets_of(12_000, io_group=1, chip_id=42, valid_parity=1)
    rows["io_channel"] = 5 + np.arange(len(rows)) % 4  # the four of tile 2
    state = counted(ChipRate(), seconds_of(rows))
    trends = ChipRate().trends(state)
    assert trends["active_chips"].value == 1
    assert trends["max_chip_rate_hz"].value == pytest.approx(1200, rel=1e-3)
    assert trends["max_chip_rate_hz"].alarm == (None, 1000)
    assert trends["busy_chips"].value == 1
    (heat,) = ChipRate().figure(state).data
    assert (list(heat.x), list(heat.y)) == ([42], ["1-2 "])


def test_without_a_second_of_live_time_there_is_no_chip_rate_and_a_reason() -> None:
    state = counted(
        ChipRate(), seconds_of(packets_of(10, io_group=1, io_channel=1, chip_id=11, valid_parity=1), 5, 0.1)
    )
    assert ChipRate().trends(state)["max_chip_rate_hz"].value is None
    assert "below 1 s" in ChipRate().trends(state)["max_chip_rate_hz"].reason
    assert ChipRate().trends(state)["active_chips"].value == 1


# silence -------------------------------------------------------------------------------------------------------------


def test_silent_channels_and_chips_are_found_and_named_once_there_are_packets_enough(detector: Detector) -> None:
    table = detector.pixels
    chip = (table.tile == table.tile[0]) & (table.chip_id == table.chip_id[0])
    dead = chip.copy()
    dead[[100, 5000]] = True
    state = counted(SilentChannels(), every_pixel(detector, 15, without=dead), detector)
    trends = SilentChannels().trends(state)
    assert np.flatnonzero(silent_channels(state).silent).tolist() == np.flatnonzero(dead).tolist()
    assert trends["silent_channels"].value == dead.sum()
    assert trends["silent_channel_fraction"].value == pytest.approx(dead.sum() / len(table))
    assert trends["silent_chips"].value == 1
    assert chip_names(state, silent_chips(state)) == [f"{table.io_group[0]}-{table.io_channel[0]}-{table.chip_id[0]}"]
    assert "silent chips:" in SilentChannels().figure(state).layout.annotations[-1].text


def test_too_few_packets_call_no_channel_silent_and_say_how_many_it_takes(detector: Detector) -> None:
    state = counted(SilentChannels(), every_pixel(detector, 2), detector)
    trend = SilentChannels().trends(state)["silent_channels"]
    assert trend.value is None
    assert "the median channel of a tile has 2 at most" in trend.reason


def test_chance_calls_about_one_channel_of_a_detector_silent_at_most(detector: Detector) -> None:
    random = np.random.default_rng(4)
    n = len(detector.pixels)
    needed = int(np.ceil(np.log(n))) + 1
    state = counted(SilentChannels(), packets_of(0), detector)
    found = []
    for _ in range(20):
        state["packets"] = random.poisson(needed, n)
        found.append(int(silent_channels(state).silent.sum()))
    assert np.mean(found) < 1


def test_without_a_geometry_nobody_can_say_which_channels_there_are() -> None:
    state = counted(SilentChannels(), packets_of(10, valid_parity=1))
    assert all(trend.value is None and trend.reason for trend in SilentChannels().trends(state).values())


# charge --------------------------------------------------------------------------------------------------------------


def test_means_and_deviations_are_those_of_numpy_for_each_channel(detector: Detector) -> None:
    rows = demo_rows()
    state = counted(AdcMeans(), rows, detector)
    (packets,) = cut(rows, (), detector)
    data = packets.data
    mean, std = moments(state)
    busiest = np.argsort(-state["packets"])[:50]
    for pixel in busiest.tolist():
        adc = data["dataword"][data["pixel"] == pixel]
        assert mean[pixel] == pytest.approx(adc.mean())
        assert std[pixel] == pytest.approx(adc.std(), abs=1e-6)
    trends = AdcMeans().trends(state)
    assert trends["median_channel_mean"].value == pytest.approx(np.nanmedian(mean))


def test_the_edges_of_a_tile_are_its_outermost_rows_and_columns(detector: Detector) -> None:
    edge, table = at_the_edge(detector), detector.pixels
    one = table.tile == table.tile[0]
    n_y, n_z = len(np.unique(table.y[one])), len(np.unique(table.z[one]))
    assert one.sum() == n_y * n_z
    assert edge[one].sum() == 2 * n_y + 2 * n_z - 4


# times ---------------------------------------------------------------------------------------------------------------


def test_a_packet_read_out_after_a_reset_travels_forwards_and_zero_is_no_receipt() -> None:
    rows = packets_of(4, valid_parity=1, io_group=2)
    rows["timestamp"], rows["receipt_timestamp"] = [100, 9_999_900, 500, 100], [364, 64, 0, 100 + TAIL_TICKS + 1]
    state = counted(HydraDelay(), rows)
    assert state["ticks"].tolist() == [264 + 164 + TAIL_TICKS + 1, 3]
    assert state["words"][2].nonzero()[0].tolist() == [0, 1, 200]
    trends = HydraDelay().trends(state)
    assert trends["hydra_tail_fraction"].value == pytest.approx(1 / 3)
    assert trends["mean_hydra_delay"].value == pytest.approx((264 + 164 + TAIL_TICKS + 1) / 3)
    phase = counted(UartPhase(), rows)["phase"][2]
    assert phase.nonzero()[0].tolist() == [0, 1, 164]


def test_times_in_which_a_pacman_lives_are_drawn_and_gaps_counted() -> None:
    first = seconds_of(packets_of(31, valid_parity=1, io_group=1), 1_700_000_000, 3)
    state = counted(LiveSpans(), first)
    later = counted(LiveSpans(), seconds_of(packets_of(2, valid_parity=1, io_group=1), 1_700_000_009, 1))
    state.merge(later)
    trends = LiveSpans().trends(state)
    assert trends["clock_gaps"].value == 1
    assert trends["live_time_s"].value == pytest.approx(4.0, abs=1e-3)
    (line,) = LiveSpans().figure(state).data
    assert line.x[0] == "2023-11-14 22:13:20"
    assert line.x[2] is None
    assert "4.0 s" in line.name


def test_syncs_lie_where_their_second_is() -> None:
    rows = np.concatenate(
        [
            part
            for second in range(3)
            for part in (
                packets_of(1, packet_type=4, io_group=3, timestamp=1_700_000_000 + second),
                packets_of(1, packet_type=6, trigger_type=ord("S"), io_group=3, timestamp=10_000_000 + 7 * second),
            )
        ]
    )
    (line,) = SyncSeries().figure(counted(SyncSeries(), rows)).data
    assert line.y.tolist() == [0.0, 7.0, 14.0]
    assert line.x[0] == "2023-11-14 22:13:20"


def test_shares_of_the_types_add_up_and_configuration_while_taking_data_is_an_alarm() -> None:
    rows = seconds_of(packets_of(1000, valid_parity=1, io_group=1))
    rows["packet_type"][101:111] = 2
    state = counted(PacketTypes(), rows)
    trends = PacketTypes().trends(state)
    assert trends["config_fraction"].value == pytest.approx(10 / 1001)
    assert trends["data_fraction"].value == pytest.approx(990 / 1001)
    assert trends["config_rate_hz"].value == pytest.approx(1.0, rel=1e-2)
    shares = [line.y for line in PacketTypes().figure(state).data]
    assert np.sum(shares, axis=0) == pytest.approx(1)


def test_words_of_limits_on_both_sides_of_zero_stand_outside_their_lines() -> None:
    notes = {note.text: note.xanchor for note in SyncDt().figure(SyncDt().start()).layout.annotations}
    sides = {text: side for text, side in notes.items() if "suspect" in text or "bad" in text}
    assert sides == {"suspect -10": "right", "suspect +10": "left", "bad -100": "right", "bad +100": "left"}
