"""Tracks, spills and what is in the packets of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dqm.demo import DemoRun, Taken
from dqm.demo.channels import Channels
from dqm.demo.physics import DRIFT_CM_PER_US, hits_of_second, spills_of_second
from dqm.demo.tracks import Lines, cross, volumes_of
from dqm.detector import demo_detector
from dqm.formats import Packets
from dqm.formats.columns import TICKS_PER_SECOND, PacketType, SyncKind
from tests.demo.runs import small_run

QUIET = small_run(
    cosmic_hz=0.0,
    pps_cosmics=0,
    ar39_hz=0.0,
    hot_pixel_hz=(),
    tracks_per_spill=0.0,
    dead_chips=0,
    disabled_fraction=0.0,
    lifetime_us=1e12,
)


def test_each_volume_reaches_from_its_anode_to_the_cathode_of_its_module() -> None:
    detector = demo_detector()
    volumes = volumes_of(detector)
    assert [volume.io_group for volume in volumes] == [1, 2, 3, 4]
    for volume in volumes:
        assert volume.high[0] - volume.low[0] == pytest.approx(detector.drift_length_cm)
    for left, right in (volumes[:2], volumes[2:]):
        assert left.anode_x == pytest.approx(left.low[0])
        assert right.anode_x == pytest.approx(right.high[0])
        assert left.high[0] == pytest.approx(right.low[0])


def test_a_line_along_the_beam_crosses_one_row_of_pixels_at_its_depth() -> None:
    detector = demo_detector()
    volume = volumes_of(detector)[0]
    point = np.array([[volume.anode_x + 10.0, 5.0, 0.0]])
    pieces = cross(volume, Lines(point, np.array([[0.0, 0.0, 1.0]]), np.zeros(1)))
    assert len(pieces.pixel) == 140
    assert len(np.unique(pieces.pixel)) == 140
    assert np.abs(detector.pixels.y[pieces.pixel] - 5.0).max() < 0.23
    assert pieces.drift_cm == pytest.approx(10.0)
    assert pieces.length_cm.sum() == pytest.approx(volume.high[2] - volume.low[2])


def test_lines_lose_no_length_and_hit_the_nearest_pixel() -> None:
    detector = demo_detector()
    rng = np.random.default_rng(3)
    direction = rng.normal(size=(200, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    lines = Lines(rng.uniform(-25, 25, (200, 3)) - np.array([33, 0, 0]), direction, np.zeros(200))
    volume = volumes_of(detector)[0]
    pieces = cross(volume, lines)
    # sampling each line in small steps tells how much of it lies inside
    steps = np.arange(-150, 150, 0.02)
    for number in range(0, 200, 20):
        samples = lines.point[number] + steps[:, None] * direction[number]
        inside = ((samples > volume.low) & (samples < volume.high)).all(axis=1)
        assert pieces.length_cm[pieces.line == number].sum() == pytest.approx(inside.sum() * 0.02, abs=0.1)
    assert (np.diff(pieces.line) >= 0).all()
    assert pieces.drift_cm.min() >= 0
    assert pieces.drift_cm.max() <= detector.drift_length_cm


def test_hits_of_a_cosmic_come_a_drift_time_after_it() -> None:
    run = replace(QUIET, cosmic_hz=5.0)
    channels = Channels.of(run, demo_detector())
    second = hits_of_second(run, channels, volumes_of(demo_detector()), 0)
    assert len(second.cosmic_ticks) > 0
    nearest = np.searchsorted(second.cosmic_ticks, second.hits["time"]) - 1
    drift_us = (second.hits["time"] - second.cosmic_ticks[nearest]) / 10
    assert drift_us.min() >= 0
    assert drift_us.max() < demo_detector().drift_length_cm / DRIFT_CM_PER_US


def test_beam_tracks_come_within_ten_microseconds_of_their_spill() -> None:
    run = replace(QUIET, tracks_per_spill=10.0, first_spill_s=0.5)
    channels = Channels.of(run, demo_detector())
    second = hits_of_second(run, channels, volumes_of(demo_detector()), 0)
    assert second.spill_ticks.tolist() == [5_000_000]
    since_us = (second.hits["time"] - 5_000_000) / 10
    assert 0 <= since_us.min() < 20
    assert since_us.max() < 10 + demo_detector().drift_length_cm / DRIFT_CM_PER_US


def test_charge_decreases_along_the_drift() -> None:
    run = replace(QUIET, tracks_per_spill=150.0, first_spill_s=0.5, lifetime_us=200.0)
    channels = Channels.of(run, demo_detector())
    hits = hits_of_second(run, channels, volumes_of(demo_detector()), 0).hits
    charge = hits["adc"] - channels.pedestal[hits["pixel"]]
    early, late = (charge[within] for within in (hits["time"] < 5_000_300, hits["time"] > 5_001_500))
    assert np.median(late) < 0.7 * np.median(early)


@pytest.mark.parametrize("period", [1.2, 1.0, 0.25, 1 / 3, 7.0])
def test_no_spill_is_lost_or_doubled_between_seconds(period: float) -> None:
    run = small_run(spill_period_s=period, first_spill_s=0.5)
    times = np.concatenate([second * TICKS_PER_SECOND + spills_of_second(run, second) for second in range(30)])
    assert len(times) == np.ceil((30 - 0.5) / period)
    assert np.diff(times) == pytest.approx(round(period * TICKS_PER_SECOND))


def test_packets_of_each_kind_are_as_many_as_the_truth_says(rows: np.ndarray, taken: Taken) -> None:
    truth = taken.truth
    flipped = truth["n_bitflipped_words"]
    for kind, number in truth["packets_by_type"].items():
        found = np.count_nonzero(rows["packet_type"] == int(kind))
        assert number > 0
        assert abs(found - number) <= (flipped if kind == "0" else 0)
    assert len(rows) == truth["n_rows"] == truth["n_words"] + truth["n_messages"]


def test_parity_errors_are_the_flipped_words(rows: np.ndarray, taken: Taken) -> None:
    words = rows[rows["packet_type"] < PacketType.TIMESTAMP]
    assert np.count_nonzero(words["valid_parity"] == 0) == taken.truth["n_bitflipped_words"] > 0


def test_a_flipped_bit_can_make_another_packet_type() -> None:
    from dqm.demo import demo_rows

    words = demo_rows(small_run(parity_error_fraction=0.2))
    assert {1, 2} <= set(words["packet_type"][words["valid_parity"] == 0].tolist())


def test_fifo_flags_are_as_many_as_the_truth_says(packets: Packets, taken: Taken) -> None:
    flipped = taken.truth["n_bitflipped_words"]
    for name in ("local_fifo", "shared_fifo"):
        found = np.bincount(packets.data[name], minlength=4)
        assert found[2] == 0
        for flag in (1, 3):
            assert found[flag] > 0
            assert 0 <= taken.truth[name][str(flag)] - found[flag] <= flipped
        assert found[1] + found[3] < 0.2 * len(packets.data)


def test_the_hot_pixels_are_the_busiest_and_at_their_rates(packets: Packets, taken: Taken, run: DemoRun) -> None:
    detector = demo_detector()
    count = np.bincount(packets.data["pixel"], minlength=len(detector.pixels))
    busiest = np.argsort(count)[::-1][: len(run.hot_pixel_hz)]
    assert detector.labels(busiest) == list(taken.truth["hot_pixels"])
    for number, rate in zip(count[busiest], run.hot_pixel_hz, strict=True):
        expected = rate * run.duration_s
        assert number == pytest.approx(expected, abs=5 * np.sqrt(expected) + 0.02 * expected)


def test_dead_chips_and_disabled_channels_are_silent(packets: Packets, taken: Taken) -> None:
    detector = demo_detector()
    labels = set(detector.labels(np.unique(packets.data["pixel"])))
    dead = taken.truth["dead_chips"]
    assert len(dead) == 1
    assert not any(label.rpartition("-")[0] in dead for label in labels)
    disabled = set(taken.truth["disabled_channels"])
    assert len(disabled) > 300
    assert not labels & disabled
    assert taken.truth["n_alive"] == len(detector.pixels) - 49 - len(disabled)


def test_all_valid_data_are_inside_the_detector(packets: Packets) -> None:
    assert packets.data["pixel"].min() >= 0
    assert packets.data["tile"].min() >= 1


def test_time_goes_forward_but_for_the_latency_of_the_readout(packets: Packets, run: DemoRun) -> None:
    ticks, group = packets.data["time_ticks"], packets.data["io_group"]
    for io_group in demo_detector().io_groups:
        own = ticks[group == io_group]
        assert np.diff(own).min() > -4000
        assert (own.max() - own.min()) / TICKS_PER_SECOND == pytest.approx(run.duration_s, abs=0.02)
        assert own.min() >= run.start_unix * TICKS_PER_SECOND


def test_hits_made_before_a_pps_and_read_out_after_it_follow_it(rows: np.ndarray) -> None:
    valid = (rows["packet_type"] == PacketType.DATA) & (rows["valid_parity"] == 1)
    late = np.flatnonzero(valid & (rows["receipt_timestamp"] < rows["timestamp"]))
    assert len(late) > 10
    is_pps = (rows["packet_type"] == PacketType.SYNC) & (rows["trigger_type"] == SyncKind.PPS)
    for row in late:
        before = np.flatnonzero(is_pps[:row] & (rows["io_group"][:row] == rows["io_group"][row]))
        assert len(before) > 0
        stamps = np.count_nonzero(rows["packet_type"][before[-1] : row] == PacketType.TIMESTAMP)
        assert stamps == 0, "in the message of the PPS"
        assert rows["receipt_timestamp"][row] > 0
    latency = rows["receipt_timestamp"][valid].astype(int) - rows["timestamp"][valid].astype(int)
    assert latency[latency > 0].min() >= 100
    assert latency.max() <= 3000


def test_each_io_group_has_its_own_clock(rows: np.ndarray, run: DemoRun) -> None:
    pps = rows[(rows["packet_type"] == PacketType.SYNC) & (rows["trigger_type"] == SyncKind.PPS)]
    assert pps["io_group"].tolist() == [1, 2, 3, 4] * int(run.duration_s)
    assert set((pps["timestamp"].astype(int) - TICKS_PER_SECOND).tolist()) == {3, 25, 0, 7}
    kinds, number = np.unique(rows["trigger_type"][rows["packet_type"] == PacketType.SYNC], return_counts=True)
    assert dict(zip(kinds.tolist(), number.tolist(), strict=True)) == {ord("C"): 4, ord("H"): 16, ord("S"): 8}


def test_triggers_stand_at_the_spills(packets: Packets, taken: Taken, run: DemoRun) -> None:
    triggers = packets.of_type(PacketType.TRIGGER)
    assert set(triggers["trigger_type"].tolist()) == {2}
    assert set(triggers["io_group"].tolist()) == {run.trigger_io_group}
    since_start = triggers["time_ticks"] / TICKS_PER_SECOND - run.start_unix
    assert since_start == pytest.approx(taken.truth["spill_times"], abs=1e-5)


def test_every_message_says_its_own_second(packets: Packets, run: DemoRun) -> None:
    seconds = packets["time_ticks"] / TICKS_PER_SECOND - packets["unix_time"]
    known = packets["time_ticks"] > 0
    valid = known & ((packets["packet_type"] != PacketType.DATA) | (packets["valid_parity"] == 1))
    assert seconds[valid].min() > -0.001
    assert seconds[valid].max() < 1.001
