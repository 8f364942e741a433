"""One block of packets, as every plot sees it: columns by name, read and derived once, shared by all plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from dqm.formats.about import About
from dqm.formats.beside import Beside
from dqm.formats.census import Census, Chips, PixelSums, count_chips, sum_pixels, take_census
from dqm.formats.clock import BlockClock, ClockState, trigger_key
from dqm.formats.columns import PACKET_DTYPE, Columns, PacketType
from dqm.formats.triggers import ALL_GROUPS, Recent, Stretch, beside_triggers
from dqm.kernels import loops_for

DERIVED = ("unix_time", "time_ticks", "tile", "pixel")
"""Columns that the reader adds to those of the file."""


class Packets:
    """Rows of a file as columns, each shape (n,): ``packets["dataword"]``, ``packets["unix_time"]``.

    Besides the columns of the file (formats.columns.PACKET_DTYPE; older files have fewer) there are

    - ``unix_time`` [s, UTC], int64: second of the message the row came in; -1 before the first timestamp packet;
    - ``time_ticks`` [0.1 us], int64: monotonic per io_group; -1 for rows without a counter;
    - ``tile``, int16: tile id of the detector; 0 outside it;
    - ``pixel``, int32: dense pixel index of the detector; -1 outside it.

    The last two need a detector. Arrays are shared by all plots and cannot be written into.
    """

    def __init__(
        self,
        columns: Callable[[str], np.ndarray],
        names: tuple[str, ...],
        length: int,
        detector: Any = None,
        first_row: int = 0,
    ):
        self._compute = columns
        self._names = names
        self._length = length
        self._cache: dict[Any, Any] = {}
        self.detector = detector
        self.first_row = first_row
        self.source: tuple[np.ndarray, BlockClock] | None = None
        """The rows and the clock that the columns are made of, where there are such."""
        self.recent: Recent | None = None
        """What stands before them in the file, where that is known."""
        self.file: About | None = None
        """What the file says about itself: on its first block, None on all others."""
        self.beside: Callable[[], Beside] | None = None
        """What the file of the rows holds beside them; None where there is no file."""

    @classmethod
    def of_rows(
        cls,
        rows: np.ndarray,
        clock: BlockClock,
        detector: Any = None,
        first_row: int = 0,
        recent: Recent | None = None,
    ) -> Packets:
        """A block of the rows of a file (columns of today) with their clock, and what stands before it."""
        names = (*(rows.dtype.names or ()), *(DERIVED if detector is not None else DERIVED[:2]))

        def column(name: str) -> np.ndarray:
            if name == "unix_time":
                return clock.unix_time()
            if name == "time_ticks":
                return clock.time_ticks()
            return clock.columns[name]

        packets = cls(column, names, len(rows), detector, first_row)
        packets.source, packets.recent = (rows, clock), recent
        return packets

    def __len__(self) -> int:
        return self._length

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def columns(self) -> tuple[str, ...]:
        """Names that can be asked for."""
        return self._names

    def __getitem__(self, name: str) -> np.ndarray:
        """The column `name`, shape (n,); KeyError with the columns that there are."""
        if name not in self._names:
            raise KeyError(f"packets have no column {name!r}; there are {', '.join(self._names)}")
        return self.once(name, lambda: self._locked(name))

    def _locked(self, name: str) -> np.ndarray:
        # all plots share the array: one that writes into it fails itself instead of changing the numbers of the others
        array = self._derive(name)
        array.flags.writeable = False
        return array.view()

    def _derive(self, name: str) -> np.ndarray:
        if name == "tile":
            return self.detector.tile_of(self["io_group"], self["io_channel"])
        if name == "pixel":
            return self.detector.pixel_of(self["io_group"], self["io_channel"], self["chip_id"], self["channel_id"])
        return self._compute(name)

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Result of `compute`, kept for this block: several plots that need the same thing compute it once."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def forget(self) -> None:
        """Drops what was derived: selections refer back to their block, and would keep it until a garbage collection."""
        kept, self._cache = self._cache, {}
        if self.source is not None:
            self.source[1].columns.forget()
        for value in kept.values():
            if isinstance(value, Packets):
                value.forget()

    def select(self, rows: np.ndarray) -> Packets:
        """The packets of a boolean mask or of row indices."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        if len(index) == len(self) and rows.dtype == bool:
            return self
        return Packets(lambda name: self[name].take(index), self._names, len(index), self.detector, self.first_row)

    def without(self, left_out: Callable[[Packets], np.ndarray]) -> Packets:
        """These packets without those data packets that `left_out` says are (a boolean for each, shape (n,)).

        Their io_groups were alive all the same, and triggers and clocks are what they were.
        """
        gone = left_out(self)
        return Thinned(self, np.flatnonzero(~gone), left_out) if gone.any() else self

    def of_type(self, packet_type: int) -> Packets:
        """The packets of one type."""
        return self.once(("type", packet_type), lambda: self.select(self["packet_type"] == packet_type))

    @property
    def data(self) -> Packets:
        """Data packets (type 0) of valid parity: the only ones whose fields can be trusted."""

        def select() -> Packets:
            return self.select((self["packet_type"] == PacketType.DATA) & (self["valid_parity"] == 1))

        return self.once("data", select)

    @property
    def census(self) -> Census:
        """How many packets there are of each second, io_group, io_channel, type and parity: a table of some hundred rows.

        ``tally((256,), census.data.io_group, weights=census.data.rows)`` is as the tally of ``data["io_group"]``.
        """
        return self.once("census", lambda: take_census(self))

    @property
    def chips(self) -> Chips:
        """How many data packets of valid parity came from each chip through each io_channel."""
        return self.once("chips", lambda: count_chips(self))

    @property
    def pixel_sums(self) -> PixelSums:
        """Of each pixel that is hit: data packets of valid parity, sum of their ADC counts and of the squares of these."""
        return self.once("pixel_sums", lambda: sum_pixels(self.data))

    def beside_triggers(self, io_group: int = ALL_GROUPS, bit: int = 1) -> Packets:
        """Data packets within 1 ms after a trigger (0.2 ms before it), with the column ``trigger_ticks`` since it.

        Of triggers of one io_group or of all, with this bit set; see formats.triggers. They may stand in earlier blocks:
        each pair of packet and trigger is given in the block in which the later one of them stands. Beside the columns of
        the file there are ``time_ticks``, those of the detector, and ``row``: which row of the file the packet is.
        """

        def find() -> Packets:
            recent = Recent() if not len(self) else self.recent
            if recent is None:
                raise ValueError("what stands before these packets is not known: ask the packets that count() is given")
            beside = beside_triggers(recent, self.stretch, io_group, bit)
            derived = {"time_ticks": beside.times, "trigger_ticks": beside.since}
            names = (*(name for name in self._names if name != "unix_time"), "trigger_ticks", "row")

            def column(name: str) -> np.ndarray:
                if name == "row":
                    return beside.row
                return derived[name] if name in derived else beside.column(name)

            return Packets(column, names, len(beside.since), self.detector, self.first_row)

        return self.once(("beside_triggers", io_group, bit), find)

    def triggers(self, io_group: int = ALL_GROUPS, bit: int = 1) -> Packets:
        """The trigger words of one io_group or of all with this bit, with ``interval_ticks`` since the one before.

        That is the one that the same io_group sent before in the file; -1 for its first. ``row`` is that of the file.
        """

        def find() -> Packets:
            where = np.flatnonzero(self["packet_type"] == PacketType.TRIGGER)
            where = where[self["trigger_type"].take(where) >> bit & 1 == 1]
            if io_group != ALL_GROUPS:
                where = where[self["io_group"].take(where) == io_group]
            words = self.select(where)
            groups, times = words["io_group"], words["time_ticks"]
            interval = np.full(len(words), -1, np.int64)
            before = self.source[1].before.triggers if self.source is not None else {}
            for group in np.unique(groups).tolist():
                own = np.flatnonzero(groups == group)
                interval[own[1:]] = np.diff(times[own])
                if (last := before.get(trigger_key(group, bit))) is not None:
                    interval[own[0]] = times[own[0]] - last
            derived = {"interval_ticks": interval, "row": self.first_row + where}
            columns = (*self._names, *derived)
            return Packets(
                lambda name: derived[name] if name in derived else words[name], columns, len(words), self.detector
            )

        return self.once(("triggers", io_group, bit), find)

    def first_told(self, io_group: int = ALL_GROUPS, bit: int = 1) -> int:
        """How many triggers these packets tell of that none before them told of (rule 1 of formats.triggers)."""
        if not len(self):
            return 0
        assert self.recent is not None, "only of a block"
        return len(self.stretch.kept(io_group, bit, self.recent.stretches)[0])

    @property
    def stretch(self) -> Stretch:
        """These packets as what the next ones look back on, with their times if somebody worked them out."""

        def make() -> Stretch:
            assert self.source is not None
            return Stretch(self.first_row, *self.source)

        stretch = self.once("stretch", make)
        stretch.times = self._cache.get("time_ticks")
        return stretch

    @property
    def timeline(self) -> list[tuple[int, np.ndarray]]:
        """For each io_group its times [ticks] in file order, of all rows whose counter can be trusted.

        These are data of valid parity, syncs and triggers; worked out once for all that follow the clocks.
        """

        def split() -> list[tuple[int, np.ndarray]]:
            types = self["packet_type"]
            if loops := loops_for(len(self)):
                size, times = np.zeros(256, np.int64), np.empty(len(self), np.int64)
                loops.by_group(types, self["valid_parity"], self["io_group"], self["time_ticks"], size, times)
                return _pieces(size, times)
            trusted = (types == PacketType.DATA) & (self["valid_parity"] == 1)
            trusted |= (types == PacketType.SYNC) | (types == PacketType.TRIGGER)
            rows = np.flatnonzero(trusted)
            groups = self["io_group"].take(rows)
            order = np.argsort(groups, kind="stable")  # counting sort: the groups are single bytes
            times = self["time_ticks"].take(rows.take(order))
            return _pieces(np.bincount(groups, minlength=256), times)

        return self.once("timeline", split)


