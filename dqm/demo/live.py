"""The demo detector on shift: it takes run after run in wall-clock time, with files as a DAQ and its packetiser leave."""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count
from pathlib import Path
from shutil import disk_usage
from typing import Any, Self

from dqm.demo.channels import Channels, daq_configs
from dqm.demo.readout import Slice, slices
from dqm.demo.run import DemoRun
from dqm.demo.take import PACKETS_NAME, PART, RAW_NAME
from dqm.detector import Detector, demo_detector
from dqm.formats import UnreadableFile, open_file
from dqm.formats.convert import rows_of_today
from dqm.formats.hdf5 import one_line
from dqm.formats.names import parse_name
from dqm.formats.writers import PacketWriter, RawWriter

DAY_S = 86_400
BEHIND_S = 1.0
"""So late the detector may be [s] before it says that it cannot keep up; at low speed, a second of data."""
RESERVE_BYTES = 32 * 2**20
"""What a disk must have left before each write: HDF5 does not survive a full one (it fails in close, or crashes)."""

# inside the default limits of all trends from the third second of a file on; before, a track along the drift can make a
# pixel look hot (5 Hz are 10 hits in 2 s)
QUIET: dict[str, Any] = {
    "parity_error_fraction": 5e-6,
    "hot_pixel_hz": (1.0, 0.7, 0.5),
    "clock_ppm": (0.3, 0.5, 0.0, 0.7),
}
SCENARIOS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("all well", QUIET),
    ("noisy link: parity errors", QUIET | {"parity_error_fraction": 5e-3}),
    ("all well", QUIET),
    ("hot pixels", QUIET | {"hot_pixel_hz": (900.0, 400.0, 250.0, 120.0, 60.0)}),
    ("all well", QUIET),
    ("a clock runs 20 ppm fast", QUIET | {"clock_ppm": (0.3, 20.0, 0.0, 0.7)}),
    ("all well", QUIET),
    ("impure argon, three dead chips", QUIET | {"lifetime_us": 150.0, "dead_chips": 3}),
)
"""What is the matter in a run, and how its DemoRun differs from the default: in turn, by run number."""


@dataclass(frozen=True)
class LiveDetector:
    """A detector with its DAQ: `run` fills `directory` with raw files that grow, and packet files that follow them.

    At `speed` 1 its seconds last a second and its stamps are those of `now`. When it is faster its own clock begins a day
    before now and goes on from run to run, so that its stamps stay in the past until that day is used up.
    """

    directory: Path
    speed: float = 1.0
    subrun_s: int = 10
    run_s: int = 180
    seed: int = 1
    pause_s: float = 5.0
    """Between two runs [s of the detector's clock], as is `packets_delay_s`, from a raw file to its packet file."""
    packets_delay_s: float = 2.0
    now: Callable[[], float] = time.time
    detector: Detector | None = None
    first_run: int | None = None
    """Number of the first run; None goes on after the highest in the file names under `directory`."""

    def __post_init__(self) -> None:
        if not (self.speed > 0 and math.isfinite(self.speed)):
            raise ValueError(f"speed is {self.speed}, expected more than 0, such as 1 for wall-clock time")
        for name in ("subrun_s", "run_s"):
            seconds = getattr(self, name)
            if seconds != int(seconds) or seconds < 1:
                raise ValueError(f"{name} is {seconds}, expected a whole number of seconds, at least 1")
        for name in ("pause_s", "packets_delay_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")

    def run(self, stop: threading.Event, say: Callable[[str], None] | None = None, runs: int | None = None) -> None:
        """Takes `runs` runs (None: for ever) or until `stop` is set, then leaves whole files only.

        `say` is told in a sentence what happens. Raises OSError, with the path, when a file cannot be written.
        """
        for folder in (self._raw_folder, self._packets_folder):
            folder.mkdir(parents=True, exist_ok=True)
        with _Packetiser() as packetiser:
            _Shift(self, stop, say or (lambda _: None), packetiser).take(runs)

    def demo_run(self, number: int, start_unix: int) -> DemoRun:
        """What happens in run `number`: the scenario whose turn it is, with random numbers of its own."""
        _, changes = scenario_of(number)
        return DemoRun(seed=self.seed + number, duration_s=self.run_s, start_unix=start_unix, **changes)

    def paths(self, number: int, unix: int) -> tuple[Path, Path]:
        """The raw file and the packet file of the subrun of run `number` that begins at `unix`."""
        stamp = datetime.fromtimestamp(unix, UTC).strftime("%Y_%m_%d_%H_%M_%S")
        names = [name.format(run=number, stamp=stamp) for name in (RAW_NAME, PACKETS_NAME)]
        return self._raw_folder / names[0], self._packets_folder / names[1]

    def next_run(self) -> int:
        """The number of the first run that would be taken now."""
        if self.first_run is not None:
            return self.first_run
        return max((parse_name(path).run or 0 for path in self.directory.rglob("*")), default=0) + 1

    def after_the_last(self) -> int:
        """A time [unix s] after all data that are there: a restart does not go back in time. 0 when there are none."""
        starts = [name.start for path in self.directory.rglob("*") if (name := parse_name(path)).start]
        return int(max(starts).timestamp()) + self.subrun_s + math.ceil(self.pause_s) if starts else 0

    @property
    def _raw_folder(self) -> Path:
        return self.directory / "raw"

    @property
    def _packets_folder(self) -> Path:
        return self.directory / "packets"


