"""From a bin to the data: the first rows of packets of a run that fit a selection, read from its files on demand.

Only files that are rows of the store are opened, where they lie inside the data roots of this host, by the readers and the
doorkeeper that ingest has. A search has a limit in time; it says how far it got, and goes on from there when asked.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dqm.detector import Detector
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.hdf5 import READ_ERRORS, UnreadableFile
from dqm.formats.hdf5 import shown as printable
from dqm.formats.packets import DERIVED, Packets
from dqm.formats.reader import Cursor, Reader, inside, join_faults, open_file
from dqm.formats.triggers import LOOK_ROWS
from dqm.records import COUNTED, DataFile, Run
from dqm.store import elements, files, runs, watchers
from dqm.views.asked import Asked, short
from dqm.views.elements import NoFigure, geometry
from dqm.views.pixels import NoPlace, place
from dqm.views.run_page import LATEST, can_tell
from dqm.views.site import Site
from dqm.views.trend_page import unix_of
from plots.base import PLUGIN_ERRORS, Bin

ROWS, ROWS_MOST = 100, 10_000
SECONDS = 2.0
"""How long one search reads."""
WAIT_S = 3.0
"""How long it waits until others have read: `Site.reading` says how many read at once."""
CURSOR_S = 3600
"""So long a search goes on where it stopped without reading what is before it again."""
OF_TRIGGERS = ("trigger_ticks", "interval_ticks")
"""Of data packets: since a trigger (`Packets.beside_triggers`); of triggers: since the one before (`Packets.triggers`)."""
COLUMNS = (*(PACKET_DTYPE.names or ()), *DERIVED, *OF_TRIGGERS)
ORIGIN = np.dtype([("file", "<i8"), ("row", "<u8"), ("unix_time", "<i8")])


class CannotSearch(Exception):
    """Nothing can be searched; the message says why and what helps."""


@dataclass(frozen=True)
class Condition:
    """Rows whose value in a column lies between two, both inside."""

    column: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.column}:{_exact(self.low)}" + ("" if self.low == self.high else f"..{_exact(self.high)}")

    @property
    def words(self) -> str:
        if self.low == self.high:
            return f"{self.column} {_exact(self.low)}"
        return f"{self.column} {_exact(self.low)} to {_exact(self.high)}"


def _exact(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


@dataclass(frozen=True)
class Wanted:
    """What a URL asks for; `problems` are sentences about what was not understood."""

    conditions: tuple[Condition, ...] = ()
    pixel: str = ""
    """``io_group-io_channel-chip-channel``, by its nominal io_channel."""
    file: int | None = None
    """Only of this file."""
    rows: int = ROWS
    after: tuple[int, int] | None = None
    """(file, row) where the search goes on."""
    problems: tuple[str, ...] = ()
    refused: str = ""
    """Why it cannot be told which rows are wanted: then none are shown rather than all."""

    @property
    def where(self) -> str:
        """The conditions as the URL has them."""
        return ",".join(map(str, self.conditions))

    @property
    def words(self) -> str:
        """What is wanted, for people."""
        parts = [f"pixel {self.pixel}"] if self.pixel else []
        parts += [one.words for one in self.conditions]
        return ", ".join(parts) or "all packets"

    def query(self, **changes: Any) -> dict[str, str]:
        """The query of a URL that asks for this, with other values where given."""
        after = f"{self.after[0]}.{self.after[1]}" if self.after else ""
        given = {
            "where": self.where,
            "pixel": self.pixel,
            "file": self.file,
            "rows": self.rows,
            "after": after,
        } | changes
        return {name: str(value) for name, value in given.items() if value not in ("", None)}


def wanted(site: Site, query: Mapping[str, str]) -> Wanted:
    """Reads the query of a URL: `where`, or what was clicked (`plot`, `series`, `x`, `to`, `label`, `zone`)."""
    asked = Asked(query)
    refused = ""
    conditions: tuple[Condition, ...] = ()
    try:
        conditions = conditions_of(query.get("where", ""))
        if query.get("plot"):
            conditions += clicked(site, query)
    except ValueError as why:
        refused = str(why)
    pixel = asked.text("pixel")
    file = _whole(asked, "file", "the number of a file, as on the page Files")
    rows = _whole(asked, "rows", f"a number of rows from 1 to {ROWS_MOST:,}")
    if rows is not None and not 1 <= rows <= ROWS_MOST:
        asked.problems.append(f"{rows:,} rows: at most {ROWS_MOST:,} are read at once.")
    after = None
    if text := asked.text("after"):
        parts = text.split(".")
        if len(parts) == 2 and all(part.isascii() and part.isdecimal() and len(part) < 16 for part in parts):
            after = (int(parts[0]), int(parts[1]))
        else:
            asked.problems.append(f"“{short(text)}” is no place to go on from. The search begins with the first file.")
    most = min(max(rows if rows is not None else ROWS, 1), ROWS_MOST)
    return Wanted(conditions, pixel, file, most, after, tuple(asked.problems), refused)


def _whole(asked: Asked, name: str, what: str) -> int | None:
    text = asked.text(name)
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    asked.problems.append(f"“{short(text)}” is not {what}. It was left out.")
    return None


def conditions_of(text: str) -> tuple[Condition, ...]:
    """``io_group:1,dataword:100..110`` as conditions; ValueError with a sentence for anything else."""
    found = []
    if len(text) > 1000:
        raise ValueError("The selection has more than 1,000 characters: nobody wrote that.")
    for part in filter(None, (part.strip() for part in text.split(","))):
        column, colon, values = part.partition(":")
        low, dots, high = values.partition("..")
        if not colon or column not in COLUMNS:
            expected = "expected column:value or column:low..high"
            raise ValueError(f"“{short(part)}” is no condition: {expected}. Columns: {', '.join(COLUMNS)}.")
        try:
            ends = float(low), float(high if dots else low)
        except ValueError:
            ends = (math.nan, math.nan)
        if not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] <= ends[1]):
            raise ValueError(f"“{short(part)}” is no range: expected numbers, the smaller one first.")
        found.append(Condition(column, *ends))
    return tuple(found)


def clicked(site: Site, query: Mapping[str, str]) -> tuple[Condition, ...]:
    """The rows behind a bin that somebody clicked; ValueError with a sentence when that cannot be told."""
    name, series = query.get("plot", "")[:200], query.get("series", "")[:200]
    found = site.registry.plots.get(name)
    if found is None:
        raise ValueError(f"There is no plot {short(name)}.")
    if not can_tell(found):
        raise ValueError(f"{name} does not say which packets a bin of it stands for (rows_behind in its file).")
    zone, label = query.get("zone", "UTC"), query.get("label", "")[:200]
    low = _coordinate(query.get("x", ""), zone)
    high = _coordinate(query.get("to", ""), zone)
    ranges = None
    with suppress(*PLUGIN_ERRORS):  # of a place that it cannot take, such as a word on an axis of numbers
        ranges = found.plot().rows_behind(Bin(series, low, low if math.isnan(high) else high, label))
    if not ranges or not all(math.isfinite(end) for ends in ranges.values() for end in ends):
        raise ValueError(f"{name} does not say which packets this place of it stands for.")
    return tuple(Condition(column, float(low), float(high)) for column, (low, high) in ranges.items())


def _coordinate(text: str, zone: str) -> float:
    """A number, or the time of a stamp in a zone [unix s]; nan for neither."""
    with suppress(ValueError):
        return float(text)
    try:
        found = unix_of(text, zone) if text else None
    except (ValueError, OSError, LookupError):  # a zone that there is not
        found = None
    return math.nan if found is None else found


# -- searching ---------------------------------------------------------------------------------------------------------


@dataclass
class Piece:
    """Rows of one file."""

    file: DataFile
    index: np.ndarray
    """Row numbers in the file, shape (n,)."""
    rows: np.ndarray
    """PACKET_DTYPE, shape (n,)."""
    unix_time: np.ndarray


@dataclass
class Search:
    """How far a search through the files of a run has come."""

    run: Run
    files: int
    """Of the run, or of what is asked for."""
    done: int = 0
    """Files that were searched to their end, or that cannot be read."""
    unread: int = 0
    """Files of this time of which nothing, or not all, could be searched; `problems` says why."""
    packets: int = 0
    """Rows that were looked at this time."""
    next: tuple[int, int] | None = None
    """(file, row) where it goes on; None when all was searched."""
    problems: list[str] = field(default_factory=list)
    """What of the files could not be read."""
    pieces: list[Piece] = field(default_factory=list)

    @property
    def found(self) -> int:
        return sum(len(piece.index) for piece in self.pieces)

    @property
    def names(self) -> dict[str, str]:
        """Names of the files that rows are from, by number."""
        return {str(piece.file.id): printable(Path(piece.file.path).name) for piece in self.pieces}

    @property
    def columns(self) -> tuple[str, ...]:
        return ("file", "row", "unix_time", *(PACKET_DTYPE.names or ()))

    def table(self, most: int = ROWS_MOST) -> list[list[int]]:
        """The rows as numbers, in the order of `columns`."""
        made: list[list[int]] = []
        for piece in self.pieces:
            columns = [piece.index.tolist(), piece.unix_time.tolist()]
            columns += [piece.rows[name].tolist() for name in PACKET_DTYPE.names or ()]
            made += [[piece.file.id, *row] for row in zip(*columns, strict=True)]
        return made[:most]

    @property
    def words(self) -> str:
        """How far it got."""
        name = "file" if self.files == 1 else "files"
        if self.next is None and self.unread:
            if self.files == 1:
                return "the file could not be searched"
            return f"searched to the end, but {self.unread:,} of {self.files:,} files could not be"
        if self.next is None:
            return f"searched all {self.files:,} {name}" if self.files != 1 else "searched the file to its end"
        first = f"the first {self.next[1]:,} rows of" if self.next[1] else ""
        if self.files == 1:
            return f"searched {first or 'nothing of'} the file"
        return f"searched {self.done:,} of {self.files:,} {name}{f' and {first} the next' if first else ''}"


def search(site: Site, run_key: str, asked: Wanted, seconds: float = SECONDS) -> Search | None:
    """The first rows that fit, in the order of files and rows; None when there is no such run. Raises CannotSearch."""
    left = asked.rows
    found = begin(site, run_key, asked)
    if found is None:
        return None
    with closing(matches(site, found, asked, seconds)) as blocks:
        for match in blocks:
            index = match.index[:left]
            left -= len(index)
            found.search.pieces.append(_piece(match, index))
            if not left:
                # of those that fit behind the last one none is lost: the next search begins right after it
                found.stop(match.file, match.packets.first_row + int(index[-1]) + 1, match.before)
                break
    return found.search


def _piece(match: Match, index: np.ndarray) -> Piece:
    assert match.packets.source is not None
    rows = match.packets.source[0][index].astype(PACKET_DTYPE)
    return Piece(match.file, match.packets.first_row + index, rows, match.packets["unix_time"][index])


@dataclass
class Match:
    """A block of a file and which of its rows fit."""

    file: DataFile
    packets: Packets
    index: np.ndarray
    before: Cursor
    """Where the block begins."""


@dataclass
class Begun:
    """The files that are to be searched."""

    site: Site
    search: Search
    left: list[DataFile]
    row: int
    """Of the first of them, where it goes on."""
    detector: Detector | None = None

    def stop(self, file: DataFile, row: int, cursor: Cursor) -> None:
        """Notes where to go on."""
        self.search.next = (file.id, row)
        self.site.cache.set(_key(file, row), cursor.to_json(), expire=CURSOR_S)


def _key(file: DataFile, row: int) -> tuple[str, int, int, int, int]:
    """Of what is kept of a search; a file that was written again has another one."""
    return ("rows", file.id, file.size, file.mtime_ns, row)


def begin(site: Site, run_key: str, asked: Wanted) -> Begun | None:
    """The files to be searched; None when there is no such run. Raises CannotSearch."""
    if asked.refused:
        raise CannotSearch(asked.refused)
    with site.store.read() as tx:
        run = runs.latest(tx) if run_key == LATEST else runs.get(tx, run_key)
        if run is None:
            return None
        known = [file for file in files.of_run(tx, run.id) if file.counted and file.state in COUNTED]
        geometries = [one.geometry for one in elements.of_run(tx, run.id).values() if one.geometry]
        hosts = sorted({watcher.host for watcher in watchers.alive(tx, 0)})
    if asked.file is not None:
        known = [file for file in known if file.id == asked.file]
        if not known:
            raise CannotSearch(f"File {asked.file} is none of those that are counted for run {run.key}.")
    if not known:
        raise CannotSearch(f"No file of run {run.key} is counted (yet).")
    if not any(Path(file.path).exists() for file in known):
        where = f": they are on {', '.join(hosts)}" if hosts else ""
        gone = "file is" if len(known) == 1 else f"{len(known):,} files are"
        raise CannotSearch(f"The {gone} not on this host{where}, or gone. Rows are read where the files are.")
    places = [file.id for file in known]
    done, row = 0, 0
    if asked.after:
        if asked.after[0] not in places:
            raise CannotSearch("The file where this search stopped is no longer counted: begin it anew.")
        done, row = places.index(asked.after[0]), asked.after[1]
    found = Begun(site, Search(run, len(known), done), known[done:], row)
    try:
        found.detector = geometry(site, geometries[0] if geometries else None)
    except NoFigure as why:
        found.search.problems.append(f"{why.reason[0].upper()}{why.reason[1:]}.")
    return found


def matches(site: Site, begun: Begun, asked: Wanted, seconds: float) -> Generator[Match]:
    """Blocks with rows that fit, until all was searched or the time is over."""
    if not site.reading.acquire(timeout=WAIT_S):
        raise CannotSearch("Others are reading files just now: try again in some seconds.")
    try:
        end = time.monotonic() + seconds
        for place, file in enumerate(begun.left):
            start = begun.row if not place else 0
            if time.monotonic() >= end and place:
                begun.search.next = (file.id, 0)
                return
            yield from _matches_in(site, begun, file, start, asked, end)
            if begun.search.next is not None:
                return
            begun.search.done += 1
    finally:
        site.reading.release()


def _matches_in(site: Site, begun: Begun, file: DataFile, start: int, asked: Wanted, end: float) -> Iterator[Match]:
    search, name = begun.search, printable(Path(file.path).name)
    detector = begun.detector
    try:
        conditions = (*asked.conditions, *_of_pixel(detector, asked.pixel))
    except NoPlace as why:
        raise CannotSearch(str(why)) from None
    try:
        with open_file(
            inside(Path(file.path), site.settings.ingest.roots), detector, provisional=file.provisional
        ) as reader:
            if lacks := [needs for one in conditions if (needs := _needed(one)) not in reader.columns]:
                search.problems.append(f"{name} has no {', '.join(lacks)}: nothing in it can be told to fit.")
                search.unread += 1
                return
            yield from _blocks(begun, file, reader, start, conditions, end)
            if reader.faults:
                search.problems += [f"{name}: {fault}" for fault in join_faults([], reader.faults)]
    except UnreadableFile as error:
        search.problems.append(f"{name} {error.reason}.")
        search.unread += 1
    except READ_ERRORS as error:
        search.problems.append(f"{name} cannot be read: {type(error).__name__}.")
        search.unread += 1


def _blocks(
    begun: Begun, file: DataFile, reader: Reader, start: int, conditions: tuple[Condition, ...], end: float
) -> Iterator[Match]:
    kept = begun.site.cache.get(_key(file, start)) if start else None
    before = Cursor()
    if kept is not None:
        with suppress(KeyError, TypeError, ValueError):
            before = Cursor.from_json(kept)
    triggers = begun.site.settings.plots.trigger_io_group, begun.site.settings.plots.trigger_bit
    beside = tuple(one for one in conditions if one.column == "trigger_ticks")
    waiting: deque[_Waiting] = deque()

    def told() -> Iterator[Match]:
        block = waiting.popleft()
        begun.search.packets += len(block.packets)
        index = block.index
        if block.beside is not None:
            index = np.intersect1d(index, block.beside)
        index = index[block.packets.first_row + index >= start]
        if len(index):
            yield Match(file, block.packets, index, block.before)

    for packets in reader.blocks(before if kept is not None else start):
        waiting.append(_Waiting(packets, before, _fitting(packets, conditions, triggers)))
        if beside:
            _pair(packets, beside, triggers, waiting)
        before, any_told = reader.cursor, False
        while waiting and waiting[0].end + (LOOK_ROWS if beside else 0) <= before.row:
            yield from told()
            any_told = True
        if any_told and time.monotonic() >= end and reader.fraction_done < 1:
            if begun.search.next is None:
                stop = waiting[0].before if waiting else before
                begun.stop(file, stop.row, stop)
            return
    while waiting:
        yield from told()


@dataclass
class _Waiting:
    """A block; a trigger in the rows after it may stand for rows in it."""

    packets: Packets
    before: Cursor
    index: np.ndarray
    """Places of the rows that fit, but for what triggers say."""
    beside: np.ndarray | None = None
    """Of those that triggers stand for, as far as is known; None where nobody asks."""

    @property
    def end(self) -> int:
        return self.packets.first_row + len(self.packets)


def _pair(
    packets: Packets, conditions: tuple[Condition, ...], triggers: tuple[int, int], waiting: Iterable[_Waiting]
) -> None:
    """Tells the blocks that wait which rows have a trigger as the conditions want it: what the last of them completes."""
    found = packets.beside_triggers(*triggers)
    rows = found["row"][_within(found["trigger_ticks"], conditions)]
    for block in waiting:
        own = rows[(rows >= block.packets.first_row) & (rows < block.end)] - block.packets.first_row
        block.beside = own if block.beside is None else np.union1d(block.beside, own)


def _fitting(packets: Packets, conditions: tuple[Condition, ...], triggers: tuple[int, int]) -> np.ndarray:
    """Places of the rows that fit all conditions but those of the time since a trigger."""
    fits = np.ones(len(packets), bool)
    for one in conditions:
        if one.column == "interval_ticks":
            words = packets.triggers(*triggers)
            column, own = words["interval_ticks"], words["row"] - packets.first_row
            fits &= np.isin(np.arange(len(packets)), own[_within(column, (one,))])
        elif one.column not in OF_TRIGGERS:
            fits &= _within(packets[one.column], (one,))
        if not fits.any():
            break
    return np.flatnonzero(fits)


def _within(column: np.ndarray, conditions: Iterable[Condition]) -> np.ndarray:
    """Which values lie in all the ranges."""
    fits = np.ones(len(column), bool)
    for one in conditions:
        fits &= (column >= one.low) & (column <= one.high)
    return fits


def _needed(condition: Condition) -> str:
    """The column of a file without which nothing is known of a condition."""
    return "trigger_type" if condition.column in OF_TRIGGERS else condition.column


def _of_pixel(detector: Detector | None, pixel: str) -> tuple[Condition, ...]:
    """Data packets of valid parity of one pixel, through whichever io_channel of its tile; without a geometry by its ids."""
    if not pixel:
        return ()
    data = (Condition("packet_type", 0, 0), Condition("valid_parity", 1, 1))
    if detector is not None:
        (index,) = place(detector, "channel", pixel).pixels.tolist()
        return (Condition("pixel", index, index), *data)
    ids = pixel.split("-")
    if len(ids) != 4 or not all(part.isascii() and part.isdecimal() and len(part) < 4 for part in ids):
        raise NoPlace(f"“{short(pixel)}” names no pixel: expected io_group-io_channel-chip-channel, such as 1-5-36-12.")
    names = ("io_group", "io_channel", "chip_id", "channel_id")
    return (*(Condition(name, int(part), int(part)) for name, part in zip(names, ids, strict=True)), *data)


# -- the ADC spectrum of a channel -------------------------------------------------------------------------------------


def adc_spectrum(site: Site, run_key: str, asked: Wanted, seconds: float = SECONDS) -> tuple[Search, list[int]] | None:
    """Packets by ADC count, 256 numbers, of the rows that fit; None when there is no such run. Raises CannotSearch."""
    begun = begin(site, run_key, asked)
    if begun is None:
        return None
    counts = np.zeros(256, np.int64)
    for match in matches(site, begun, asked, seconds):
        counts += np.bincount(match.packets["dataword"][match.index], minlength=256)
    return begun.search, counts.tolist()


# -- as files ----------------------------------------------------------------------------------------------------------


def as_csv(found: Search) -> str:
    """Numbers alone below the names of the columns; files are told by their number."""
    return "\n".join([",".join(found.columns), *(",".join(map(str, row)) for row in found.table())]) + "\n"


def as_hdf5(found: Search) -> bytes:
    """A packet file with these rows; ``origin`` tells of each from which file and row it is, and its second."""
    import tempfile

    import h5py

    from dqm.formats.writers import PacketWriter

    with tempfile.TemporaryDirectory(prefix="larboard-rows-") as folder:
        path = Path(folder) / "rows.hdf5"
        with PacketWriter(path) as writer:
            for piece in found.pieces:
                writer.write(piece.rows)
        origin = np.zeros(found.found, ORIGIN)
        at = 0
        for piece in found.pieces:
            part = origin[at : at + len(piece.index)]
            part["file"], part["row"], part["unix_time"] = piece.file.id, piece.index, piece.unix_time
            at += len(part)
        with h5py.File(path, "r+") as file:
            file.create_dataset("origin", data=origin).attrs.update(found.names)
        return path.read_bytes()
