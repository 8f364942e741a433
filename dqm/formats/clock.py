"""Time of each packet: the unix second of its message, and ticks that do not jump back at a PPS.

The counter of an io_group is reset by each PPS (sync packet of kind 'S'), so a timestamp says where in a second a packet
is, not in which one. In file order, per io_group:

1. the first timestamp packet (type 4) of the io_group anchors it to a unix second;
2. each PPS adds the periods that the counter ran for, ``round(timestamp / 1e7)``, at least one: a missed PPS shows as a
   counter of about 2e7 (the sync row itself still belongs to the old second);
3. a data packet with ``receipt_timestamp < timestamp`` was made before the reset and read out after it: one period back.
   Simulation writes both equal and files before 2.3 write 0: neither is touched.

Within an io_group of a file the count is exact; as a date it is good to a second, because the unix second of a message
may be early or late by one around the PPS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dqm.formats.columns import TICKS_PER_SECOND, TIMESTAMP_MASK, Columns, PacketType, SyncKind
from dqm.kernels import loops_for

UNKNOWN = -1
"""Time of a row that has none: no timestamp packet before it, or a type without a counter."""

LATEST_UNIX = 1 << 33
"""A unix second later than this (year 2242) is garbage; it is taken as unknown."""

TRIGGER_BITS = 8

MAX_PERIODS = TIMESTAMP_MASK // TICKS_PER_SECOND


@dataclass(frozen=True)
class ClockState:
    """What one block hands to the next: the last unix second, and for each io_group the ticks to add to a counter.

    `passed` are the ticks of the PPS periods counted so far, `anchors` the unix second (in ticks) that each io_group began
    with. No PACMAN has id 0: its anchor (simulation, LArPix v1) holds for every io_group that has none of its own.
    """

    unix: int = UNKNOWN
    passed: dict[int, int] = field(default_factory=dict)
    anchors: dict[int, int] = field(default_factory=dict)
    triggers: dict[int, int] = field(default_factory=dict)
    """When each io_group last sent a trigger word with each bit [ticks], by `trigger_key`."""

    def to_json(self) -> dict:
        parts = {"passed": self.passed, "anchors": self.anchors, "triggers": self.triggers}
        return {"unix": self.unix} | {
            name: {str(key): ticks for key, ticks in part.items()} for name, part in parts.items()
        }

    @classmethod
    def from_json(cls, data: dict) -> ClockState:
        passed, anchors, triggers = (
            {int(key): int(ticks) for key, ticks in data.get(part, {}).items()}  # states of old know no triggers
            for part in ("passed", "anchors", "triggers")
        )
        return cls(int(data["unix"]), passed, anchors, triggers)


def trigger_key(io_group: int, bit: int) -> int:
    return io_group * TRIGGER_BITS + bit


class BlockClock:
    """The times of one block, computed when asked for; `after` is the state for the next block."""

    def __init__(self, rows: np.ndarray, before: ClockState, columns: Columns | None = None):
        self.rows = rows
        self.before = before
        self.columns = Columns(rows) if columns is None else columns
        types = self.columns["packet_type"]
        self._stamps = np.flatnonzero(types == PacketType.TIMESTAMP)
        seconds = rows["timestamp"][self._stamps]
        self._seconds = np.where(seconds < LATEST_UNIX, seconds, 0).astype(np.int64)
        self._seconds[seconds >= LATEST_UNIX] = UNKNOWN
        self._pps = self._find_pps(types)
        self._new_anchors = self._find_anchors()
        passed = dict(before.passed)
        for group, (_, ticks) in self._pps.items():
            passed[group] = passed.get(group, 0) + int(ticks.sum())
        anchors = before.anchors | {group: ticks for group, (_, ticks) in self._new_anchors.items()}
        unix = int(self._seconds[-1]) if len(self._stamps) else before.unix
        self.triggers = np.flatnonzero(types == PacketType.TRIGGER)
        """Rows of the trigger words."""
        self.after = ClockState(unix, passed, anchors, before.triggers | self._last_triggers())

    def _find_pps(self, types: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """For each io_group the rows of its PPS syncs, and the ticks that passed until each."""
        rows = self.rows
        if "trigger_type" not in (rows.dtype.names or ()):
            return {}
        syncs = np.flatnonzero(types == PacketType.SYNC)
        pps = syncs[rows["trigger_type"][syncs] == SyncKind.PPS]
        ticks = pps_periods(rows["timestamp"][pps] & TIMESTAMP_MASK) * TICKS_PER_SECOND
        groups = rows["io_group"][pps]
        return {group: (pps[groups == group], ticks[groups == group]) for group in np.unique(groups).tolist()}

    def _find_anchors(self) -> dict[int, tuple[int, int]]:
        """For each io_group that is anchored in this block the row of the stamp and its ticks."""
        known = self._seconds != UNKNOWN
        stamps, seconds = self._stamps[known], self._seconds[known]
        groups, first = np.unique(self.rows["io_group"][stamps], return_index=True)
        found = zip(groups.tolist(), stamps[first].tolist(), (seconds[first] * TICKS_PER_SECOND).tolist(), strict=True)
        return {group: (row, ticks) for group, row, ticks in found if group not in self.before.anchors}

    def _last_triggers(self) -> dict[int, int]:
        """When each io_group sent its last trigger word with each bit in this block [ticks], by `trigger_key`."""
        rows, last = self.rows, dict[int, int]()
        if not len(self.triggers) or "trigger_type" not in (rows.dtype.names or ()):
            return {}
        bits, groups, times = (
            rows["trigger_type"][self.triggers], rows["io_group"][self.triggers], self.time_ticks(self.triggers)
        )  # fmt: skip
        for bit in range(TRIGGER_BITS):
            has = np.flatnonzero(bits >> bit & 1)[::-1]
            own, first = np.unique(groups[has], return_index=True)
            last |= {
                trigger_key(group, bit): time
                for group, time in zip(own.tolist(), times[has[first]].tolist(), strict=True)
            }
        return last

    def unix_time(self) -> np.ndarray:
        """Unix second of the message that each row belongs to, shape (n,), int64; UNKNOWN before the first."""
        edges = np.concatenate([[0], self._stamps, [len(self.rows)]])
        return np.repeat(np.concatenate([[self.before.unix], self._seconds]), np.diff(edges))

    def time_ticks(self, only: np.ndarray | None = None) -> np.ndarray:
        """Monotonic time per io_group [ticks of 0.1 us since 1970], shape (n,), int64; UNKNOWN for rows without a counter.

        With `only` (ascending) of these rows alone. Without a timestamp packet the count starts at the first row's own
        second instead of 1970.
        """
        if only is None and (loops := loops_for(len(self.rows))):
            return self._compiled(loops)
        names = ("packet_type", "io_group", "timestamp", "receipt_timestamp")
        rows = {
            name: self.columns[name] if only is None else self.rows[name][only]
            for name in names
            if name in self.columns
        }
        types, groups = rows["packet_type"], rows["io_group"]
        stamp = (rows["timestamp"] & np.uint64(TIMESTAMP_MASK)).astype(np.int64)
        time = stamp + self._offsets_before()[groups]
        for group, (where, ticks) in self._pps.items():
            index = np.flatnonzero(groups == group)
            step = np.zeros(len(index) + 1, np.int64)
            np.add.at(step, np.searchsorted(index if only is None else only[index], where, side="right"), ticks)
            time[index] += np.cumsum(step[:-1])
        self._anchor(time, groups, only)
        is_data = types == PacketType.DATA
        if "receipt_timestamp" in rows:
            receipt = rows["receipt_timestamp"].astype(np.int64)
            late = is_data & (receipt < stamp) & (receipt > 0)
            if late.any():
                time[late] -= TICKS_PER_SECOND
        time[~(is_data | (types == PacketType.SYNC) | (types == PacketType.TRIGGER))] = UNKNOWN
        return time

    def _compiled(self, loops: Any) -> np.ndarray:
        """As `time_ticks` of all rows."""
        columns, time = self.columns, np.empty(len(self.rows), np.int64)
        types, groups = columns["packet_type"], columns["io_group"]
        receipts = columns["receipt_timestamp"] if "receipt_timestamp" in columns else np.zeros(0, np.uint32)
        rows, ticks = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if self._pps:
            rows, ticks = (np.concatenate(parts) for parts in zip(*self._pps.values(), strict=True))
            order = np.argsort(rows)
            rows, ticks = rows[order], ticks[order]
        loops.times(
            types, groups, columns["timestamp"], receipts, self._offsets_before(), rows, ticks,
            TICKS_PER_SECOND, np.uint64(TIMESTAMP_MASK), time,
        )  # fmt: skip
        if self._new_anchors:
            self._anchor(time, groups, None)
            time[(types != PacketType.DATA) & (types != PacketType.SYNC) & (types != PacketType.TRIGGER)] = UNKNOWN
        return time

    def _offsets_before(self) -> np.ndarray:
        """Ticks to add at the start of the block, by io_group, shape (256,)."""
        passed, anchors = self.before.passed, self.before.anchors
        ticks = np.full(256, anchors.get(0, 0), np.int64)
        ticks[list(anchors)] = list(anchors.values())
        ticks[list(passed)] += np.array(list(passed.values()), np.int64)
        return ticks

    def _anchor(self, time: np.ndarray, groups: np.ndarray, only: np.ndarray | None) -> None:
        """Adds the anchors that are set in this block, to the rows after each; `only` as in `time_ticks`."""
        everyone, since = self.before.anchors.get(0, 0), -1
        if 0 in self._new_anchors:
            since, everyone = self._new_anchors[0]
            own = list(self.before.anchors)
            after = since + 1 if only is None else int(np.searchsorted(only, since, side="right"))
            time[after:][~np.isin(groups[after:], own)] += everyone
        for group, (row, ticks) in self._new_anchors.items():
            if group:
                after = row + 1 if only is None else int(np.searchsorted(only, row, side="right"))
                index = after + np.flatnonzero(groups[after:] == group)
                time[index] += ticks - np.where((index if only is None else only[index]) > since, everyone, 0)


def pps_periods(counters: np.ndarray) -> np.ndarray:
    """Seconds that passed since the last reset, from the counter at a PPS: 1, or n when n - 1 were missed; int64."""
    periods = np.rint(counters / TICKS_PER_SECOND).astype(np.int64)
    return np.clip(periods, 1, MAX_PERIODS)