def scenario_of(number: int) -> tuple[str, Mapping[str, Any]]:
    """The scenario of run `number`: its words, and its changes to DemoRun."""
    return SCENARIOS[(number - 1) % len(SCENARIOS)]


class _Shift:
    """A LiveDetector at work, from `run` to a stop."""

    def __init__(self, live: LiveDetector, stop: threading.Event, say: Callable[[str], None], packetiser: _Packetiser):
        self.live, self.stop, self.say, self.packetiser = live, stop, say, packetiser
        self.detector = live.detector or demo_detector()
        self.said_late = False

    def take(self, runs: int | None) -> None:
        """Takes runs with pauses between them."""
        live = self.live
        first, clock_begins = live.next_run(), max(int(live.now()) - DAY_S, live.after_the_last())
        for number in count(first) if runs is None else range(first, first + runs):
            if not self.wait(live.pause_s / live.speed if number > first else 0):
                return
            began, turn = live.now(), live.run_s + math.ceil(live.pause_s)
            start_unix = int(began) if live.speed <= 1 else clock_begins + (number - first) * turn
            self.take_run(number, live.demo_run(number, start_unix), began)

    def take_run(self, number: int, run: DemoRun, began: float) -> None:
        """Takes one run from the moment `began` on, subrun by subrun."""
        self.say(f"run {number} begins: {scenario_of(number)[0]}")
        archive = daq_configs(Channels.of(run, self.detector))
        pieces = self.in_time(slices(run, self.detector, self.live.subrun_s), began)
        packets = [self.take_subrun(number, run, archive, first, self.rest(pieces)) for first in pieces]
        files = f"{len(packets)} raw file{'s' * (len(packets) != 1)}"
        self.say(f"run {number} ended: {sum(packets):,} packets in {files}")

    def take_subrun(self, number: int, run: DemoRun, archive: bytes, first: Slice, rest: Iterable[Slice]) -> int:
        """Writes one raw file while its seconds pass, and has its packet file made; number of packets."""
        created, rows = run.start_unix + first.second, 0
        raw, packets = self.live.paths(number, created)
        with _raw_file(raw, created, archive) as put:
            for piece in chain([first], rest):
                put(piece)
                rows += piece.rows
        given = self.live.now()
        due = given + self.live.packets_delay_s / self.live.speed
        self.packetiser.order(_Order(given, due, partial(_make_packets, raw, packets, created, archive)))
        return rows

    def in_time(self, pieces: Iterable[Slice], began: float) -> Iterator[Slice]:
        """Each slice when its second is over: no stamp lies in the future, and no delay adds to another; up to a stop."""
        for piece in pieces:
            takes_s = 0 if self.is_last(piece) else 1
            left = began + (piece.second + takes_s) / self.live.speed - self.live.now()
            self.watch(-left)
            # never longer than the slice takes: a wall clock that is set back must not halt the detector
            if not self.wait(min(left, takes_s / self.live.speed)):
                return
            yield piece

    def is_last(self, piece: Slice) -> bool:
        """Whether a slice is what was left in the readout at the end of its subrun: it takes no time."""
        return piece.second == min((piece.subrun + 1) * self.live.subrun_s, self.live.run_s)

    def rest(self, pieces: Iterator[Slice]) -> Iterator[Slice]:
        """The slices up to the end of a subrun; the next one's are not waited for, so that its file is closed in time."""
        for piece in pieces:
            yield piece
            if self.is_last(piece):
                return

    def watch(self, late_s: float) -> None:
        """Says once when the seconds come too late."""
        if late_s > max(BEHIND_S, 1 / self.live.speed) and not self.said_late:
            self.said_late = True
            self.say(f"the demo detector cannot keep up at speed {self.live.speed:g}")

    def wait(self, seconds: float) -> bool:
        """Waits, and begins the packet files that are due meanwhile; False when told to stop."""
        while not self.stop.is_set():
            until_due = self.packetiser.begin(self.live.now())
            if seconds <= 0:
                return True
            step = min(seconds, until_due)
            self.stop.wait(step)
            seconds -= step
        return False


