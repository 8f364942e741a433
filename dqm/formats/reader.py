"""Files to blocks of packets: at most 131,072 whole rows, aligned to HDF5 chunks, read once and shared by all plots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dqm.formats import words
from dqm.formats.about import About
from dqm.formats.beside import Beside, beside_packets
from dqm.formats.chunks import ChunksAhead, DamagedChunk, chunks_ahead
from dqm.formats.clock import LATEST_UNIX, BlockClock, ClockState
from dqm.formats.columns import PACKET_DTYPE, Columns, WrongColumns, known_columns, to_today
from dqm.formats.configuration import configuration_of, has_configuration
from dqm.formats.doorkeeper import DOORKEEPER
from dqm.formats.hdf5 import (
    READ_ERRORS,
    EmptyFile,
    State,
    UnreadableFile,
    find_dataset,
    is_following,
    is_locked,
    is_shared,
    one_line,
    open_hdf5,
    rows_so_far,
    stamp_of,
    stored_ranges,
)
from dqm.formats.identify import FileKind, attribute_of, kind_by_head, kind_of
from dqm.formats.names import NameParts, parse_name
from dqm.formats.packets import DERIVED, Packets, no_packets
from dqm.formats.triggers import LOOK_ROWS, Recent, Stretch
from dqm.formats.trust import Messages, rows_of
from dqm.kernels import expect
from dqm.kernels.memory import keep_freed

BLOCK_ROWS = 131_072
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
EXTRACT_ROWS = 1024
EXTRACT_MESSAGES = 8
MAX_FIRST_MESSAGES = 1024
"""Each message is a row, but for those that are cut short: no need to look for rows in a file of such."""

CUT_SHORT = "messages are cut short, or have bytes beyond their last whole word"

__all__ = ["BLOCK_ROWS", "Cursor", "Reader", "UnreadableFile", "join_faults", "open_file"]


@dataclass(frozen=True)
class Cursor:
    """Where to go on: the next row, and what time it was there. With it, resuming equals never having stopped."""

    row: int = 0
    clock: ClockState = field(default_factory=ClockState)
    message: int = 0
    """Raw files: the message that holds the row, and the rows of it that are done."""
    rows_into_message: int = 0
    damaged: int = 0
    """Chunks, or blocks of messages, before it that cannot be read: reading gives up after so many."""
    cut_short: int = 0
    """Raw files: messages before `message` that are cut short."""
    told: bool = False
    """Whether what the file says about itself was given, with a block before it."""
    marks: tuple[Cursor, ...] = field(default=(), compare=False)
    """Earlier places, the first 2 LOOK_ROWS before it: from there the rows that triggers look back on are read again."""

    def then(self, later: Cursor) -> Cursor:
        """`later`, a place further on in the same reading, with the marks that it needs."""
        marks = self.marks or (replace(self, marks=()),)
        if later.row >= marks[-1].row + LOOK_ROWS:
            marks = (*marks, replace(later, marks=()))
        while len(marks) > 1 and marks[1].row <= later.row - 2 * LOOK_ROWS:
            marks = marks[1:]
        return replace(later, marks=marks)

    def to_json(self) -> dict:
        marks = {"marks": [mark.to_json() for mark in self.marks]} if self.marks else {}
        return marks | {
            "row": self.row,
            "clock": self.clock.to_json(),
            "message": self.message,
            "rows_into_message": self.rows_into_message,
            "damaged": self.damaged,
            "cut_short": self.cut_short,
            "told": self.told,
        }

    @classmethod
    def from_json(cls, data: dict) -> Cursor:
        clock = ClockState.from_json(data["clock"])
        counts = int(data.get("damaged", 0)), int(data.get("cut_short", 0))  # cursors of old have none
        marks = tuple(cls.from_json(mark) for mark in data.get("marks", ()))
        row, message = int(data["row"]), int(data["message"])
        told = bool(data.get("told", row or message))
        return cls(row, clock, message, int(data["rows_into_message"]), *counts, told, marks)


def join_faults(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Faults of a part of a file and of the part after it, as one reading of both says them.

    Messages that are cut short are counted from the start of the file: the later number stands for the earlier one.
    """
    now = list(now)
    counted = any(map(_tells_cut_short, now))
    kept = [fault for fault in before if not (counted and _tells_cut_short(fault))]
    return list(dict.fromkeys([*kept, *now]))


