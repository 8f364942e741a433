"""Files to blocks of packets: at most 65,536 whole rows, aligned to HDF5 chunks, read once and shared by all plots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dqm.formats import words
from dqm.formats.chunks import ChunksAhead, DamagedChunk, chunks_ahead
from dqm.formats.clock import BlockClock, ClockState
from dqm.formats.columns import PACKET_DTYPE, WrongColumns, known_columns, to_today
from dqm.formats.hdf5 import State, UnreadableFile, find_dataset, is_following, one_line, open_hdf5, stored_ranges
from dqm.formats.identify import FileKind, identify, kind_of
from dqm.formats.names import NameParts, parse_name
from dqm.formats.packets import DERIVED, Packets

BLOCK_ROWS = 65_536
KNOWN_VERSIONS = ("0.0", "1.0", "2.0", "2.1", "2.2", "2.3", "2.4")
CHUNK_CACHE_BYTES = 4 * 2**20
MAX_DAMAGED_CHUNKS = 1000
MAX_DAMAGED_BLOCKS = 20
MESSAGES_AT_ONCE = 1024
MESSAGES_IN_A_READ = 32
"""A PACMAN message has up to 65,535 words: so many of the longest are 34 MB."""
SAMPLE_ROWS = 16_384
SAMPLE_MESSAGES = 128
BYTES_AT_ONCE = 4 * 2**20

__all__ = ["BLOCK_ROWS", "Cursor", "Reader", "UnreadableFile", "open_file"]


@dataclass(frozen=True)
class Cursor:
    """Where to go on: the next row, and what time it was there. With it, resuming equals never having stopped."""

    row: int = 0
    clock: ClockState = field(default_factory=ClockState)
    message: int = 0
    """Raw files: the message that holds the row, and the rows of it that are done."""
    rows_into_message: int = 0

    def to_json(self) -> dict:
        return {
            "row": self.row,
            "clock": self.clock.to_json(),
            "message": self.message,
            "rows_into_message": self.rows_into_message,
        }

    @classmethod
    def from_json(cls, data: dict) -> Cursor:
        clock = ClockState.from_json(data["clock"])
        return cls(int(data["row"]), clock, int(data["message"]), int(data["rows_into_message"]))


class Reader(ABC):
    """An open file of packets. Iterate `blocks`; afterwards `cursor` says where it stopped and `faults` what was wrong.

    `rows` is the number of rows, None while a raw file has not been read to its end.
    """

    def __init__(self, path: Path, kind: FileKind, file: h5py.File, detector: Any = None):
        self.path = path
        self.kind = kind
        self.detector = detector
        self.name: NameParts = parse_name(path)
        self.cursor = Cursor()
        self.rows: int | None = None
        self._file_columns: tuple[str, ...] = ()
        self.faults: list[str] = []
        self.partial = False
        self._file = file

    @property
    def state(self) -> State:
        if self.partial:
            return "partial"
        return "growing" if is_following(self._file) else "ok"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that its packets have; those of a geometry only when one is known."""
        return (*self._file_columns, *(DERIVED if self.detector is not None else DERIVED[:2]))

    @property
    @abstractmethod
    def fraction_done(self) -> float:
        """Share of the file that `blocks` has read, 0 to 1."""

    def blocks(self, start: Cursor | int = 0) -> Iterator[Packets]:
        """Blocks from `start` on: a cursor of an earlier reading, or a row (before it only the clock is read)."""
        goal = 0 if isinstance(start, Cursor) else int(start)
        self.cursor = start if isinstance(start, Cursor) else Cursor()
        for rows, after in self._pieces(goal):
            clock = BlockClock(rows, self.cursor.clock)
            first = self.cursor.row
            self.cursor = Cursor(first + len(rows), clock.after, *after)
            if first >= goal and len(rows):
                packets = Packets.of_rows(rows, clock, self.detector, first)
                yield packets
                packets.forget()

    def sample(self) -> Packets:
        """Some thousand packets from the start, the middle and the end, to match ids by; their times mean nothing."""
        parts = [rows for rows in self._sample_rows() if len(rows)] if self.rows != 0 else []
        rows = np.concatenate(parts) if parts else np.zeros(0, PACKET_DTYPE)
        return Packets.of_rows(rows, BlockClock(rows, ClockState()), self.detector)

    @abstractmethod
    def _sample_rows(self) -> Iterator[np.ndarray]:
        """Pieces of rows (columns of today) from several places; what cannot be read is left out."""

    @abstractmethod
    def _pieces(self, split_at: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Rows (columns of today) from the cursor on, with the cursor's message fields after them; cut at `split_at`."""

    def _fault(self, text: str) -> None:
        self.partial = True
        self.faults.append(text)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class PacketReader(Reader):
    """Packet files of every version, and the packets kept inside simulation and flow files."""

    def __init__(self, path: Path, kind: FileKind, file: h5py.File, detector: Any = None):
        super().__init__(path, kind, file, detector)
        dset = find_dataset(file, kind.packets or "packets")
        if dset is None:
            raise UnreadableFile(f"has no dataset {kind.packets}")
        try:
            columns = known_columns(dset.dtype)
        except WrongColumns as error:
            raise UnreadableFile(str(error)) from None
        if kind.format == "packets" and kind.version not in KNOWN_VERSIONS:
            self.faults.append(f"version {kind.version} is not one of those known (0.0 to 2.4): read by its columns")
        self._dset = dset
        self._file_columns = columns
        self._ranges = stored_ranges(dset)
        self.rows = sum(stop - start for start, stop in self._ranges)
        if self.rows < len(dset):
            self._fault(f"declares {len(dset):,} rows but stores only {self.rows:,}")
        chunk = dset.chunks[0] if dset.chunks else 1
        self._ahead: ChunksAhead | None = None
        self._damaged = 0
        self._step = max(BLOCK_ROWS // chunk, 1) * chunk

    @property
    def fraction_done(self) -> float:
        return self.cursor.row / self._ranges[-1][1] if self._ranges else 1.0

    def _sample_rows(self) -> Iterator[np.ndarray]:
        for start, stop in (self._ranges[0], self._ranges[len(self._ranges) // 2], self._ranges[-1]):
            for at in sorted({start, (start + stop) // 2, max(stop - SAMPLE_ROWS, start)}):
                try:
                    yield to_today(self._dset[at : min(at + SAMPLE_ROWS, stop)])
                except (OSError, RuntimeError, WrongColumns):
                    continue  # damaged there: reading will say so

    def _pieces(self, split_at: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        if self._ahead is None and (self.rows or 0) - self.cursor.row > self._step:
            self._ahead = chunks_ahead(self._dset)
        for first, last in self._ranges:
            row = max(first, self.cursor.row)
            while row < last:
                stop = min((row // self._step + 1) * self._step, row + BLOCK_ROWS, last)
                if row < split_at < stop:
                    stop = split_at
                for start, rows in self._readable(row, stop):
                    self.cursor = Cursor(start, self.cursor.clock)
                    yield rows, (0, 0)
                if self._damaged > MAX_DAMAGED_CHUNKS:
                    self._fault(f"gave up at row {stop:,} after {self._damaged} damaged chunks")
                    return
                row = stop
        self.cursor = Cursor(max(self.cursor.row, self._ranges[-1][1] if self._ranges else 0), self.cursor.clock)

    def _readable(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Rows [start, stop) with the row they begin at: in one piece, or what can be read of each chunk."""
        try:
            yield start, to_today(self._read(start, stop))
            return
        except (OSError, RuntimeError, WrongColumns) as error:
            reason = error
        chunk = self._dset.chunks[0] if self._dset.chunks else BLOCK_ROWS
        lost: list[tuple[int, int]] = []
        while start < stop:
            end = min((start // chunk + 1) * chunk, stop)
            try:
                yield start, to_today(self._dset[start:end])
            except (OSError, RuntimeError, WrongColumns):
                self._damaged += 1
                lost = [*lost[:-1], (lost[-1][0], end)] if lost and lost[-1][1] == start else [*lost, (start, end)]
            start = end
        for begin, end in lost:
            self._fault(f"rows {begin:,} to {end - 1:,} cannot be read: {one_line(reason)}")

    def _read(self, start: int, stop: int) -> np.ndarray:
        """Rows as stored: decompressed ahead where that can be done, else by HDF5."""
        if self._ahead is not None:
            try:
                return self._ahead.rows(start, stop)
            except DamagedChunk:
                pass
        return self._dset[start:stop]

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        super().close()


class RawReader(Reader):
    """Raw PACMAN files, decoded on the fly to the rows that the packet file of the same stamp holds."""

    def __init__(self, path: Path, kind: FileKind, file: h5py.File, detector: Any = None):
        super().__init__(path, kind, file, detector)
        messages, headers = find_dataset(file, "msgs"), find_dataset(file, "msg_headers")
        if messages is None or headers is None:
            raise UnreadableFile("has no msgs and msg_headers, expected both in a raw PACMAN file")
        base = h5py.check_vlen_dtype(messages.dtype)
        if base is None or np.dtype(base) != np.uint8:
            raise UnreadableFile(f"msgs holds {messages.dtype}, expected byte strings of any length (u1)")
        if not headers.dtype.names or "io_groups" not in headers.dtype.names:
            raise UnreadableFile("msg_headers has no column 'io_groups'")
        self._messages, self._headers = messages, headers
        self._file_columns = PACKET_DTYPE.names or ()
        stored = min(_whole_from_start(messages), _whole_from_start(headers))
        self.messages = stored
        if is_following(file):
            return  # a writer grows one dataset after the other: the shorter one counts, and that is no fault
        declared = len(messages), len(headers)
        if declared[0] != declared[1]:
            self._fault(f"has {declared[0]:,} messages but {declared[1]:,} headers; the first {stored:,} are read")
        elif stored < declared[0]:
            self._fault(f"declares {declared[0]:,} messages but stores only {stored:,}")

    @property
    def fraction_done(self) -> float:
        return self.cursor.message / self.messages if self.messages else 1.0

    def _sample_rows(self) -> Iterator[np.ndarray]:
        for start in sorted({0, self.messages // 2, max(self.messages - SAMPLE_MESSAGES, 0)}):
            for at in range(start, min(start + SAMPLE_MESSAGES, self.messages), MESSAGES_IN_A_READ):
                try:
                    payloads = list(self._messages[at : min(at + MESSAGES_IN_A_READ, self.messages)])
                    _, last = next(_portions(payloads))
                    yield words.decode(payloads[:last], self._headers[at : at + last]["io_groups"])[0]
                except (OSError, RuntimeError):
                    continue
                if last < len(payloads):
                    break  # these are long: enough of them

    def _pieces(self, split_at: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        at, skip, row, damaged, cut_short = self.cursor.message, self.cursor.rows_into_message, self.cursor.row, 0, 0
        while at < self.messages:
            try:
                payloads = self._next_messages(at)
                io_groups = self._headers[at : at + len(payloads)]["io_groups"]
            except (OSError, RuntimeError) as error:
                if is_following(self._file):
                    # the bytes of messages lie in a heap that HDF5 may write after the rows that point to it
                    self.faults.append(f"messages from {at:,} on cannot be read yet")
                    break
                stop = min(at + MESSAGES_AT_ONCE, self.messages)
                damaged += 1
                self._fault(f"messages {at:,} to {stop - 1:,} cannot be read: {one_line(error)}")
                if damaged == MAX_DAMAGED_BLOCKS:
                    self._fault(f"gave up after {damaged} damaged blocks")
                    break
                at, skip = stop, 0
                self.cursor = Cursor(row, self.cursor.clock, at, 0)
                continue
            for first, last in _portions(payloads):
                rows, starts, short = words.decode(payloads[first:last], io_groups[first:last])
                cut_short += short
                for a, b in _edges(len(rows), starts, skip, split_at - row + skip):
                    message = int(np.searchsorted(starts, b, side="right")) - 1 if b < len(rows) else last - first
                    into = b - int(starts[message]) if b < len(rows) else 0
                    yield rows[a:b], (at + first + message, into)
                row += len(rows) - skip
                skip = 0
            at += len(payloads)
        if cut_short:
            self._fault(f"{cut_short:,} messages are cut short, or have bytes beyond their last whole word")
        self.rows = row

    def _next_messages(self, at: int) -> list[np.ndarray]:
        """Messages from `at` on: up to MESSAGES_AT_ONCE, or fewer that hold BYTES_AT_ONCE together."""
        payloads: list[np.ndarray] = []
        stop = min((at // MESSAGES_AT_ONCE + 1) * MESSAGES_AT_ONCE, self.messages)
        size = 0
        while at < stop and size < BYTES_AT_ONCE:
            some = list(self._messages[at : min(at + MESSAGES_IN_A_READ, stop)])
            payloads += some
            size += sum(map(len, some))
            at += len(some)
        return payloads


def _portions(payloads: list[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Ranges of messages of at most BYTES_AT_ONCE together (a longer one comes alone): decoding takes many times that."""
    ends = np.cumsum([len(payload) for payload in payloads])
    first = 0
    while first < len(payloads):
        before = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, before + BYTES_AT_ONCE, side="right")), first + 1)
        yield first, last
        first = last


def _whole_from_start(dset: h5py.Dataset) -> int:
    """Rows that are stored without a hole, from the first on."""
    ranges = stored_ranges(dset)
    return ranges[0][1] if ranges and ranges[0][0] == 0 else 0


def _edges(n_rows: int, starts: np.ndarray, skip: int, split_at: int) -> Iterator[tuple[int, int]]:
    """Cuts rows [skip, n_rows) into pieces of at most BLOCK_ROWS, at message starts where possible, and at `split_at`."""
    a = skip
    while a < n_rows:
        b = min(a + BLOCK_ROWS, n_rows)
        if b < n_rows:
            whole = starts[(starts > a) & (starts <= b)]
            b = int(whole[-1]) if len(whole) else b
        if a < split_at < b:
            b = split_at
        yield a, b
        a = b


def open_file(path: str | Path, detector: Any = None) -> Reader:
    """A reader of the packets of `path`; raises UnreadableFile (state, reason) when there are none to read."""
    path = Path(path)
    kind = identify(path)
    if kind.packets is None:
        raise UnreadableFile(
            f"is a {kind.format} file ({kind.version or 'HDF5'}) without packets; no plots for it yet", "ok"
        )
    file = open_hdf5(path, CHUNK_CACHE_BYTES)
    try:
        kind = kind_of(file)
        cls = RawReader if kind.format == "raw" else PacketReader
        reader = cls(path, kind, file, detector)
        chunk_bytes = _largest_chunk(reader)
        if chunk_bytes > CHUNK_CACHE_BYTES:
            reader.close()
            file = open_hdf5(path, 2 * chunk_bytes)
            reader = cls(path, kind, file, detector)
        return reader
    except UnreadableFile:
        file.close()
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        file.close()
        raise UnreadableFile(f"cannot be read: {one_line(error)}") from None


def _largest_chunk(reader: Reader) -> int:
    if not isinstance(reader, PacketReader) or reader._dset.chunks is None:
        return 0
    return reader._dset.chunks[0] * reader._dset.dtype.itemsize