@dataclass(frozen=True)
class _Order:
    """A packet file to make, and when [unix s]."""

    given: float
    due: float
    make: Callable[[], None]


class _Packetiser:
    """Makes packet files in one thread, so that the seconds of the next subrun do not wait for them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "packetiser")
        self._orders: deque[_Order] = deque()
        self._begun: deque[Future[None]] = deque()

    def order(self, order: _Order) -> None:
        """Takes an order, which is due after those before it."""
        self._orders.append(order)

    def begin(self, moment: float) -> float:
        """Begins what is due, and says in how many seconds the next order is; raises what went wrong in those done."""
        # a moment before the order was given: the clock was set back, and would have it wait for long
        while self._orders and not self._orders[0].given <= moment < self._orders[0].due:
            self._begun.append(self._pool.submit(self._orders.popleft().make))
        while self._begun and self._begun[0].done():
            self._begun.popleft().result()
        return self._orders[0].due - moment if self._orders else math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Makes all that was ordered, without delay; after an error only what is begun is brought to its end."""
        with self._pool:
            if kind is None:
                self.begin(math.inf)
            else:
                self._pool.shutdown(cancel_futures=True)
        if kind is None:
            self.begin(math.inf)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes an OSError that names `path` of what HDF5 raises when a file cannot be written or read."""
    try:
        yield
    except (OSError, RuntimeError, UnreadableFile) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        code = getattr(error, "errno", None)
        reason = os.strerror(code) if code else one_line(error)
        raise OSError(code or errno.EIO, reason, str(path)) from error


def _require_space(path: Path) -> None:
    if disk_usage(path.parent).free < RESERVE_BYTES:
        reason = f"{os.strerror(errno.ENOSPC)} (less than {RESERVE_BYTES >> 20} MiB)"
        raise OSError(errno.ENOSPC, reason, str(path))


@contextmanager
def _raw_file(path: Path, created: int, archive: bytes) -> Iterator[Callable[[Slice], None]]:
    """What appends a slice to the new raw file `path`, where readers may follow it."""
    with _naming(path):
        _require_space(path)
        if path.exists():  # a first_run that was there before; what was taken is never written over
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        writer = RawWriter(path, created=created, daq_configs=archive, swmr=True)

    def put(piece: Slice) -> None:
        with _naming(path):
            _require_space(path)
            writer.write(piece.payloads, piece.io_groups)

    try:
        yield put
    finally:
        with _naming(path):
            writer.close()


def _make_packets(raw: Path, path: Path, created: int, archive: bytes) -> None:
    """The packet file of a raw file that is closed; it appears under its name when it is complete."""
    part = path.with_name(path.name + PART)
    with _naming(raw):
        reader = open_file(raw)
    with reader, _naming(path):
        try:
            _require_space(path)
            with PacketWriter(part, created=created, daq_configs=archive) as writer:
                for packets in reader.blocks():
                    _require_space(path)
                    writer.write(rows_of_today(packets))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