def _tells_cut_short(fault: str) -> bool:
    return fault.endswith(CUT_SHORT)


class Reader(ABC):
    """An open file of packets. Iterate `blocks`; afterwards `cursor` says where it stopped and `faults` what was wrong.

    Whoever leaves off after a block has the faults of all before `cursor`; read on from it, by any reader, the file gives
    the same rows, damage and faults (see `join_faults`) as in one reading.

    `rows` is the number of rows, None while a raw file has not been read to its end; of a file that grows those that are
    there without a gap. What cannot be read of such a file is not damaged: `blocks` ends before it, `stopped` is True, and
    reading goes on at `cursor` another time.
    """

    def __init__(self, path: Path, kind: FileKind, file: h5py.File, detector: Any = None, *, provisional: bool = False):
        self.path = path
        self.kind = kind
        self.detector = detector
        self.name: NameParts = parse_name(path)
        self.cursor = Cursor()
        self.rows: int | None = None
        self._file_columns: tuple[str, ...] = ()
        self.faults: list[str] = []
        self.stopped = False
        self.provisional = provisional
        """Read in spite of a writer's lock: what comes may be wrong, and is counted anew when the file is closed."""
        self._file = file
        self._damaged = False
        self._beside_them: Beside | None = None
        self._growing = provisional or is_following(file) or is_shared(file)
        self._stamp = stamp_of(file)
        self._wanted: set[str] = set()

    @property
    def closed_by_writer(self) -> bool:
        """Whether the writer is done with the file, as far as one can see: nobody has it open, nor changed it since."""
        if self._file and not self._growing:
            self._growing = stamp_of(self._file) != self._stamp
        return not self._growing

    @property
    def partial(self) -> bool:
        """Whether some of a closed file is not there or cannot be read; `faults` say what."""
        return self._damaged and self.closed_by_writer

    @property
    def state(self) -> State:
        if not self.closed_by_writer:
            return "growing"
        return "partial" if self.partial else "ok"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that its packets have; those of a geometry only when one is known."""
        return (*self._file_columns, *(DERIVED if self.detector is not None else DERIVED[:2]))

    @property
    def created(self) -> str | None:
        """When the file says that it was made [unix s], as text."""
        return attribute_of(self._file, "meta" if self.kind.format == "raw" else "_header", "created")

    @property
    @abstractmethod
    def fraction_done(self) -> float:
        """Share of the file that `blocks` has read, 0 to 1."""

    def blocks(self, start: Cursor | int = 0) -> Iterator[Packets]:
        """Blocks from `start` on: a cursor of an earlier reading, or a row (before it only the clock is read)."""
        keep_freed()
        goal = 0 if isinstance(start, Cursor) else int(start)
        self.cursor = start if isinstance(start, Cursor) else Cursor()
        self.stopped = False
        self._damaged = self._damaged or self.cursor.damaged > 0 or self.cursor.cut_short > 0
        began = self.cursor
        expect(max((self.rows or 0) - self.cursor.row, 0))
        recent = Recent((), lambda: self._read_again(began)) if began.marks else Recent()
        about = None if self.cursor.told or goal else self.about
        for rows, after in self._pieces(goal):
            if self.rows is None:  # as many as the messages hold
                expect(len(rows))
            clock = BlockClock(rows, self.cursor.clock, Columns(rows, self._wanted))
            first = self.cursor.row
            self.cursor = self.cursor.then(
                replace(
                    self.cursor, row=first + len(rows), clock=clock.after, message=after[0], rows_into_message=after[1]
                )
            )
            packets = Packets.of_rows(rows, clock, self.detector, first, recent)
            if first >= goal and len(rows):
                packets.beside = self._beside
                if about is not None:
                    packets.file, about = about, None
                    self.cursor = replace(self.cursor, told=True)
                yield packets
            recent = recent.then(packets.stretch)
            packets.forget()
        if about is not None and self.closed_by_writer and has_configuration(self._file):
            packets = no_packets(self.detector)
            packets.beside, packets.file = self._beside, about
            self.cursor = replace(self.cursor, told=True)
            yield packets

    @cached_property
    def about(self) -> About:
        """What the file says about itself."""
        start, created = self.name.start, self.created
        try:
            time = int(start.timestamp() if start else float(created or -1))
        except (ValueError, OverflowError):
            time = -1
        return About(
            self.path.name, self.kind.format, self.kind.version, self.name.run, self.name.subrun,
            time if 0 <= time < LATEST_UNIX else -1, lambda: configuration_of(self._file),
        )  # fmt: skip

    def _read_again(self, until: Cursor) -> list[Stretch]:
        """The rows from the first mark of a cursor up to it, once more; nothing is said of what is damaged among them."""
        again, stretches = self._twin(), []
        for packets in again.blocks(until.marks[0]):
            assert packets.source is not None
            rows, clock = packets.source
            if again.cursor.row > until.row:  # a file that grew has more behind the cursor than it had then
                rows = rows[: max(until.row - packets.first_row, 0)]
                clock = BlockClock(rows, clock.before)
            stretches.append(Stretch(packets.first_row, rows, clock))
            if again.cursor.row >= until.row:
                break
        return stretches

    def _twin(self) -> Reader:
        """Another reader of the same open file, which leaves this one as it is."""
        again = copy(self)
        again.faults = []
        return again

    def _beside(self) -> Beside:
        """What the file holds beside its packets, as it was when somebody first asked."""
        if self._beside_them is None:
            dset = None if self.kind.format == "raw" else self.kind.packets
            self._beside_them = beside_packets(self._file, str(self.path), dset)
        return self._beside_them

    def sample(self) -> Packets:
        """Some thousand packets from the start, the middle and the end, to match ids by; their times mean nothing."""
        parts = [rows for rows in self._sample_rows() if len(rows)] if self.rows != 0 else []
        rows = np.concatenate(parts) if parts else np.zeros(0, PACKET_DTYPE)
        return Packets.of_rows(rows, BlockClock(rows, ClockState()), self.detector)

    @abstractmethod
    def _sample_rows(self) -> Iterator[np.ndarray]:
        """Pieces of rows (columns of today) from several places; what cannot be read is left out."""

    @abstractmethod
    def first_rows(self, count: int) -> np.ndarray:
        """The first `count` rows that are stored (columns of today), or fewer; raises READ_ERRORS. The cursor stays."""

    @abstractmethod
    def extracts(self) -> Iterator[bytes]:
        """How much there is, and some of it from the start, the middle and the end, for a fingerprint."""

    @abstractmethod
    def _pieces(self, split_at: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Rows (columns of today) from the cursor on, with the cursor's message fields after them; cut at `split_at`.

        The faults before the end of each piece are said, and counted in the cursor, before it is given away: whoever asked
        may not come back.
        """

    def _fault(self, text: str) -> None:
        self._damaged = True
        self.faults.append(text)

    def _stop(self, text: str) -> None:
        self.stopped = True
        self.faults.append(f"{text} cannot be read yet")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class PacketReader(Reader):
    """Packet files of every version, and the packets kept inside simulation and flow files."""

    def __init__(self, path: Path, kind: FileKind, file: h5py.File, detector: Any = None, *, provisional: bool = False):
        super().__init__(path, kind, file, detector, provisional=provisional)
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
        if self._growing:
            rows = rows_so_far(dset)
            self._ranges = [(0, rows)] if rows else []
        else:
            self._ranges = stored_ranges(dset)
        self.rows = sum(stop - start for start, stop in self._ranges)
        if self.rows < len(dset) and not self._growing:
            self._fault(f"declares {len(dset):,} rows but stores only {self.rows:,}")
        chunk = dset.chunks[0] if dset.chunks else 1
        self._ahead: ChunksAhead | None = None
        self._damaged_chunks = 0
        self._step = max(BLOCK_ROWS // chunk, 1) * chunk

    @property
    def fraction_done(self) -> float:
        return self.cursor.row / self._ranges[-1][1] if self._ranges else 1.0

    def _sample_rows(self) -> Iterator[np.ndarray]:
        for start, stop in (self._ranges[0], self._ranges[len(self._ranges) // 2], self._ranges[-1]):
            for at in sorted({start, (start + stop) // 2, max(stop - SAMPLE_ROWS, start)}):
                try:
                    yield to_today(rows_of(self._dset, at, min(at + SAMPLE_ROWS, stop)))
                except READ_ERRORS:
                    continue  # damaged there: reading will say so

    def first_rows(self, count: int) -> np.ndarray:
        parts = [self._dset[:0]]
        for start, stop in self._ranges:
            if count:
                parts.append(rows_of(self._dset, start, min(start + count, stop)))
                count -= len(parts[-1])
        return to_today(np.concatenate(parts))

    def extracts(self) -> Iterator[bytes]:
        yield f"{self.rows} rows in {self._dset.id.get_storage_size()} bytes".encode()
        end = self._ranges[-1][1] if self._ranges else 0
        for start in _three_places(end, EXTRACT_ROWS):
            try:
                rows = to_today(rows_of(self._dset, start, min(start + EXTRACT_ROWS, end)))
            except READ_ERRORS:
                yield b"unreadable"
                continue
            for name in self._file_columns:
                yield rows[name].tobytes()

    def _pieces(self, split_at: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        self._damaged_chunks = self.cursor.damaged
        if self._gives_up():
            return
        if self._ahead is None and not self._growing and (self.rows or 0) - self.cursor.row > self._step:
            self._ahead = chunks_ahead(self._dset)
        for first, last in self._ranges:
            row = max(first, self.cursor.row)
            while row < last:
                stop = min((row // self._step + 1) * self._step, row + BLOCK_ROWS, last)
                if row < split_at < stop:
                    stop = split_at
                for start, rows in self._readable(row, stop):
                    self.cursor = replace(self.cursor, row=start, damaged=self._damaged_chunks)
                    yield rows, (0, 0)
                if self.stopped:
                    return
                if self._gives_up():
                    return
                row = stop
        end = max(self.cursor.row, self._ranges[-1][1] if self._ranges else 0)
        self.cursor = replace(self.cursor, row=end, damaged=self._damaged_chunks)

    def _gives_up(self) -> bool:
        """Whether there was so much damage before the cursor that reading ends there."""
        if self._damaged_chunks <= MAX_DAMAGED_CHUNKS:
            return False
        self._fault(f"gave up at row {self.cursor.row:,} after {self._damaged_chunks} damaged chunks")
        return True

    def _readable(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Rows [start, stop) with the row they begin at: in one piece, or what can be read of each chunk.

        Of a file that grows only up to the first chunk that cannot be read; of others until there were too many of those.
        """
        try:
            rows = to_today(self._read(start, stop))
        except READ_ERRORS:
            pass
        else:
            yield start, rows
            return
        chunk = self._dset.chunks[0] if self._dset.chunks else BLOCK_ROWS
        lost_from, reason = start, ""
        while start < stop and self._damaged_chunks <= MAX_DAMAGED_CHUNKS:
            end = min((start // chunk + 1) * chunk, stop)
            try:
                rows = to_today(rows_of(self._dset, start, end))
            except READ_ERRORS as error:
                if not self.closed_by_writer:
                    self._stop(f"rows from {start:,} on")
                    break
                self._damaged_chunks += 1
                lost_from, reason = (lost_from, reason) if reason else (start, one_line(error))
            else:
                self._lost(lost_from, start, reason)
                reason = ""
                yield start, rows
            start = end
        self._lost(lost_from, start, reason)
        if self._damaged_chunks > MAX_DAMAGED_CHUNKS:
            self.cursor = replace(self.cursor, row=start, damaged=self._damaged_chunks)

    def _lost(self, start: int, stop: int, reason: str) -> None:
        """Says which rows are lost, if there is a reason."""
        if reason:
            self._fault(f"rows {start:,} to {stop - 1:,} cannot be read: {reason}")

    def _read(self, start: int, stop: int) -> np.ndarray:
        """Rows as stored: decompressed ahead where that can be done, else by HDF5."""
        if self._ahead is not None:
            try:
                return self._ahead.rows(start, stop)
            except DamagedChunk:
                pass
        return rows_of(self._dset, start, stop)

    def _twin(self) -> Reader:
        again = copy(self)
        again.faults, again._ahead, again.rows = [], None, None  # for some rows none are decompressed ahead
        return again

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        super().close()


class RawReader(Reader):
    """Raw PACMAN files, decoded on the fly to the rows that the packet file of the same stamp holds."""

    def __init__(self, path: Path, kind: FileKind, file: h5py.File, detector: Any = None, *, provisional: bool = False):
        super().__init__(path, kind, file, detector, provisional=provisional)
        messages, headers = find_dataset(file, "msgs"), find_dataset(file, "msg_headers")
        if messages is None or headers is None:
            raise UnreadableFile("has no msgs and msg_headers, expected both in a raw PACMAN file")
        base = h5py.check_vlen_dtype(messages.dtype)
        if base is None or np.dtype(base) != np.uint8:
            raise UnreadableFile(f"msgs holds {messages.dtype}, expected byte strings of any length (u1)")
        if not headers.dtype.names or "io_groups" not in headers.dtype.names:
            raise UnreadableFile("msg_headers has no column 'io_groups'")
        self._messages, self._headers = messages, headers
        self._trusted = Messages(messages)
        self._file_columns = PACKET_DTYPE.names or ()
        if self._growing:
            # a writer grows one dataset after the other: the shorter one counts, and that is no fault;
            # headers of zeros are real where nobody said the io_group
            self.messages = min(rows_so_far(messages, self._trusted.read), _whole_from_start(headers, growing=True))
            return
        self.messages = stored = min(_whole_from_start(messages), _whole_from_start(headers))
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
                    payloads = self._read_messages(at, min(at + MESSAGES_IN_A_READ, self.messages))
                    _, last = next(_portions(payloads))
                    yield words.decode(payloads[:last], self._io_groups(at, at + last))[0]
                except READ_ERRORS:
                    continue
                if last < len(payloads):
                    break  # these are long: enough of them

    def first_rows(self, count: int) -> np.ndarray:
        parts = [np.zeros(0, PACKET_DTYPE)]
        # one by one: those after them may not be readable yet
        for at in range(min(self.messages, MAX_FIRST_MESSAGES)):
            if sum(map(len, parts)) >= count:
                break
            parts.append(words.decode(self._read_messages(at, at + 1), self._io_groups(at, at + 1))[0])
        return np.concatenate(parts)[:count]

    def extracts(self) -> Iterator[bytes]:
        yield f"{self.messages} messages in {self._messages.id.get_storage_size()} bytes".encode()
        for start in _three_places(self.messages, EXTRACT_MESSAGES):
            stop = min(start + EXTRACT_MESSAGES, self.messages)
            try:
                payloads, io_groups = self._read_messages(start, stop), self._io_groups(start, stop)
            except READ_ERRORS:
                yield b"unreadable"
                continue
            yield np.array([len(payload) for payload in payloads], "<u8").tobytes() + io_groups.tobytes()
            yield from (payload.tobytes() for payload in payloads)

    def _pieces(self, split_at: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        at, skip, row, short = (
            self.cursor.message,
            self.cursor.rows_into_message,
            self.cursor.row,
            self.cursor.cut_short,
        )
        self._say_cut_short(short)
        while at < self.messages:
            try:
                payloads = self._next_messages(at)
                io_groups = self._next_io_groups(at, len(payloads))
            except READ_ERRORS as error:
                if not self.closed_by_writer:
                    # the bytes of messages lie in a heap that HDF5 may write after the rows that point to it
                    self._stop(f"messages from {at:,} on")
                    break
                stop = self._end_of_block(at)
                damaged = self.cursor.damaged + 1
                self._fault(f"messages {at:,} to {stop - 1:,} cannot be read: {one_line(error)}")
                if damaged == MAX_DAMAGED_BLOCKS:
                    self._fault(f"gave up after {damaged} damaged blocks")
                    break
                at, skip = stop, 0
                self.cursor = replace(
                    self.cursor, row=row, message=at, rows_into_message=0, damaged=damaged, cut_short=short
                )
                continue
            for first, last in _portions(payloads):
                rows, starts, _ = words.decode(payloads[first:last], io_groups[first:last])
                shorts = np.concatenate([[0], np.cumsum(words.are_cut_short(payloads[first:last]))])
                for a, b in _edges(len(rows), starts, skip, split_at - row + skip):
                    message = int(np.searchsorted(starts, b, side="right")) - 1 if b < len(rows) else last - first
                    into = b - int(starts[message]) if b < len(rows) else 0
                    self.cursor = replace(self.cursor, cut_short=short + int(shorts[message]))
                    self._say_cut_short(self.cursor.cut_short)
                    yield rows[a:b], (at + first + message, into)
                row += len(rows) - skip
                short += int(shorts[-1])
                skip = 0
            at += len(payloads)
        self._say_cut_short(short)
        self.rows = row

    def _say_cut_short(self, count: int) -> None:
        """Says how many messages are cut short so far: one sentence, whatever it said before."""
        if count:
            self.faults = [fault for fault in self.faults if not _tells_cut_short(fault)]
            self._fault(f"{count:,} {CUT_SHORT}")

    def _end_of_block(self, at: int) -> int:
        return min((at // MESSAGES_AT_ONCE + 1) * MESSAGES_AT_ONCE, self.messages)

    def _read_messages(self, start: int, stop: int) -> list[np.ndarray]:
        return self._trusted.read(start, stop)

    def _io_groups(self, start: int, stop: int) -> np.ndarray:
        return rows_of(self._headers, start, stop)["io_groups"]

    def _next_io_groups(self, at: int, count: int) -> np.ndarray:
        """The io_groups of `count` messages; of a closed file read with their whole block, as damage costs it whole."""
        if self._growing:
            return self._io_groups(at, at + count)
        first = at - at % MESSAGES_AT_ONCE
        return self._io_groups(first, self._end_of_block(at))[at - first : at - first + count]

    def _next_messages(self, at: int) -> list[np.ndarray]:
        """Messages from `at` on: to the end of their block, or fewer that hold BYTES_AT_ONCE together.

        Only those before the first that cannot be read: one by one in a file that grows. In others they are read in groups
        of MESSAGES_IN_A_READ that begin at the same ones wherever reading began, so that the same ones are lost.
        """
        payloads: list[np.ndarray] = []
        stop = self._end_of_block(at)
        size, step = 0, MESSAGES_IN_A_READ
        while at < stop and size < BYTES_AT_ONCE:
            try:
                some = self._read_messages(at, min((at // step + 1) * step, stop))
            except READ_ERRORS:
                if step > 1 and not self.closed_by_writer:
                    step = 1
                    continue
                if payloads:
                    break
                raise
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


def _three_places(total: int, size: int) -> list[int]:
    """Where `size` of `total` begin at the start, in the middle and at the end."""
    return sorted({0, total // 2, max(total - size, 0)}) if total else []


def _whole_from_start(dset: h5py.Dataset, growing: bool = False) -> int:
    """Rows that are stored without a hole, from the first on."""
    ranges = stored_ranges(dset, growing)
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


def inside(path: Path, roots: Iterable[Path]) -> Path:
    """`path`; UnreadableFile unless it lies in one of the `roots`, wherever links lead."""
    try:
        real = path.resolve(strict=True)
    except OSError:
        raise UnreadableFile("is not there (any more)") from None
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise UnreadableFile("lies outside the data roots of this host ([ingest] roots): it is not opened")
    return path


def open_file(path: str | Path, detector: Any = None, provisional: bool = False, trusted: bool = False) -> Reader:
    """A reader of the packets of `path`; raises UnreadableFile (state, reason) when there are none to read.

    With `provisional` a file that a writer has locked is read all the same, if its last flush left something to read;
    the reader says so in its own `provisional`. A second reader of the same file in a process sees what HDF5 has cached
    for the first, and therefore takes the file for one that grows. With `trusted` the doorkeeper is not asked: for whoever
    has just had this very content opened.
    """
    path = Path(path)
    if not trusted:
        _ask(path, False)
    before = stamp_of(path)
    try:
        reader = _open(path, detector, False)
        if stamp_of(path) == before or not reader.closed_by_writer:
            return reader
        reader.close()
        raise UnreadableFile("is being written: it changed while it was opened", "growing")
    except UnreadableFile as error:
        early = provisional and isinstance(error, EmptyFile)
        if error.state == "quarantined" and (early or stamp_of(path) != before or is_locked(path)):
            raise _not_yet(error) from None
        if error.state != "growing" or not provisional:
            raise
    if not trusted:
        _ask(path, True)
    try:
        return _open(path, detector, True)
    except UnreadableFile as error:
        raise _not_yet(error) from None


def _ask(path: Path, provisional: bool) -> None:
    """Lets the doorkeeper open the file first; raises UnreadableFile when that did not end well."""
    try:
        other = kind_by_head(path)
    except UnreadableFile:
        return  # opening will say so
    if not other and (objection := DOORKEEPER.objection(path, provisional)):
        error = UnreadableFile(objection)
        raise _not_yet(error) if is_locked(path) else error


def _open(path: Path, detector: Any, provisional: bool) -> Reader:
    if other := kind_by_head(path):
        raise _without_packets(other)
    return open_here(path, detector, provisional)


def open_here(path: Path, detector: Any, provisional: bool) -> Reader:
    """As `open_file`, by HDF5 in this very process, whatever it may do over a damaged file."""
    file = open_hdf5(path, CHUNK_CACHE_BYTES, provisional)
    following = is_following(file)
    try:
        kind = kind_of(file)
        if kind.packets is None:
            raise _without_packets(kind)
        cls = RawReader if kind.format == "raw" else PacketReader
        reader = cls(path, kind, file, detector, provisional=provisional)
        chunk_bytes = _largest_chunk(reader)
        if chunk_bytes > CHUNK_CACHE_BYTES:
            reader.close()
            file = open_hdf5(path, 2 * chunk_bytes, provisional)
            following = is_following(file)
            reader = cls(path, kind, file, detector, provisional=provisional)
        return reader
    except READ_ERRORS as error:
        file.close()
        unreadable = UnreadableFile(f"cannot be read: {one_line(error)}")
        raise (_not_yet(unreadable) if following else unreadable) from None
    except UnreadableFile as error:
        file.close()
        if following and error.state == "quarantined":
            raise _not_yet(error) from None
        raise


def _not_yet(error: UnreadableFile) -> UnreadableFile:
    if error.state == "growing":
        return error
    return UnreadableFile(f"is being written, or its writer did not close it; so far it {error.reason}", "growing")


def _without_packets(kind: FileKind) -> UnreadableFile:
    return UnreadableFile(
        f"is a {kind.format} file ({kind.version or 'HDF5'}) without packets; no plots for it yet", "ok"
    )


def _largest_chunk(reader: Reader) -> int:
    if not isinstance(reader, PacketReader) or reader._dset.chunks is None:
        return 0
    return reader._dset.chunks[0] * reader._dset.dtype.itemsize
