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

import numpy as np

from dqm.formats.columns import TICKS_PER_SECOND, TIMESTAMP_MASK, PacketType, SyncKind

UNKNOWN = -1
"""Time of a row that has none: no timestamp packet before it, or a type without a counter."""

LATEST_UNIX = 1 << 33
"""A unix second later than this (year 2242) is garbage; it is taken as unknown."""

MAX_PERIODS = TIMESTAMP_MASK // TICKS_PER_SECOND


@dataclass(frozen=True)
class ClockState:
    """What one block hands to the next: last unix second, ticks to add per io_group, io_groups tied to a unix second."""

    unix: int = UNKNOWN
    offsets: dict[int, int] = field(default_factory=dict)
    anchored: frozenset[int] = frozenset()

    def to_json(self) -> dict:
        offsets = {str(group): ticks for group, ticks in self.offsets.items()}
        return {"unix": self.unix, "offsets": offsets, "anchored": sorted(self.anchored)}

    @classmethod
    def from_json(cls, data: dict) -> ClockState:
        offsets = {int(group): int(ticks) for group, ticks in data["offsets"].items()}
        return cls(int(data["unix"]), offsets, frozenset(int(group) for group in data["anchored"]))


class BlockClock:
    """The times of one block, computed when asked for; `after` is the state for the next block."""

    def __init__(self, rows: np.ndarray, before: ClockState):
        self.rows = rows
        self.before = before
        types = rows["packet_type"]
        self._stamps = np.flatnonzero(types == PacketType.TIMESTAMP)
        seconds = rows["timestamp"][self._stamps]
        self._seconds = np.where(seconds < LATEST_UNIX, seconds, 0).astype(np.int64)
        self._seconds[seconds >= LATEST_UNIX] = UNKNOWN
        self._jumps = self._find_jumps(types)
        offsets = dict(before.offsets)
        for group, (_, ticks) in self._jumps.items():
            offsets[group] = offsets.get(group, 0) + int(ticks.sum())
        unix = int(self._seconds[-1]) if len(self._stamps) else before.unix
        self.after = ClockState(unix, offsets, before.anchored | self._anchored)

    def _find_jumps(self, types: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """For each io_group the rows after which its offset grows, and by how many ticks."""
        rows = self.rows
        jumps: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        if "trigger_type" in (rows.dtype.names or ()):
            pps = np.flatnonzero((types == PacketType.SYNC) & (rows["trigger_type"] == SyncKind.PPS))
        else:
            pps = np.empty(0, np.intp)
        counters = rows["timestamp"][pps] & TIMESTAMP_MASK
        ticks = pps_periods(counters) * TICKS_PER_SECOND
        groups = rows["io_group"]
        for group in np.unique(groups[pps]).tolist():
            own = groups[pps] == group
            jumps[group] = (pps[own], ticks[own])
        known = self._seconds != UNKNOWN
        stamps, seconds = self._stamps[known], self._seconds[known]
        stamped, first = np.unique(groups[stamps], return_index=True)
        self._anchored = frozenset(stamped.tolist())
        for group, index in zip(stamped.tolist(), first.tolist(), strict=True):
            if group in self.before.anchored:
                continue
            where, steps = jumps.get(group, (np.empty(0, np.intp), np.empty(0, np.int64)))
            jumps[group] = (np.append(where, stamps[index]), np.append(steps, seconds[index] * TICKS_PER_SECOND))
        return jumps

    def unix_time(self) -> np.ndarray:
        """Unix second of the message that each row belongs to, shape (n,), int64; UNKNOWN before the first."""
        edges = np.concatenate([[0], self._stamps, [len(self.rows)]])
        return np.repeat(np.concatenate([[self.before.unix], self._seconds]), np.diff(edges))

    def time_ticks(self) -> np.ndarray:
        """Monotonic time per io_group [ticks of 0.1 us since 1970], shape (n,), int64; UNKNOWN for rows without a counter.

        Without a timestamp packet the count starts at the first row's own second instead of 1970.
        """
        rows = self.rows
        types, groups = rows["packet_type"], rows["io_group"]
        # no PACMAN has id 0: its stamp (LArPix v1 files) speaks for every io_group that has none of its own
        offset = np.full(256, self.before.offsets.get(0, 0), np.int64)
        for group, ticks in self.before.offsets.items():
            offset[group] = ticks
        stamp = (rows["timestamp"] & np.uint64(TIMESTAMP_MASK)).astype(np.int64)
        time = stamp + offset[groups]
        for group, (where, jump) in self._jumps.items():
            own = groups == group if group else ~np.isin(groups, list({*self.before.offsets, *self._jumps} - {0}))
            index = np.flatnonzero(own)
            step = np.zeros(len(index) + 1, np.int64)
            np.add.at(step, np.searchsorted(index, where, side="right"), jump)
            time[index] += np.cumsum(step[:-1])
        is_data = types == PacketType.DATA
        if "receipt_timestamp" in (rows.dtype.names or ()):
            receipt = rows["receipt_timestamp"].astype(np.int64)
            late = is_data & (receipt < stamp) & (receipt > 0)
            if late.any():
                time[late] -= TICKS_PER_SECOND
        time[~(is_data | (types == PacketType.SYNC) | (types == PacketType.TRIGGER))] = UNKNOWN
        return time


def pps_periods(counters: np.ndarray) -> np.ndarray:
    """Seconds that passed since the last reset, from the counter at a PPS: 1, or n when n - 1 were missed; int64."""
    periods = np.rint(counters / TICKS_PER_SECOND).astype(np.int64)
    return np.clip(periods, 1, MAX_PERIODS)
