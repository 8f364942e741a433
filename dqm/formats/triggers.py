"""Data packets beside the triggers, whichever of the two stands first in the file.

A file is in the order in which the PACMANs were read out, not in that of time: what an io_group sent after a trigger may
stand long before it, in an earlier block. So a pair of trigger and packet is found where the later one of the two stands,
by looking back. The rule knows the rows of the file and their times, nothing of blocks:

1. a trigger less than SAME_TICKS off another one that stands at most LOOK_ROWS rows before it is the same one, told by
   another io_group: the first in the file stands for both;
2. a data packet of valid parity belongs to each trigger that stands at most LOOK_ROWS rows from it in the file, from
   BEFORE_TICKS before the trigger to AFTER_TICKS after it.

What is further away in the file is missed, and so is an io_group whose clock was anchored in another second (formats.clock).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dqm.formats.columns import PacketType
from dqm.kernels import loops_for

if TYPE_CHECKING:
    from dqm.formats.clock import BlockClock

LOOK_ROWS = 1 << 15
BEFORE_TICKS = 2_000
AFTER_TICKS = 10_000
SAME_TICKS = 1_000
CELL_BITS = 13
CELLS = 1 << 16
"""To leave out at once what is far from all triggers, time is cut in cells of 0.8 ms, numbered modulo CELLS."""

ALL_GROUPS = 0
"""Instead of an io_group: triggers of every one (no PACMAN has id 0)."""


@dataclass
class Stretch:
    """Consecutive rows of a file with their clock; `first` is the row number of the first."""

    first: int
    rows: np.ndarray
    clock: BlockClock
    times: np.ndarray | None = None
    """Of all rows, where somebody asked for them."""
    _kept: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.first + len(self.rows)

    def ticks(self, where: np.ndarray) -> np.ndarray:
        """Times of the rows `where` [ticks], int64."""
        return self.times[where] if self.times is not None else self.clock.time_ticks(where)

    def told(self, io_group: int, bit: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers and times of the trigger words with this bit, in file order."""
        rows = self.rows
        if "trigger_type" not in (rows.dtype.names or ()):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        where = self.clock.triggers
        where = where[(rows["trigger_type"][where] >> bit & 1) == 1]
        if io_group != ALL_GROUPS:
            where = where[rows["io_group"][where] == io_group]
        return self.first + where, self.ticks(where)

    def kept(self, io_group: int, bit: int, before: Sequence[Stretch]) -> tuple[np.ndarray, np.ndarray]:
        """Those of `told` that no trigger in the rows before tells of already (rule 1)."""
        key = io_group, bit
        if key not in self._kept:
            number, time = self.told(*key)
            is_new = np.zeros(len(number), bool)
            if len(number):
                seen = [stretch.told(*key) for stretch in before if stretch.end > number[0] - LOOK_ROWS]
                earlier = [pair for part in seen for pair in zip(*(column.tolist() for column in part), strict=True)]
                is_new = _new_ones(earlier, list(zip(number.tolist(), time.tolist(), strict=True)))
            self._kept[key] = number[is_new], time[is_new]
        return self._kept[key]


def _new_ones(earlier: list[tuple[int, int]], told: list[tuple[int, int]]) -> np.ndarray:
    """Which of the triggers `told` (row number, time) are off all those before them, shape (n,), bool."""
    times: list[int] = []
    order: deque[tuple[int, int]] = deque()
    is_new = []
    for row, time in [*earlier, *told]:
        while order and order[0][0] < row - LOOK_ROWS:
            del times[bisect_left(times, order.popleft()[1])]
        place = bisect_left(times, time)
        near = (place < len(times) and times[place] - time < SAME_TICKS) or (
            place > 0 and time - times[place - 1] < SAME_TICKS
        )
        is_new.append(not near)
        insort(times, time)
        order.append((row, time))
    return np.array(is_new[len(earlier) :], bool)


