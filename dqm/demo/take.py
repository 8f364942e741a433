"""The demo detector takes a run: raw and packet files as a DAQ leaves them, and the truth about what is in them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from dqm.demo.channels import Channels, daq_configs
from dqm.demo.readout import TALLY, Slice, slices
from dqm.demo.run import DemoRun
from dqm.detector import Detector, demo_detector
from dqm.formats import words
from dqm.formats.writers import Compression, PacketWriter, RawWriter

RAW_NAME = "binary-{run:07d}-{stamp}_UTC.h5"
PACKETS_NAME = "packet-{run:07d}-{stamp}_UTC.hdf5"
PART = ".part"


@dataclass(frozen=True)
class Subrun:
    """The files of one subrun; None for what was not asked for."""

    raw: Path | None
    packets: Path | None
    rows: int
    """Rows of the packet file, whether it was asked for or not."""
    messages: int


@dataclass(frozen=True)
class Taken:
    """The files of a run, and the truth about them (ready for JSON)."""

    subruns: tuple[Subrun, ...]
    truth: dict[str, Any]

    @property
    def raw(self) -> Path | None:
        """The raw file of the (first) subrun."""
        return self.subruns[0].raw if self.subruns else None

    @property
    def packets(self) -> Path | None:
        """The packet file of the (first) subrun."""
        return self.subruns[0].packets if self.subruns else None


def take_run(
    run: DemoRun,
    directory: str | Path,
    run_number: int = 1,
    subrun_seconds: float | None = None,
    raw: bool = True,
    packets: bool = True,
    compression: Compression = None,
    progress: Callable[[float], None] | None = None,
    detector: Detector | None = None,
) -> Taken:
    """Writes a run to `directory` (made if need be) and says what is in it.

    Files appear under their names when they are complete. `progress` is told the share that is done, 0 to 1.
    """
    if subrun_seconds is not None and (subrun_seconds < 1 or subrun_seconds != int(subrun_seconds)):
        raise ValueError(f"subrun_seconds is {subrun_seconds}, expected a whole number of seconds, at least 1")
    detector = detector or demo_detector()
    channels = Channels.of(run, detector)
    truth = _Truth(run)
    disk = _Disk(Path(directory), run, run_number, raw, packets, daq_configs(channels), compression)
    disk.directory.mkdir(parents=True, exist_ok=True)
    pieces = _watched(slices(run, detector, None if subrun_seconds is None else int(subrun_seconds)), truth, progress)
    subruns = tuple(disk.write(of_subrun) for _, of_subrun in groupby(pieces, key=lambda piece: piece.subrun))
    if progress:
        progress(1.0)
    return Taken(subruns, truth.as_json(channels))


def demo_rows(run: DemoRun | None = None, detector: Detector | None = None) -> np.ndarray:
    """All packets of a short run in memory (PACKET_DTYPE); by default 2.1 seconds with a little of everything."""
    run = run or replace(
        DemoRun(duration_s=2.1, parity_error_fraction=2e-3, pps_cosmics=2).busier(0.3), tracks_per_spill=20.0
    )
    return np.concatenate([_rows(piece) for piece in slices(run, detector)])


def _rows(piece: Slice) -> np.ndarray:
    rows, _, _ = words.decode(piece.payloads, piece.io_groups)
    return rows


@dataclass(frozen=True)
class _Disk:
    """Where and how the files of a run are written."""

    directory: Path
    run: DemoRun
    run_number: int
    raw: bool
    packets: bool
    archive: bytes
    compression: Compression

    def write(self, pieces: Iterator[Slice]) -> Subrun:
        """The files of one subrun; on any error none of them is left."""
        first = next(pieces)
        raw, packets = self._names(self.run.start_unix + first.second)
        parts = {path: path.with_name(path.name + PART) for path in (raw, packets) if path is not None}
        rows = messages = 0
        try:
            with ExitStack() as stack:
                created = float(self.run.start_unix + first.second)
                sinks = [self._sink(stack, parts[path], path == raw, created) for path in parts]
                for piece in chain([first], pieces):
                    for put in sinks:
                        put(piece)
                    rows += piece.rows
                    messages += len(piece.payloads)
            for path, part in parts.items():
                os.replace(part, path)
        except BaseException:
            for part in parts.values():
                part.unlink(missing_ok=True)
            raise
        return Subrun(raw, packets, rows, messages)

    def _sink(self, stack: ExitStack, path: Path, raw: bool, created: float) -> Callable[[Slice], None]:
        """What puts a slice in the new file `path`; `stack` closes the file."""
        if raw:
            of_messages = RawWriter(path, created=created, daq_configs=self.archive)
            stack.enter_context(of_messages)
            return lambda piece: of_messages.write(piece.payloads, piece.io_groups)
        of_rows = PacketWriter(path, created=created, daq_configs=self.archive, compression=self.compression)
        stack.enter_context(of_rows)
        return lambda piece: of_rows.write(_rows(piece))

    def _names(self, unix: int) -> tuple[Path | None, Path | None]:
        stamp = datetime.fromtimestamp(unix, UTC).strftime("%Y_%m_%d_%H_%M_%S")
        raw, packets = (
            self.directory / name.format(run=self.run_number, stamp=stamp) for name in (RAW_NAME, PACKETS_NAME)
        )
        return raw if self.raw else None, packets if self.packets else None


def _watched(pieces: Iterator[Slice], truth: _Truth, progress: Callable[[float], None] | None) -> Iterator[Slice]:
    for piece in pieces:
        truth.add(piece)
        yield piece
        if progress:
            progress(truth.fraction_done)


class _Truth:
    """Counts what was put in the files, before any bit was flipped."""

    def __init__(self, run: DemoRun):
        self.run = run
        self.messages = 0
        self.end_s = 0.0
        self.total = np.zeros((), TALLY)
        self.hits_of_group = np.zeros(256, np.int64)
        self.n_cosmics = 0
        self.spill_s: list[float] = []

    def add(self, piece: Slice) -> None:
        self.messages += len(piece.payloads)
        for name in TALLY.names or ():
            self.total[name] += piece.tally[name].sum()
        self.hits_of_group += np.bincount(piece.io_groups, weights=piece.tally["data"], minlength=256).astype(np.int64)
        self.end_s = min(float(piece.end_s[-1]), self.run.duration_s)
        self.n_cosmics += len(piece.cosmic_s)
        self.spill_s += np.round(piece.spill_s, 7).tolist()

    @property
    def rows(self) -> int:
        return self.messages + int(self.total["data"] + self.total["sync"] + self.total["trigger"])

    @property
    def fraction_done(self) -> float:
        return min(max(self.rows / (self.run.packets or math.inf), self.end_s / self.run.duration_s), 1.0)

    def as_json(self, channels: Channels) -> dict[str, Any]:
        run = self.run
        total = {name: int(self.total[name]) for name in TALLY.names or ()}
        config = asdict(run) | {"duration_s": run.duration_s if math.isfinite(run.duration_s) else None}
        fifo = {
            name: {"0": total["data"] - total[f"{name}_1"] - total[f"{name}_3"]}
            | {flag: total[f"{name}_{flag}"] for flag in ("1", "3")}
            for name in ("local", "shared")
        }
        hot = zip(channels.detector.labels(channels.hot), run.hot_pixel_hz, strict=True)
        return {
            "config": config,
            "detector": channels.detector.name,
            "duration_s": round(self.end_s, 6),
            "n_pixels": len(channels.alive),
            "n_alive": int(channels.alive.sum()),
            "hot_pixels": dict(hot),
            "dead_chips": channels.chip_labels(channels.dead_chips),
            "disabled_channels": channels.detector.labels(channels.disabled),
            "packets_by_type": {
                "0": total["data"],
                "4": self.messages,
                "6": total["sync"],
                "7": total["trigger"],
            },
            "n_rows": self.rows,
            "n_messages": self.messages,
            "n_words": self.rows - self.messages,
            "n_bitflipped_words": total["flipped"],
            "hits_per_io_group": {str(group): int(self.hits_of_group[group]) for group in channels.detector.io_groups},
            "local_fifo": fifo["local"],
            "shared_fifo": fifo["shared"],
            "n_cosmics": self.n_cosmics,
            "n_triggers": total["trigger"],
            "spill_times": self.spill_s,
        }
