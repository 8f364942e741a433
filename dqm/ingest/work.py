"""What a worker does with a file, wherever it runs: it looks at it, or counts some of it. Values in, values out, no store.

A task may be done twice, or half and then anew by another worker: what it gives depends on the file alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from dqm.detector import Detector
from dqm.formats import Reader, UnreadableFile, open_file
from dqm.formats.hdf5 import stamp_of
from dqm.formats.identity import head_of, identity_of
from dqm.formats.names import NameParts, parse_name
from dqm.formats.reader import Cursor
from dqm.formats.scan import Scan
from dqm.ingest.engine import feed, prepare
from dqm.ingest.oneshot import Sources
from dqm.results import Element
from plots.base import PLUGIN_ERRORS, Increment, Plot, State, check_figure, load_figure, sparse

Stamp = tuple[int, int] | None


@dataclass
class Bench:
    """What a worker has at hand: where geometries are, and the plots of now."""

    sources: Sources
    plots: Callable[[], Mapping[str, type[Plot]]]


@dataclass(frozen=True)
class Fit:
    """The geometry that fits a file: its id, name and where it lies; None with the reason when none does."""

    geometry: str | None
    name: str = ""
    directory: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Refusal:
    """Nothing can be read of the file (now): UnreadableFile as a value."""

    reason: str
    state: str


@dataclass(frozen=True)
class Changed:
    """The file is not any more what was looked at: it is to be looked at again."""


@dataclass(frozen=True)
class Look:
    """What a file is at this moment."""

    path: str
    format: str
    version: str | None
    rows: int | None
    length: int
    """Rows, or messages of a raw file: what its cursor counts."""
    closed: bool
    """Its writer is done with it, as far as one can see."""
    provisional: bool
    head: str | None
    identity: str | None
    fit: Fit
    stamp: Stamp
    first_unix: float | None = None

    @property
    def name(self) -> NameParts:
        return parse_name(Path(self.path))


@dataclass(frozen=True)
class Examine:
    """Look at a file; `timed`: and say when its content begins, for names that do not."""

    path: str
    timed: bool = False

    def run(self, bench: Bench) -> Look | Refusal:
        try:
            with _open(Path(self.path)) as reader:
                stamp = stamp_of(reader._file)
                match = bench.sources.match(reader)
                found = match.detector
                fit = Fit(
                    found.geometry_id if found else None,
                    found.name if found else "",
                    str(match.directory or ""),
                    match.reason,
                )
                closed = reader.closed_by_writer
                return Look(
                    self.path, reader.kind.format, reader.kind.version, reader.rows, length_of(reader), closed,
                    reader.provisional, head_of(reader), identity_of(reader) if closed else None, fit, stamp,
                    _first_unix(reader) if self.timed else None,
                )  # fmt: skip
        except UnreadableFile as error:
            return Refusal(error.reason, error.state)


@dataclass(frozen=True)
class Portion:
    """What one plot made of some rows: arrays of its leaves, or its figure; or why there are none."""

    plot: str
    arrays: dict[str, np.ndarray] | None = None
    whole: bool = True
    """Whether the arrays are all of the file from its first row; else what these rows add."""
    figure: bytes | None = None
    broken: str = ""
    unavailable: str = ""
    traceback: str = ""
    added: dict[str, np.ndarray] | None = None
    """What these rows add, of `whole` arrays and where the window of the run is wanted."""
    blocks: int = 0
    packets: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Tally:
    """What was counted in one go, and how the file stands after it."""

    cursor: dict
    ended: bool
    """Whether it came to the end of what can be read now; else the time was up."""
    closed: bool
    stopped: bool
    damaged: bool
    faults: tuple[str, ...]
    scan: dict | None
    portions: tuple[Portion, ...]
    span: tuple[float, float] | None = None
    """First and last second of the packets [s since 1970]."""


@dataclass(frozen=True)
class Count:
    """Count the rows of a file from a cursor on, for so many seconds; whoever asked says where each plot stood."""

    path: str
    look: Look
    cursor: dict
    plots: tuple[tuple[str, int], ...]
    """Names and versions."""
    goes_on: frozenset[str] = frozenset()
    """Plots that have counted rows before `cursor`."""
    states: Mapping[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """States to go on from bit by bit: those with floats in them, where the order of adding shows."""
    figures: Mapping[str, bytes] = field(default_factory=dict)
    scan: dict | None = None
    for_s: float = 2.0
    window: tuple[float, float] | None = None
    """From when on the rows are in the window of the run [s since 1970], and into how long slices that is cut [s]."""

    def run(self, bench: Bench) -> Tally | Refusal | Changed:
        path = Path(self.path)
        # whoever looked at it let the doorkeeper open it: if nothing was written since, that need not be done again
        trusted = self.look.stamp is not None and stamp_of(path) == self.look.stamp
        try:
            reader = open_file(path, provisional=self.look.provisional, trusted=trusted)
        except UnreadableFile as error:  # its writer has come back to it, or it is another file by now
            return Changed() if error.state == "growing" else Refusal(error.reason, error.state)
        try:
            with reader:
                if self._is_another(reader):
                    return Changed()
                reader.detector = _detector(bench, self.look.fit)
                return self._count(reader, bench)
        except UnreadableFile as error:
            return Refusal(error.reason, error.state)

    def _is_another(self, reader: Reader) -> bool:
        """Whether the file has changed since it was looked at: a closed one at all, a growing one in its first rows."""
        if reader.kind.format != self.look.format or reader.provisional != self.look.provisional:
            return True
        if self.look.closed:
            return not reader.closed_by_writer or stamp_of(reader._file) != self.look.stamp
        return self.look.head is not None and head_of(reader) != self.look.head

    def _count(self, reader: Reader, bench: Bench) -> Tally:
        known = bench.plots()
        # a plug-in that was changed this very moment is left out: the next look takes it
        chosen = [known[name] for name, version in self.plots if name in known and known[name].version == version]
        elements = prepare(chosen, reader, self.goes_on)
        for element in elements:
            self._restore(element, reader.detector)
        scan = scan_of(self.scan) if self.scan is not None else None
        until, ended = time.monotonic() + self.for_s, True
        span: tuple[float, float] | None = None
        for packets in reader.blocks(Cursor.from_json(self.cursor)):
            if scan is not None:
                scan.feed(packets)
            feed(elements, packets)
            if self.window is not None:
                span = _longer(span, packets)
            if time.monotonic() >= until or self._is_a_slice(span):
                ended = False
                break
        portions = tuple(self._portion(element) for element in elements)
        closed = reader.closed_by_writer
        return Tally(
            reader.cursor.to_json(), ended, closed, reader.stopped, reader.partial, tuple(reader.faults),
            asdict(scan) if scan is not None else None, portions, span,
        )  # fmt: skip

    def _is_a_slice(self, span: tuple[float, float] | None) -> bool:
        return span is not None and self.window is not None and (
            span[1] >= self.window[0] and span[1] - span[0] >= self.window[1]
        )  # fmt: skip

    def _restore(self, element: Element, detector: Any) -> None:
        """Lets a plot go on: from its state where the order shows, from its figure, or with what it will add."""
        if element.broken or element.unavailable:
            return
        if element.name in self.figures:
            element.figure = load_figure(orjson.loads(self.figures[element.name]))
        elif element.name in self.states and element.state is not None:
            before = element.state
            element.state = State(before.plot, before.version, before.geometry, detector)
            element.state.load_arrays(self.states[element.name])
            if self.window is not None:
                element.added = Increment()

    def _portion(self, element: Element) -> Portion:
        """What a plot made of the rows. One that went on, and not from its state, began at nothing: it has what they add."""
        cost: dict[str, Any] = {"blocks": element.blocks, "packets": element.packets, "seconds": element.seconds}
        if not element.broken and not element.unavailable and element.state is None:
            try:
                check_figure(element.figure)
                return Portion(element.name, figure=element.figure.to_json(engine="orjson").encode(), **cost)
            except PLUGIN_ERRORS as error:
                element.fail("writing its figure", error)
        if element.broken or element.unavailable:
            return Portion(
                element.name,
                broken=element.broken,
                unavailable=element.unavailable,
                traceback=element.traceback,
                **cost,
            )
        assert element.state is not None
        if element.name in self.goes_on and element.name not in self.states:
            return Portion(element.name, sparse(element.state).to_arrays(), False, **cost)
        arrays = element.state.to_arrays()
        added = arrays if self.window is not None and element.name not in self.goes_on else None
        if element.added is not None:
            added = element.added.to_arrays()
        return Portion(element.name, arrays, True, added=added, **cost)


def take_over(element: Element, portion: Portion, detector: Detector | None) -> None:
    """Adds what a worker counted to the element of whoever asked for it."""
    element.blocks += portion.blocks
    element.packets += portion.packets
    element.seconds += portion.seconds
    added = portion.added if portion.whole else portion.arrays
    element.added = None if added is None else Increment.from_arrays(added)
    element.increment = None if portion.whole else element.added
    if portion.broken or portion.unavailable:
        element.state, element.packed = None, None
        element.broken, element.unavailable = portion.broken, portion.unavailable
        element.traceback = portion.traceback
    elif portion.figure is not None:
        element.packed = portion.figure
    elif portion.arrays is not None and portion.whole:
        geometry = detector.geometry_id if detector else None
        element.state = State(element.name, element.plot.version, geometry, detector).load_arrays(portion.arrays)
    elif portion.arrays is not None:
        assert element.state is not None
        assert element.added is not None
        element.state.add(element.added)


def _longer(span: tuple[float, float] | None, packets: Any) -> tuple[float, float] | None:
    """First and last second of the packets so far, of those that have a time."""
    times = packets["unix_time"]
    known = times[times >= 0]
    if not len(known):
        return span
    first, last = float(known.min()), float(known.max())
    return (first, last) if span is None else (min(first, span[0]), max(last, span[1]))


def scan_of(data: Mapping[str, Any]) -> Scan:
    """A scan from its JSON, to go on with; a new one from nothing."""
    if not data:
        return Scan()
    return Scan(**dict(data) | {"_latest": {int(group): tick for group, tick in data["_latest"].items()}})


def length_of(reader: Reader) -> int:
    """What the cursor of a file counts at its end: messages of a raw file, rows of others."""
    return reader.messages if reader.kind.format == "raw" else reader.rows or 0  # type: ignore[attr-defined]


def _detector(bench: Bench, fit: Fit) -> Detector | None:
    if fit.geometry is None:
        return None
    found = bench.sources.find(fit.geometry, fit.name, fit.directory)
    if found is None:
        raise UnreadableFile(f"cannot be counted now: geometry {fit.name} is not there any more", "growing")
    return found


def _open(path: Path) -> Reader:
    """The file; when its writer has it open without SWMR, as it is at this moment."""
    try:
        return open_file(path)
    except UnreadableFile as error:
        if error.state != "growing":
            raise
        return open_file(path, provisional=True)


def _first_unix(reader: Reader) -> float | None:
    """The first timestamp in the content, for names that do not say when the file began."""
    if reader.name.run is not None or reader.name.start is not None:
        return None
    scan = Scan()
    for packets in reader.blocks():
        scan.feed(packets)
        break
    return None if scan.first_unix is None else float(scan.first_unix)


__all__ = [
    "Bench", "Changed", "Count", "Examine", "Fit", "Look", "Portion", "Refusal", "Tally", "length_of",
    "scan_of", "take_over",
]  # fmt: skip