class Recent:
    """The rows before a block, as far back as rules 1 and 2 ask; read again only when somebody asks."""

    def __init__(self, stretches: tuple[Stretch, ...] = (), read_again: Callable[[], list[Stretch]] | None = None):
        self._stretches = stretches
        self._read_again = read_again

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        if self._read_again is not None:
            self._stretches, self._read_again = (*self._read_again(), *self._stretches), None
        return self._stretches

    def then(self, stretch: Stretch) -> Recent:
        """What the block after `stretch` looks back on."""
        kept = [one for one in (*self._stretches, stretch) if one.end > stretch.end - 2 * LOOK_ROWS]
        whole = kept[0].first <= stretch.end - 2 * LOOK_ROWS
        return Recent(tuple(kept), None if whole else self._read_again)


@dataclass(frozen=True)
class Beside:
    """Pairs of data packets and triggers; a packet near two triggers is there twice."""

    parts: list[tuple[Stretch, np.ndarray]]
    """Where packets stand, and which rows of it they are."""
    times: np.ndarray
    since: np.ndarray
    """Ticks since the trigger."""

    def column(self, name: str) -> np.ndarray:
        return np.concatenate([stretch.rows[name][where] for stretch, where in self.parts])

    @property
    def row(self) -> np.ndarray:
        """Row number of each packet in the file, int64."""
        return np.concatenate([stretch.first + where for stretch, where in self.parts])


def beside_triggers(recent: Recent, block: Stretch, io_group: int, bit: int) -> Beside:
    """The pairs that `block` completes, packets in file order."""
    key = io_group, bit
    stretches = [*recent.stretches, block] if len(block.rows) else [block]
    found = [stretch.kept(*key, stretches[:place]) for place, stretch in enumerate(stretches)]
    number, time = (np.concatenate(columns) for columns in zip(*found, strict=True))
    near = number >= block.first - LOOK_ROWS
    number, time = number[near], time[near]
    order = np.argsort(time, kind="stable")
    number, time = number[order], time[order]
    pairs = [_pairs(stretch, block.first, number, time) for stretch in stretches]
    times, since = (np.concatenate([pair[part] for pair in pairs]) for part in (1, 2))
    return Beside([(stretch, pair[0]) for stretch, pair in zip(stretches, pairs, strict=True)], times, since)


def _pairs(
    stretch: Stretch, first: int, number: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(which rows, their times, ticks since the trigger) of the data packets of a stretch that pair with the triggers.

    Of the pairs those that the block from row `first` on completes; triggers by row `number`, ascending in `time`.
    """
    if stretch.first < first:  # rows before the block pair with the triggers in it only
        number, time = number[number >= first], time[number >= first]
    low = max(int(number.min(initial=1 << 62)) - LOOK_ROWS, stretch.first) - stretch.first
    high = min(int(number.max(initial=-1)) + LOOK_ROWS + 1, stretch.end) - stretch.first
    if low >= high:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    where, ticks = _near(stretch, low, high, time)
    begin = np.searchsorted(time, ticks - AFTER_TICKS, side="right")
    many = np.searchsorted(time, ticks + BEFORE_TICKS, side="right") - begin
    which = np.repeat(begin - np.cumsum(many) + many, many) + np.arange(many.sum())
    where, ticks = np.repeat(where, many), np.repeat(ticks, many)
    near = np.abs(stretch.first + where - number[which]) <= LOOK_ROWS
    where, ticks, which = where[near], ticks[near], which[near]
    return where, ticks, ticks - time[which]


def _near(stretch: Stretch, low: int, high: int, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Data packets of valid parity among the rows [low, high) that may be near one of the times, and theirs."""
    cells = np.zeros(CELLS, bool)
    for edge in range(-BEFORE_TICKS, AFTER_TICKS + (1 << CELL_BITS), 1 << CELL_BITS):
        cells[(time + min(edge, AFTER_TICKS)) >> CELL_BITS & (CELLS - 1)] = True
    times = stretch.times[low:high] if stretch.times is not None else stretch.clock.time_ticks(np.arange(low, high))
    rows = stretch.rows[low:high]
    if loops := loops_for(high - low):
        found = np.empty(high - low, np.int64)
        where = found[: loops.near(cells, CELL_BITS, times, rows["packet_type"], rows["valid_parity"], found)]
        return low + where, times[where]
    where = np.flatnonzero(cells[times >> CELL_BITS & (CELLS - 1)])
    where = where[(rows["packet_type"][where] == PacketType.DATA) & (rows["valid_parity"][where] == 1)]
    return low + where, times[where]
