"""What one pass over a file's packets tells about the file itself: when it began and ended, and what is odd in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dqm.formats.clock import UNKNOWN
from dqm.formats.columns import TICKS_PER_SECOND, PacketType
from dqm.formats.packets import Packets

LATE_TICKS = TICKS_PER_SECOND // 10
"""Data are read out in time order to within a few thousand ticks; a larger step back of an io_group is a clock fault."""
GAP_SECONDS = 2


@dataclass
class Scan:
    """Feed it every block in order. Times are unix seconds, None when no timestamp packet was seen."""

    rows: int = 0
    first_unix: int | None = None
    last_unix: int | None = None
    untimed: int = 0
    unix_steps_back: int = 0
    unix_gaps: int = 0
    clock_steps_back: int = 0
    syncs: int = 0
    unknown_types: int = 0
    outside_geometry: int = 0
    valid_data: int = 0
    geometry: str | None = None
    _latest: dict[int, int] = field(default_factory=dict)

    def feed(self, packets: Packets) -> None:
        self.rows += len(packets)
        self._feed_unix(packets)
        self.unknown_types += int(np.count_nonzero(packets["packet_type"] > PacketType.TRIGGER))
        data = packets.data
        self.valid_data += len(data)
        if packets.detector is not None:
            self.geometry = packets.detector.name
            self.outside_geometry += int(np.count_nonzero(data["pixel"] < 0))
        self.syncs += len(packets.of_type(PacketType.SYNC))
        self._feed_clock(packets)

    def _feed_unix(self, packets: Packets) -> None:
        stamps = packets.of_type(PacketType.TIMESTAMP)["unix_time"]
        stamps = stamps[stamps != UNKNOWN]
        if self.first_unix is None:
            self.untimed += int(np.count_nonzero(packets["unix_time"] == UNKNOWN))
        if not len(stamps):
            return
        before = [] if self.last_unix is None else [self.last_unix]
        steps = np.diff(np.concatenate([before, stamps]).astype(np.int64))
        self.unix_steps_back += int(np.count_nonzero(steps < 0))
        self.unix_gaps += int(np.count_nonzero(steps > GAP_SECONDS))
        self.first_unix = int(stamps[0]) if self.first_unix is None else self.first_unix
        self.last_unix = int(stamps[-1])

    def _feed_clock(self, packets: Packets) -> None:
        for group, times in packets.timeline:
            falls = int(np.count_nonzero(times[1:] < times[:-1] - LATE_TICKS))
            falls += int(times[0]) < self._latest.get(group, int(times[0])) - LATE_TICKS
            self.clock_steps_back += falls
            self._latest[group] = int(times[-1])

    @property
    def faults(self) -> list[str]:
        """What is odd, each as one sentence."""
        found = []
        if self.rows == 0:
            found.append("no packets in it")
        elif self.first_unix is None:
            found.append("no timestamp packets (type 4): its packets have no absolute time")
        elif self.untimed:
            found.append(f"{self.untimed:,} packets before the first timestamp packet have no absolute time")
        if self.unix_steps_back:
            found.append(f"unix time goes backwards {self.unix_steps_back:,} times")
        if self.unix_gaps:
            found.append(f"unix time jumps by more than {GAP_SECONDS} s {self.unix_gaps:,} times")
        if self.clock_steps_back and not self.syncs:
            found.append("no PPS syncs: its counters start again each second, so live time and rates cannot be known")
        elif self.clock_steps_back:
            found.append(f"clock of an io_group goes backwards {self.clock_steps_back:,} times (lost PPS?)")
        if self.unknown_types:
            found.append(f"{self.unknown_types:,} packets of unknown type (above 7)")
        if self.outside_geometry:
            found.append(
                f"{self.outside_geometry:,} of {self.valid_data:,} data packets have ids outside geometry {self.geometry}"
            )
        return found
