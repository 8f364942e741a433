"""What a mergeable plot remembers: named leaves that add, whatever the order and the cuts.

A leaf is an integer array, a hist.Hist, or one of the small classes below. Each has a size that the input cannot blow
up, so a state stays bounded for any file, and each is exact: adding the parts gives what counting the whole gives.
"""

from __future__ import annotations

import base64
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from dqm.formats.columns import TICKS_PER_SECOND
from dqm.kernels import loops_for


class WrongState(ValueError):
    """Two states that must not merge, or a leaf that cannot add; the message says why."""


INDICES = (np.dtype(np.int32), np.dtype(np.int64))


class Scatter:
    """An increment to an array of `size` zeros: `values` at the places `index` (repeats add up). Cheap when few change."""

    def __init__(self, size: int, index: np.ndarray, values: np.ndarray | int = 1):
        self.size = size
        self.index = index
        self.values = values

    def onto(self, array: np.ndarray | None) -> np.ndarray:
        array = np.zeros(self.size, np.int64) if array is None else array
        if not self._compiled(array):
            np.add.at(array, self.index, self.values)
        return array

    def _compiled(self, array: np.ndarray) -> bool:
        loops = loops_for(len(self.index))
        if not loops or array.dtype != np.int64 or self.index.dtype not in INDICES or self.index.ndim != 1:
            return False
        if not isinstance(self.values, np.ndarray):
            return self.values == 1 and loops.add_ones(array, self.index)
        return (
            self.values.dtype == np.int64 and self.values.ndim == 1 and loops.add_values(array, self.index, self.values)
        )

    def __iadd__(self, other: Scatter) -> Scatter:
        """Both increments as one, each place once; so that what is kept grows with the places, not with the hits."""
        if other.size != self.size:
            raise WrongState(f"cannot add {other.size} places to {self.size}")
        index = np.concatenate([self.index, other.index])
        values = np.concatenate([np.broadcast_to(part.values, part.index.shape) for part in (self, other)])
        self.index, inverse = np.unique(index, return_inverse=True)
        self.values = np.zeros(len(self.index), values.dtype if values.dtype.kind == "f" else np.int64)
        np.add.at(self.values, inverse, values)
        return self

    def to_arrays(self) -> dict[str, np.ndarray]:
        values = np.broadcast_to(self.values, self.index.shape)
        return {"size": np.array(self.size), "index": self.index, "values": values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Scatter:
        return cls(int(arrays["size"]), arrays["index"].copy(), arrays["values"].copy())


class Series:
    """Counts in time bins of whole seconds, shape (n_bin, n_column), int64; at most `LIMIT` bins.

    Bins start at 1 s. When more than LIMIT are occupied the width doubles (bins stay aligned to multiples of it) until
    they fit. The width depends only on which seconds are occupied, so any order of adding gives the same bins.
    """

    LIMIT: ClassVar[int] = 4096
    SPAN: ClassVar[int] = 5

    def __init__(self, seconds: np.ndarray, counts: np.ndarray, width: int = 1):
        self.seconds = seconds
        """Start of each bin [unix s], ascending, shape (n_bin,)."""
        self.counts = counts
        self.width = width
        self._coarsen()

    @classmethod
    def of(cls, unix_time: np.ndarray, column: np.ndarray, n_columns: int, weights: np.ndarray | None = None) -> Series:
        """Counts (or sums of integer `weights`) per second and column; rows whose time is unknown (below 0) are left out."""
        whole = weights is None and unix_time.dtype == np.int64 and column.shape == unix_time.shape
        if whole and (loops := loops_for(len(unix_time))):
            compiled = cls._compiled(loops, unix_time, column, n_columns)
            if compiled is not None:
                return compiled
        known = unix_time >= 0
        if not known.all():
            unix_time, column = unix_time[known], column[known]
            weights = weights[known] if weights is not None else None
        if not len(unix_time):
            return cls(np.zeros(0, np.int64), np.zeros((0, n_columns), np.int64))
        first, last = int(unix_time.min()), int(unix_time.max())
        if last - first < cls.LIMIT:
            seconds, place = np.arange(first, last + 1), unix_time - first
        else:
            seconds, place = np.unique(unix_time, return_inverse=True)
        key = place * n_columns + column.astype(np.int64, copy=False)
        if weights is None:
            counts = np.bincount(key, minlength=len(seconds) * n_columns)
        else:
            counts = np.zeros(len(seconds) * n_columns, np.int64)
            np.add.at(counts, key, weights)
        counts = counts.astype(np.int64).reshape(len(seconds), n_columns)
        present = np.bincount(place, minlength=len(seconds)) > 0
        return cls(seconds[present], counts[present])

    @classmethod
    def _compiled(cls, loops: Any, unix_time: np.ndarray, column: np.ndarray, n_columns: int) -> Series | None:
        first, last = loops.span(unix_time)
        if not first <= last < first + cls.LIMIT:
            return None
        counts, present = np.zeros((last - first + 1, n_columns), np.int64), np.zeros(last - first + 1, bool)
        if not loops.per_second(counts, present, unix_time, first, column):
            return None
        return cls(np.flatnonzero(present) + first, counts[present])

    def __iadd__(self, other: Series) -> Series:
        if not len(other.seconds):
            return self
        width = max(self.width, other.width)
        mine, theirs = self._at(width), other._at(width)
        begin = int(
            np.searchsorted(mine[0], theirs[0][0])
        )  # before it nothing changes: files come in the order of time
        seconds, counts = _join((mine[0][begin:], mine[1][begin:]), theirs)
        self.seconds = np.append(mine[0][:begin], seconds)
        self.counts = np.concatenate([mine[1][:begin], counts])
        self.width = width
        self._coarsen()
        return self

    def _at(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        if width == self.width:
            return self.seconds, self.counts
        return _add_up(self.seconds // width * width, self.counts)

    def _coarsen(self) -> None:
        while len(self.seconds) > self.LIMIT:
            self.seconds, self.counts = self._at(self.width * 2)
            self.width *= 2

    def per_second(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges [unix s], shape (n + 1,), and rates [1/s], shape (n, n_column); nan in gaps, where nothing came."""
        ends = self.seconds + self.width
        gap = np.flatnonzero(ends[:-1] < self.seconds[1:]) + 1
        starts = np.insert(self.seconds, gap, ends[gap - 1])
        rates = np.insert(self.counts / self.width, gap, np.nan, axis=0)
        return np.append(starts, ends[-1:]), rates

    def whole_seconds(self) -> tuple[np.ndarray, np.ndarray]:
        """As `per_second`, but nan too in the first and last bin of each span of at least `SPAN` bins without a gap.

        Packets began or ended within these bins: their rates would look like a trip.
        """
        edges, rates = self.per_second()
        starts = np.flatnonzero(np.diff(self.seconds, prepend=-np.inf) > self.width)
        ends = np.append(starts[1:], len(self.seconds)) - 1
        long = ends - starts + 1 >= self.SPAN
        outer = np.concatenate([starts[long], ends[long]])
        rates[np.searchsorted(edges, self.seconds[outer])] = np.nan
        return edges, rates

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"seconds": self.seconds, "counts": self.counts, "width": np.array(self.width)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Series:
        return cls(arrays["seconds"].copy(), arrays["counts"].copy(), int(arrays["width"]))


def _join(some: tuple[np.ndarray, np.ndarray], more: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of two series of (seconds, counts)."""
    if not len(some[0]):
        return more
    place = np.minimum(np.searchsorted(some[0], more[0]), len(some[0]) - 1)
    if (some[0][place] == more[0]).all():
        counts = some[1].copy()
        counts[place] += more[1]
        return some[0], counts
    return _add_up(np.append(some[0], more[0]), np.concatenate([some[1], more[1]]))


def _add_up(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distinct, inverse = np.unique(keys, return_inverse=True)
    total = np.zeros((len(distinct), *counts.shape[1:]), np.int64)
    np.add.at(total, inverse, counts)
    return distinct, total


class LiveTime:
    """When each io_group was alive: spans of its PPS-corrected ticks, joined over gaps of at most 2 s.

    Spans are (first, last) in ticks of 0.1 us. Files of a run unite by adding. The spans are bounded: they cover at most
    LIMIT cells as wide as the gap (18 h of 8 io_groups); beyond that the gap that is bridged doubles. What is covered only
    grows with more packets, so the gap, and with it the result, does not depend on the order of adding.
    """

    GAP_TICKS: ClassVar[int] = 2 * TICKS_PER_SECOND
    LIMIT: ClassVar[int] = 1 << 18

    def __init__(self, spans: dict[int, np.ndarray] | None = None, gap: int = GAP_TICKS):
        self.spans = spans or {}
        """(first, last) of each span in ticks, by io_group: int64, shape (n, 2), ascending."""
        self.gap = gap

    @classmethod
    def of(cls, packets: Any) -> LiveTime:
        """Of the data of valid parity, syncs and triggers in `packets`; counted once a block, whoever asks."""
        return packets.once("live_time", lambda: cls._count(packets))

    @classmethod
    def _count(cls, packets: Any) -> LiveTime:
        live = cls()
        for group, times in packets.timeline:
            first, last = times.min(), times.max()
            if last - first <= cls.GAP_TICKS:
                live._join(group, np.array([[first, last]]))
            else:
                live._join(group, _in_cells(times))
        return live._limit()

    def __iadd__(self, other: LiveTime) -> LiveTime:
        if other.gap > self.gap:
            self._widen(other.gap)
        for group, spans in other.spans.items():
            self._join(group, spans)
        return self._limit()

    def _join(self, group: int, spans: np.ndarray) -> None:
        mine = self.spans.get(group)
        if mine is not None and len(spans) == 1:
            (first, last), (begun, reached) = spans[0].tolist(), mine[-1].tolist()
            if begun <= first <= reached + self.gap:  # it goes on where the last span ended, as it mostly does
                if last > reached:
                    self.spans[group] = mine = mine.copy()  # others may have the array, too
                    mine[-1, 1] = last
                return
        self.spans[group] = _bridge(spans if mine is None else np.concatenate([mine, spans]), self.gap)

    def _limit(self) -> LiveTime:
        while self._cells() > self.LIMIT:
            self._widen(2 * self.gap)
        return self

    def _widen(self, gap: int) -> None:
        self.gap = gap
        self.spans = {group: _bridge(spans, gap) for group, spans in self.spans.items()}

    def _cells(self) -> int:
        """Cells of one gap that the spans touch; never fewer than there are spans."""
        return sum(int((s[:, 1] // self.gap - s[:, 0] // self.gap + 1).sum()) for s in self.spans.values())

    def seconds(self, io_group: int) -> float:
        """Live time of one io_group [s]; 0 when it sent nothing."""
        spans = self.spans.get(io_group)
        return 0.0 if spans is None else int((spans[:, 1] - spans[:, 0]).sum()) / TICKS_PER_SECOND

    def longest(self) -> float:
        """Live time of the detector [s]: that of the io_group that was alive longest."""
        return max(map(self.seconds, self.spans), default=0.0)

    def per_second(self, counts: np.ndarray, io_group: np.ndarray) -> np.ndarray:
        """Rates [Hz] of `counts`, shape (n,), by the live time of the io_group of each; nan where that is below 1 s."""
        live = np.array([self.seconds(group) for group in range(256)])[io_group]
        return np.divide(counts, live, out=np.full(len(counts), np.nan), where=live >= 1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        groups = sorted(self.spans)
        spans = np.concatenate([np.zeros((0, 2), np.int64), *(self.spans[group] for group in groups)])
        sizes = [len(self.spans[group]) for group in groups]
        return {"group": np.repeat(np.array(groups, np.int64), sizes), "spans": spans, "gap": np.array(self.gap)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LiveTime:
        groups, spans = arrays["group"], arrays["spans"]
        return cls({group: spans[groups == group] for group in np.unique(groups).tolist()}, int(arrays["gap"]))


CELL_BITS = 24
"""A cell of 2**24 ticks is shorter than the gap that is bridged."""


def _in_cells(times: np.ndarray) -> np.ndarray:
    """Spans that hold `times`, each within one cell: in the order of the times, which may go back."""
    if loops := loops_for(len(times)):
        found = np.empty((len(times), 2), np.int64)
        return found[: loops.spans(times, CELL_BITS, found)].copy()
    cell = times >> CELL_BITS
    begins = np.append(0, np.flatnonzero(cell[1:] != cell[:-1]) + 1)
    return np.stack([np.minimum.reduceat(times, begins), np.maximum.reduceat(times, begins)], axis=1)


def _bridge(spans: np.ndarray, gap: int) -> np.ndarray:
    """Spans joined over gaps of at most `gap`, shape (n, 2), ascending and apart."""
    if len(spans) == 1:
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(spans[:, 1])
    begins = np.append(True, spans[1:, 0] - reached[:-1] > gap)
    ends = np.append(np.flatnonzero(begins)[1:] - 1, len(spans) - 1)
    return np.stack([spans[begins, 0], reached[ends]], axis=1)


class Extent:
    """Smallest and largest value seen in each of n places, int64, shape (n,); `seen` says where there was one."""

    NOTHING: ClassVar[int] = np.iinfo(np.int64).max

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self.low = low
        self.high = high

    @classmethod
    def of(cls, size: int, index: np.ndarray, values: np.ndarray) -> Extent:
        low, high = np.full(size, cls.NOTHING), np.full(size, -cls.NOTHING)
        np.minimum.at(low, index, values)
        np.maximum.at(high, index, values)
        return cls(low, high)

    @property
    def seen(self) -> np.ndarray:
        return self.high >= self.low

    def __iadd__(self, other: Extent) -> Extent:
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        return self

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"low": self.low, "high": self.high}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Extent:
        return cls(arrays["low"].copy(), arrays["high"].copy())


class KeyedCounts:
    """Counts of integer keys (0 or more) out of a range too large for an array: at most LIMIT keys, the smallest.

    `total` counts all. Which keys stay depends only on the keys that were seen, and a key that stays was never dropped
    before, so its count is exact.
    """

    LIMIT: ClassVar[int] = 1 << 19

    def __init__(self, keys: np.ndarray, counts: np.ndarray, total: int):
        self.keys = keys[: self.LIMIT]
        self.counts = counts[: self.LIMIT]
        self.total = total

    @classmethod
    def of(cls, keys: np.ndarray) -> KeyedCounts:
        distinct, counts = np.unique(keys.astype(np.int64), return_counts=True)
        return cls(distinct, counts.astype(np.int64), len(keys))

    def __iadd__(self, other: KeyedCounts) -> KeyedCounts:
        place = np.searchsorted(self.keys, other.keys)
        known = np.append(self.keys, -1)[place] == other.keys  # keys are not negative
        self.counts[place[known]] += other.counts[known]
        self.total += other.total
        if not known.all():
            keys = np.append(self.keys, other.keys[~known])
            order = np.argsort(keys, kind="stable")[: self.LIMIT]  # two ascending runs: merged, not sorted anew
            self.keys, self.counts = keys[order], np.append(self.counts, other.counts[~known])[order]
        return self

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"keys": self.keys, "counts": self.counts, "total": np.array(self.total)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> KeyedCounts:
        return cls(arrays["keys"].copy(), arrays["counts"].copy(), int(arrays["total"]))


class Versions:
    """What was set, by key: each distinct row of bytes of a key once, with the first and the last time that it was seen.

    Keys are integers (0 or more), rows have one length, times are seconds or -1. The same thing seen again adds nothing, so
    twenty files that say the same are one. At most LIMIT rows, the smallest by key and bytes: which stay does not depend on
    the order of adding.
    """

    LIMIT: ClassVar[int] = 1 << 16

    def __init__(self, keys: np.ndarray, rows: np.ndarray, first: np.ndarray, last: np.ndarray):
        self.keys = keys
        """Ascending, shape (n,), int64; each as often as it has versions."""
        self.rows = rows
        """Shape (n, length), u1."""
        self.first = first
        """Seconds, shape (n,), int64; so is `last`."""
        self.last = last

    @classmethod
    def of(cls, keys: np.ndarray, rows: np.ndarray, times: np.ndarray) -> Versions:
        """Rows (u1, shape (n, length)) of keys, each with the time that it was seen."""
        times = np.asarray(times, np.int64)
        return cls._distinct(np.asarray(keys, np.int64), np.ascontiguousarray(rows, np.uint8), times, times)

    @classmethod
    def _distinct(cls, keys: np.ndarray, rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> Versions:
        if not len(keys):
            return cls(keys, rows, first, last)
        # one string of bytes for each: the key with its highest byte first, so that it sorts as a number does
        whole = np.concatenate([keys.astype(">i8").view(np.uint8).reshape(-1, 8), rows], axis=1)
        _, place, inverse = np.unique(whole.view(f"S{whole.shape[1]}").ravel(), return_index=True, return_inverse=True)
        own = cls(keys[place], rows[place], first[place].copy(), last[place].copy())
        np.minimum.at(own.first, inverse, first)
        np.maximum.at(own.last, inverse, last)
        return own._limit()

    def _limit(self) -> Versions:
        keep = self.LIMIT
        self.keys, self.rows, self.first, self.last = (
            part[:keep] for part in (self.keys, self.rows, self.first, self.last)
        )
        return self

    def __len__(self) -> int:
        return len(self.keys)

    def __iadd__(self, other: Versions) -> Versions:
        if other.rows.shape[1:] != self.rows.shape[1:]:
            raise WrongState(f"cannot add rows of {other.rows.shape[1:]} bytes to rows of {self.rows.shape[1:]}")
        if np.array_equal(self.keys, other.keys) and np.array_equal(self.rows, other.rows):
            self.first, self.last = np.minimum(self.first, other.first), np.maximum(self.last, other.last)
            return self
        if not len(other):
            return self
        mine, theirs = ((v.keys, v.rows, v.first, v.last) for v in (self, other))
        joined = self._distinct(*(np.concatenate(pair) for pair in zip(mine, theirs, strict=True)))
        self.keys, self.rows, self.first, self.last = joined.keys, joined.rows, joined.first, joined.last
        return self

    def newest(self) -> np.ndarray:
        """For each key the place of the version that was seen last (of several, that which came last), ascending by key."""
        order = np.lexsort((self.first, self.last, self.keys))
        return order[np.append(self.keys[order][1:] != self.keys[order][:-1], True)] if len(order) else order

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"keys": self.keys, "rows": self.rows, "first": self.first, "last": self.last}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Versions:
        return cls(*(arrays[part].copy() for part in ("keys", "rows", "first", "last")))


KINDS: dict[str, Any] = {cls.__name__: cls for cls in (Series, LiveTime, Extent, KeyedCounts, Versions)}


def tally(shape: tuple[int, ...], *index: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Counts of index tuples, int64, of `shape`: ``tally((256, 256), io_group, dataword)[g, a]``. Out of range raises.

    With integer `weights` their sum instead of the count.
    """
    size = math.prod(shape)
    whole = len(index) == len(shape) <= 3 and all(column.shape == (len(index[0]),) for column in index)
    if weights is None and whole and (loops := loops_for(len(index[0]))):
        counts = np.zeros(shape, np.int64)
        if (loops.tally1, loops.tally2, loops.tally3)[len(shape) - 1](counts, *index):
            return counts
    # small totals in small integers: the sums below run several times faster
    flat: np.ndarray = np.zeros(len(index[0]), np.uint16 if size <= 1 << 16 else np.intp)
    for column, length in zip(index, shape, strict=True):
        if len(column) and not 0 <= column.min() <= column.max() < length:
            raise IndexError(f"index from {column.min()} to {column.max()} is outside {shape}")
        flat *= flat.dtype.type(min(length, 65_535))  # 65,536 is only met alone, when `flat` is still 0
        flat += column.astype(flat.dtype, copy=False)
    if weights is None:
        return np.bincount(flat, minlength=size).astype(np.int64, copy=False).reshape(shape)
    total = np.zeros(size, np.int64)
    np.add.at(total, flat, weights)
    return total.reshape(shape)


class State(dict):
    """The leaves of one plot by name, with what they belong to: plot name, plot version, geometry id.

    `detector` is not part of the state: who reads one back hands it over.
    """

    def __init__(self, plot: str, version: int, geometry: str | None, detector: Any = None):
        super().__init__()
        self.plot = plot
        self.version = version
        self.geometry = geometry
        self.detector = detector

    def add(self, increment: Mapping[str, Any]) -> State:
        """Adds what a plot counted in a block; raises WrongState for a leaf that cannot add."""
        if not isinstance(increment, Mapping):
            raise WrongState(
                f"count returned {type(increment).__name__}, expected a dict of names and numbers that add"
            )
        for name, leaf in increment.items():
            self._check(name, leaf)  # all of them first: half an increment must never stay
        for name, leaf in increment.items():
            if isinstance(leaf, Scatter):
                self[name] = leaf.onto(self.get(name))
            elif name not in self:
                self[name] = _own(name, leaf)
            else:
                self[name] += leaf
        return self

    def _check(self, name: str, leaf: Any) -> None:
        if name not in self:
            if not isinstance(leaf, Scatter):
                _own(name, leaf)
            return
        mine = self[name]
        if isinstance(leaf, Scatter):
            if not isinstance(mine, np.ndarray) or len(mine) != leaf.size:
                raise WrongState(f"leaf {name!r} of {self.plot}: cannot add {leaf.size} places to what is there")
            if len(leaf.index) and not 0 <= leaf.index.min() <= leaf.index.max() < leaf.size:
                raise WrongState(f"leaf {name!r} of {self.plot}: places from {leaf.index.min()} to {leaf.index.max()}")
        elif type(leaf) is not type(mine):
            raise WrongState(f"leaf {name!r} of {self.plot} was {type(mine).__name__}, now it is {type(leaf).__name__}")
        elif isinstance(leaf, np.ndarray) and leaf.shape != mine.shape:
            raise WrongState(f"leaf {name!r} of {self.plot} changed its shape from {mine.shape} to {leaf.shape}")

    def merge(self, other: State) -> State:
        """Adds another state of the same plot, version and geometry; raises WrongState for any other."""
        for what in ("plot", "version", "geometry"):
            if getattr(self, what) != getattr(other, what):
                raise WrongState(
                    f"cannot merge {what} {getattr(other, what)!r} into {getattr(self, what)!r} of {self.plot}"
                )
        return self.add(other)

    @property
    def size(self) -> int:
        """Bytes of its arrays."""
        return sum(array.nbytes for array in _arrays_of(self).values())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All leaves as plain arrays, for one npz file: ``name`` or ``name.Kind.part``."""
        return _arrays_of(self)

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> State:
        """Fills this state from `to_arrays`."""
        self.update(_leaves(arrays))
        return self

    def to_bytes(self) -> bytes:
        """The state as an npz file: the same bytes for the same state."""
        return _pack(self.to_arrays())

    @classmethod
    def from_bytes(cls, content: bytes, plot: str, version: int, geometry: str | None, detector: Any = None) -> State:
        """A state from `to_bytes`; what it belongs to is kept by whoever keeps the bytes."""
        return cls(plot, version, geometry, detector).load_arrays(_unpack(content))

    def add_bytes(self, content: bytes) -> State:
        """Adds an increment from `Increment.to_bytes`."""
        return self.add(_leaves(_unpack(content)))

    def to_json(self) -> dict[str, Any]:
        """The state as JSON-ready values; arrays are a compressed npz in base64, so they come back bit for bit."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **self.to_arrays())
        arrays = base64.b64encode(buffer.getvalue()).decode()
        return {"plot": self.plot, "version": self.version, "geometry": self.geometry, "arrays": arrays}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], detector: Any = None) -> State:
        state = cls(data["plot"], data["version"], data["geometry"], detector)
        if (detector.geometry_id if detector is not None else None) != state.geometry:
            raise WrongState(
                f"the state of {state.plot} belongs to geometry {state.geometry}, not to that of these packets"
            )
        with np.load(io.BytesIO(base64.b64decode(data["arrays"])), allow_pickle=False) as arrays:
            return state.load_arrays(arrays)


class Increment(dict):
    """What was counted since the last save, as leaves that a State adds: small where few places of a large array changed."""

    def collect(self, counted: Mapping[str, Any]) -> Increment:
        """Adds what `count` gave for a block (State.add has checked it before), or another increment."""
        for name, leaf in counted.items():
            if name in self:
                self[name] = _sum(self[name], leaf)
            elif isinstance(leaf, Scatter):
                self[name] = Scatter(leaf.size, leaf.index[:0], np.zeros(0, np.int64)).__iadd__(leaf)
            else:
                self[name] = _own(name, leaf)
        return self

    def to_bytes(self) -> bytes:
        return _pack(self.to_arrays())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All leaves as plain arrays, as State.to_arrays does."""
        return _arrays_of(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Increment:
        return cls(_leaves(arrays))

    @property
    def size(self) -> int:
        """Bytes of its arrays, before they are compressed."""
        return sum(array.nbytes for array in _arrays_of(self).values())


def _sum(mine: Any, leaf: Any) -> Any:
    """Two increments as one; places of an array and the whole of it add, too."""
    if isinstance(leaf, Scatter) and isinstance(mine, np.ndarray):
        return leaf.onto(mine)
    if isinstance(mine, Scatter) and isinstance(leaf, np.ndarray):
        return mine.onto(_own("", leaf))
    mine += leaf
    return mine


def _arrays_of(leaves: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """All leaves as plain arrays: ``name`` or ``name.Kind.part``."""
    arrays: dict[str, np.ndarray] = {}
    for name, leaf in leaves.items():
        if isinstance(leaf, np.ndarray):
            arrays[name] = leaf
        elif type(leaf).__name__ in {**KINDS, "Scatter": Scatter}:
            arrays |= {f"{name}.{type(leaf).__name__}.{part}": array for part, array in leaf.to_arrays().items()}
        else:
            arrays[f"{name}.Hist.json"] = np.frombuffer(_hist_to_json(leaf).encode(), np.uint8)
    return arrays


def _leaves(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The leaves that `_arrays_of` took apart."""
    leaves: dict[str, Any] = {}
    parts: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        name, *rest = key.split(".")
        if rest:
            parts.setdefault((name, rest[0]), {})[rest[1]] = array
        else:
            leaves[name] = array.copy()
    for (name, kind), leaf in parts.items():
        if kind == "Hist":
            leaves[name] = _hist_from_json(leaf["json"].tobytes())
        else:
            leaves[name] = (Scatter if kind == "Scatter" else KINDS[kind]).from_arrays(leaf)
    return leaves


def place_of(content: bytes, names: Sequence[str], index: int) -> list[int]:
    """What stands at one place of large integer arrays in `State.to_bytes`, read no further than there.

    KeyError for a leaf that there is not, IndexError for a place that it has not.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [_value_in(archive, name, index) for name in names]


def _value_in(archive: zipfile.ZipFile, name: str, index: int) -> int:
    with archive.open(f"{name}.npy") as part:
        np.lib.format.read_magic(part)
        shape, _, dtype = np.lib.format.read_array_header_1_0(part)
        if len(shape) != 1 or not 0 <= index < shape[0] or dtype.kind not in "iu":
            raise IndexError(f"leaf {name!r} has shape {shape} of {dtype}, no place {index}")
        left = index * dtype.itemsize
        while left:
            left -= len(part.read(min(left, 1 << 18)))
        return int(np.frombuffer(part.read(dtype.itemsize), dtype)[0])


def leaf_of(content: bytes, name: str) -> Any:
    """One leaf out of `State.to_bytes`; KeyError when it is not there."""
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        wanted = {key: kept[key] for key in kept.files if key.partition(".")[0] == name}
    return _leaves(wanted)[name]


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz file with a fixed date in it, compressed as fast as zlib can: maps are mostly small numbers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(arrays.items()):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(array, order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, part.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return buffer.getvalue()


def _unpack(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _own(name: str, leaf: Any) -> Any:
    """A copy of a first leaf that later ones are added to."""
    if "." in name:
        raise WrongState(f"leaf {name!r}: a name has no dot")
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.kind not in "iuf":
            raise WrongState(f"leaf {name!r} is an array of {leaf.dtype}, expected numbers that add")
        # counts outgrow the small types that columns have
        return leaf.astype(np.float64 if leaf.dtype.kind == "f" else np.int64)
    if type(leaf).__name__ in KINDS:
        return KINDS[type(leaf).__name__].from_arrays({part: np.array(a) for part, a in leaf.to_arrays().items()})
    if hasattr(leaf, "_to_uhi_"):
        _check_hist(name, leaf)
        return leaf.copy()
    raise WrongState(f"leaf {name!r} is {type(leaf).__name__}; a state holds arrays, hist.Hist or {', '.join(KINDS)}")


def _check_hist(name: str, leaf: Any) -> None:
    storage = leaf.storage_type.__name__
    if "Mean" in storage:
        raise WrongState(
            f"leaf {name!r} has storage {storage}, which does not merge exactly: keep count, sum, sum of squares"
        )
    if any(axis.traits.growth for axis in leaf.axes):
        raise WrongState(f"leaf {name!r} has a growing axis, which is not bounded: give it fixed edges")


def _hist_to_json(leaf: Any) -> str:
    import uhi.io.json

    return json.dumps(leaf, default=uhi.io.json.default)


def _hist_from_json(data: bytes) -> Any:
    import hist
    import uhi.io.json

    return hist.Hist(json.loads(data, object_hook=uhi.io.json.object_hook))