def _pieces(size: np.ndarray, times: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The times of each io_group that has any, out of those of all, which come one io_group after the other."""
    stops = np.cumsum(size)
    return [(group, times[stops[group] - size[group] : stops[group]]) for group in np.flatnonzero(size).tolist()]


class Thinned(Packets):
    """A block that some data packets were left out of; what is told by the others is asked of the whole block."""

    def __init__(self, whole: Packets, index: np.ndarray, left_out: Callable[[Packets], np.ndarray]):
        super().__init__(
            lambda name: whole[name].take(index), whole.columns, len(index), whole.detector, whole.first_row
        )
        self._whole, self._left_out = whole, left_out
        self.file, self.beside = whole.file, whole.beside

    def forget(self) -> None:
        super().forget()
        self._whole.forget()

    def beside_triggers(self, io_group: int = ALL_GROUPS, bit: int = 1) -> Packets:
        def find() -> Packets:
            found = self._whole.beside_triggers(io_group, bit)
            return found.select(~self._left_out(found))

        return self.once(("beside_triggers", io_group, bit), find)

    def triggers(self, io_group: int = ALL_GROUPS, bit: int = 1) -> Packets:
        return self._whole.triggers(io_group, bit)

    def first_told(self, io_group: int = ALL_GROUPS, bit: int = 1) -> int:
        return self._whole.first_told(io_group, bit)

    @property
    def stretch(self) -> Stretch:
        return self._whole.stretch

    @property
    def timeline(self) -> list[tuple[int, np.ndarray]]:
        return self._whole.timeline


def no_packets(detector: Any = None) -> Packets:
    """A block without rows, with every column."""
    rows = np.zeros(0, PACKET_DTYPE)
    return Packets.of_rows(rows, BlockClock(rows, ClockState()), detector)


def cut(
    rows: np.ndarray,
    sizes: Iterable[int] = (),
    detector: Any = None,
    clock: ClockState | None = None,
    file: About | None = None,
) -> Iterator[Packets]:
    """The rows in blocks of the given sizes, what is left in a last one, with times carried over the edges."""
    state, recent, wanted = clock or ClockState(), Recent(), set[str]()
    start = 0
    for size in [*sizes, len(rows)]:
        stop = min(start + size, len(rows))
        block = BlockClock(rows[start:stop], state, Columns(rows[start:stop], wanted))
        packets = Packets.of_rows(rows[start:stop], block, detector, start, recent)
        packets.file, file = file, None
        yield packets
        start, state, recent = stop, block.after, recent.then(packets.stretch)
