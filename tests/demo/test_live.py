"""The demo detector on shift: files that grow in their time, packet files that follow, whole files at any stop."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from dqm.checks.range_check import Quality, judge
from dqm.demo import DemoRun, LiveDetector, demo_rows, slices
from dqm.demo import live as live_module
from dqm.demo.live import DAY_S, SCENARIOS
from dqm.detector import Detector, demo_detector
from dqm.formats import cut, open_file
from dqm.formats.columns import PACKET_DTYPE, TICKS_PER_SECOND, PacketType
from dqm.formats.names import parse_name
from plots.base import MergeablePlot
from plots.discovery import discover

NOON = 1_720_000_000.4


class Clock(threading.Event):
    """A stop event whose waits cost no time but move a clock; `each` is called after every wait with the new time."""

    def __init__(self, each: Callable[[float], None] = lambda _: None, cost_s: float = 0.0):
        super().__init__()
        self.time, self.cost_s, self.waited, self.each = NOON, cost_s, 0.0, each

    def now(self) -> float:
        self.time += self.cost_s
        return self.time

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.time += timeout
        self.waited += timeout
        self.each(self.time)
        return self.is_set()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return demo_detector()


def live_in(directory: Path, clock: Clock, detector: Detector, **options: Any) -> LiveDetector:
    parameters = {"subrun_s": 2, "run_s": 5, "now": clock.now, "detector": detector}
    return LiveDetector(directory, **parameters | options)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def raw_files(directory: Path) -> list[Path]:
    return sorted((directory / "raw").iterdir())


def packet_files(directory: Path) -> list[Path]:
    return sorted((directory / "packets").iterdir())


def read_all(path: Path) -> dict[str, np.ndarray]:
    with open_file(path) as reader:
        blocks = list(reader.blocks())
        assert not reader.faults
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0].columns}


def rows_in(path: Path) -> tuple[str, int]:
    """State of a file, and the packets in it."""
    with open_file(path) as reader:
        return reader.state, sum(map(len, reader.blocks()))


def test_the_files_of_a_run_are_named_as_a_daq_names_them(tmp_path: Path, detector: Detector) -> None:
    clock = Clock()
    live_in(tmp_path, clock, detector).run(clock, runs=1)
    stamps = ["2024_07_03_09_46_40", "2024_07_03_09_46_42", "2024_07_03_09_46_44"]
    assert names_in(tmp_path / "raw") == [f"binary-0000001-{stamp}_UTC.h5" for stamp in stamps]
    assert names_in(tmp_path / "packets") == [f"packet-0000001-{stamp}_UTC.hdf5" for stamp in stamps]


def test_a_raw_file_can_be_followed_while_it_grows(tmp_path: Path, detector: Detector) -> None:
    seen: list[tuple[str, str, int]] = []

    def follow(_: float) -> None:
        seen.extend((path.name[-9:-7], *rows_in(path)) for path in raw_files(tmp_path)[-1:])

    clock = Clock(follow)
    live = live_in(tmp_path, clock, detector, subrun_s=3, packets_delay_s=60.0)
    live.run(clock, runs=1)
    pieces = list(slices(live.demo_run(1, int(NOON)), detector, 3))
    first, second = (list(accumulate(p.rows for p in pieces if p.subrun == subrun)) for subrun in (0, 1))
    # the last slice of a subrun takes no time: when the next second is over, it is there and the file is closed
    assert seen == [
        ("40", "growing", first[0]),
        ("40", "growing", first[1]),
        ("40", "ok", first[3]),
        ("43", "growing", second[0]),
    ]
    assert [rows_in(path) for path in raw_files(tmp_path)] == [("ok", first[-1]), ("ok", second[-1])]


def test_raw_and_packet_file_of_a_subrun_are_one_datum(tmp_path: Path, detector: Detector) -> None:
    clock = Clock()
    live_in(tmp_path, clock, detector).run(clock, runs=1)
    for raw_path, packets_path in zip(raw_files(tmp_path), packet_files(tmp_path), strict=True):
        raw, packets = read_all(raw_path), read_all(packets_path)
        assert set(PACKET_DTYPE.names or ()) < set(raw) == set(packets)
        for name in raw:
            assert np.array_equal(raw[name], packets[name]), name
        with h5py.File(raw_path) as a, h5py.File(packets_path) as b:
            assert np.array_equal(a["daq_configs"][:], b["daq_configs"][:])
            assert a["meta"].attrs["created"] == b["_header"].attrs["created"] == parse_start(raw_path)


def parse_start(path: Path) -> float:
    start = parse_name(path).start
    assert start is not None
    return start.timestamp()


def test_the_subruns_of_a_run_hold_every_word_of_it_once(tmp_path: Path, detector: Detector) -> None:
    clock = Clock()
    live = live_in(tmp_path, clock, detector)
    live.run(clock, runs=1)
    whole = demo_rows(live.demo_run(1, int(NOON)), detector)
    parts = [read_all(path) for path in packet_files(tmp_path)]
    # a message that a cut divides has two timestamp packets; everything else is there once
    names = ("packet_type", "io_group", "io_channel", "chip_id", "channel_id", "timestamp", "dataword")
    columns = [np.concatenate([part[name] for part in parts]) for name in names]
    expected = [whole[name] for name in names]
    assert np.array_equal(sorted_words(expected), sorted_words(columns))


def sorted_words(columns: list[np.ndarray]) -> np.ndarray:
    is_word = columns[0] != PacketType.TIMESTAMP
    return np.sort(np.rec.fromarrays([column[is_word] for column in columns]))


def test_no_stamp_is_ever_in_the_future(tmp_path: Path, detector: Detector) -> None:
    written_at, checked = [NOON], set()

    def check(time: float) -> None:
        for path in raw_files(tmp_path)[-1:]:
            columns = read_all(path)
            assert columns["unix_time"].max() <= written_at[-1]
            sure = (columns["packet_type"] == PacketType.DATA) & (columns["valid_parity"] == 1)
            assert columns["time_ticks"][sure].max() / TICKS_PER_SECOND <= written_at[-1]
            checked.add(path.name)
        written_at.append(time)

    clock = Clock(check)
    live_in(tmp_path, clock, detector, run_s=6, packets_delay_s=60.0).run(clock, runs=2)
    assert checked == set(names_in(tmp_path / "raw"))


def test_a_stop_in_the_middle_leaves_whole_files(tmp_path: Path, detector: Detector) -> None:
    def stop_later(time: float) -> None:
        if time > NOON + 3.5:
            clock.set()

    clock = Clock(stop_later)
    live = live_in(tmp_path, clock, detector)
    live.run(clock)
    seconds = [piece.rows for piece in slices(live.demo_run(1, int(NOON)), detector, 2)]
    rows = [("ok", sum(seconds[:3])), ("ok", seconds[3])]  # two seconds and their end; then one second
    assert [rows_in(path) for path in raw_files(tmp_path)] == rows
    assert [rows_in(path) for path in packet_files(tmp_path)] == rows


def test_a_stop_before_the_first_second_is_over_leaves_no_file(tmp_path: Path, detector: Detector) -> None:
    clock = Clock(lambda _: clock.set())
    live_in(tmp_path, clock, detector).run(clock)
    assert names_in(tmp_path) == ["packets", "raw"]
    assert names_in(tmp_path / "raw") == names_in(tmp_path / "packets") == []


def test_run_numbers_go_on_after_a_restart(tmp_path: Path, detector: Detector) -> None:
    for _ in range(2):
        clock = Clock()
        live_in(tmp_path, clock, detector, run_s=1).run(clock, runs=2)
    assert [parse_name(path).run for path in raw_files(tmp_path)] == [1, 2, 3, 4]
    assert [parse_name(path).run for path in packet_files(tmp_path)] == [1, 2, 3, 4]
    live = live_in(tmp_path, clock, detector, run_s=1, first_run=50)
    live.run(clock, runs=1)
    assert parse_name(raw_files(tmp_path)[-1]).run == 50


def test_what_was_taken_is_never_written_over(tmp_path: Path, detector: Detector) -> None:
    clock = Clock()
    live_in(tmp_path, clock, detector, run_s=1).run(clock, runs=1)
    again = Clock()
    with pytest.raises(FileExistsError) as caught:
        live_in(tmp_path, again, detector, run_s=1, first_run=1).run(again, runs=1)
    assert caught.value.filename == str(raw_files(tmp_path)[0])


def test_runs_differ_though_the_seed_is_one(tmp_path: Path, detector: Detector) -> None:
    live = live_in(tmp_path, Clock(), detector)
    assert live.demo_run(1, 0).seed != live.demo_run(2, 0).seed
    assert live.demo_run(1, 0) == live_in(tmp_path, Clock(), detector).demo_run(1, 0)


def test_packet_files_come_after_their_delay_and_not_before(tmp_path: Path, detector: Detector) -> None:
    closed = int(NOON) + 2  # the stamp of the second subrun is when the first one is closed
    early: list[str] = []

    def look(time: float) -> None:
        if time < NOON + 2 + 1.5 - 1e-6:
            early.extend(names_in(tmp_path / "packets"))
        else:
            assert parse_start(raw_files(tmp_path)[1]) == closed

    clock = Clock(look)
    live_in(tmp_path, clock, detector, packets_delay_s=1.5).run(clock, runs=1)
    assert early == []
    assert len(packet_files(tmp_path)) == 3


def test_seconds_do_not_wait_for_a_slow_packetiser(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, make = threading.Event(), live_module._make_packets

    def slow(*arguments: Any) -> None:
        assert later.wait(60), "the seconds waited for the packetiser"
        make(*arguments)

    monkeypatch.setattr(live_module, "_make_packets", slow)
    clock = Clock(lambda time: later.set() if time > NOON + 4.5 else None)
    live_in(tmp_path, clock, detector, packets_delay_s=0.0).run(clock, runs=1)
    assert len(packet_files(tmp_path)) == 3


def test_what_goes_wrong_in_the_packetiser_is_raised(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(live_module.PacketWriter, "write", broken)
    clock = Clock()
    with pytest.raises(OSError, match=r"Input/output error: '.*packet-0000001-2024_07_03_09_46_40_UTC\.hdf5'"):
        live_in(tmp_path, clock, detector).run(clock)
    assert names_in(tmp_path / "packets") == []


def test_seconds_keep_to_a_schedule_however_long_writing_takes(tmp_path: Path, detector: Detector) -> None:
    times: list[float] = []
    clock = Clock(times.append, cost_s=0.02)
    said: list[str] = []
    live_in(tmp_path, clock, detector, run_s=12, subrun_s=4, packets_delay_s=100).run(clock, said.append, runs=1)
    since = np.array(times) - NOON
    assert len(since) == 12
    assert np.abs(since - np.arange(1, 13)).max() < 0.25
    assert not any("keep up" in sentence for sentence in said)


def test_a_detector_that_is_too_slow_says_so_once_and_goes_on(tmp_path: Path, detector: Detector) -> None:
    said: list[str] = []
    clock = Clock(cost_s=1.0)  # each look at the clock takes a second
    live_in(tmp_path, clock, detector).run(clock, said.append, runs=2)
    assert said.count("the demo detector cannot keep up at speed 1") == 1
    assert len(raw_files(tmp_path)) == len(packet_files(tmp_path)) == 6


def test_a_wall_clock_that_is_set_back_does_not_halt_the_detector(tmp_path: Path, detector: Detector) -> None:
    def set_back(time: float) -> None:
        if len(raw_files(tmp_path)) == 2 and time > NOON:
            clock.time -= 3600

    clock = Clock(set_back)
    live_in(tmp_path, clock, detector, run_s=10).run(clock, runs=1)
    assert clock.time < NOON
    assert clock.waited < 10 + 2
    assert len(packet_files(tmp_path)) == 5


def test_a_faster_detector_has_a_clock_of_its_own_that_goes_on_from_run_to_run(
    tmp_path: Path, detector: Detector
) -> None:
    clock = Clock()
    live_in(tmp_path, clock, detector, speed=100.0, pause_s=1.5).run(clock, runs=2)
    begins = int(NOON) - DAY_S
    assert [parse_start(path) - begins for path in raw_files(tmp_path)] == [0, 2, 4, 7, 9, 11]
    assert clock.time - NOON == pytest.approx((5 + 1.5 + 5) / 100, abs=1e-3)


def test_what_happens_is_said_in_sentences(tmp_path: Path, detector: Detector) -> None:
    said: list[str] = []
    clock = Clock()
    live_in(tmp_path, clock, detector, run_s=3, first_run=2).run(clock, said.append, runs=2)
    rows = [sum(rows_in(path)[1] for path in packet_files(tmp_path)[at : at + 2]) for at in (0, 2)]
    assert said == [
        "run 2 begins: noisy link: parity errors",
        f"run 2 ended: {rows[0]:,} packets in 2 raw files",
        "run 3 begins: all well",
        f"run 3 ended: {rows[1]:,} packets in 2 raw files",
    ]


def test_a_stop_in_real_time_is_immediate(tmp_path: Path, detector: Detector) -> None:
    """With the wall clock and a pause of an hour, which the stop cuts short."""
    stop, ended = threading.Event(), threading.Event()
    live = LiveDetector(tmp_path, 500.0, subrun_s=2, run_s=4, pause_s=1.8e6, detector=detector)
    thread = threading.Thread(target=live.run, args=(stop, lambda said: ended.set() if "ended" in said else None))
    thread.start()
    assert ended.wait(60)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert [rows_in(path)[0] for path in raw_files(tmp_path)] == ["ok", "ok"]
    assert [rows_in(path)[0] for path in packet_files(tmp_path)] == ["ok", "ok"]


def test_a_full_disk_is_an_error_with_the_path_and_leaves_files_closed(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10**9]
    monkeypatch.setattr(live_module, "disk_usage", lambda _: SimpleNamespace(free=free[0]))

    def fill(time: float) -> None:
        free[0] = 10**9 if time < NOON + 3.5 else 10**6

    clock = Clock(fill)
    with pytest.raises(OSError, match="No space left on device") as caught:
        live_in(tmp_path, clock, detector).run(clock)
    raw = raw_files(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(raw[-1])
    assert [rows_in(path)[0] for path in raw] == ["ok", "ok"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_vanishes_is_an_error_with_the_path(tmp_path: Path, detector: Detector) -> None:
    clock = Clock(lambda time: shutil.rmtree(tmp_path / "raw") if time < NOON + 1.5 else None)
    with pytest.raises(FileNotFoundError) as caught:
        live_in(tmp_path, clock, detector).run(clock)
    assert str(tmp_path / "raw") in str(caught.value)


def test_a_directory_that_cannot_be_made_is_an_error_with_the_path(tmp_path: Path, detector: Detector) -> None:
    (tmp_path / "data").write_text("not a directory")
    clock = Clock()
    with pytest.raises(OSError, match="data"):
        live_in(tmp_path / "data", clock, detector).run(clock)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speed": 0.0}, r"speed is 0\.0"),
        ({"speed": float("inf")}, "speed is inf"),
        ({"subrun_s": 0}, "subrun_s is 0"),
        ({"run_s": 1.5}, r"run_s is 1\.5"),
        ({"pause_s": -1.0}, r"pause_s is -1\.0"),
        ({"packets_delay_s": -1.0}, r"packets_delay_s is -1\.0"),
    ],
)
def test_parameters_that_make_no_shift_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        LiveDetector(tmp_path, **changes)


OUTSIDE = (Quality.SUSPECT, Quality.BAD)
SHOWN_BY = {
    "noisy link: parity errors": {"invalid_parity_fraction", "config_rate_hz"},  # a flipped bit makes another type
    "hot pixels": {"hot_pixels", "top_pixel_rate_hz", "max_chip_rate_hz"},
    "a clock runs 20 ppm fast": {"max_abs_dt_ticks"},
}


@pytest.mark.parametrize("words", sorted({words for words, _ in SCENARIOS}))
def test_trends_are_outside_their_limits_only_where_the_scenario_says_so(words: str, detector: Detector) -> None:
    changes = next(changes for name, changes in SCENARIOS if name == words)
    rows = demo_rows(DemoRun(seed=2, duration_s=10.0, **changes), detector)
    outside = set()
    for plot in (found.plot() for found in discover().plots.values()):
        assert isinstance(plot, MergeablePlot)
        state = plot.start(detector)
        for packets in cut(rows, detector=detector):
            state.add(plot.count(packets))
        verdicts = {name: judge(trend) for name, trend in plot.read_trends(state).items()}
        outside |= {name for name, verdict in verdicts.items() if verdict and verdict.quality in OUTSIDE}
    assert outside == SHOWN_BY.get(words, set())
