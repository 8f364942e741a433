"""How often triggers come: the time from one to the next of the same io_group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.columns import TICKS_PER_SECOND, PacketType
from plots.base import Bin, Extent, LiveTime, MergeablePlot, Packets, Ranges, Scatter, State, Trend, tally
from plots.drawing import axes, colour, number_in, say, steps

GROUPS = 256
PER_DECADE = 50
DECADES = 9
"""From one tick of 0.1 us to 100 s."""
BINS = PER_DECADE * DECADES
"""And one for all beyond."""
ALL_BEYOND = 1 << 62
LONGEST_S = 10
TRIGGERS = (PacketType.TRIGGER, PacketType.TRIGGER)


class TriggerIntervals(MergeablePlot):
    title = "Time between triggers"
    group = "Timing"
    fields = ("packet_type", "valid_parity", "io_group", "timestamp", "trigger_type")
    log_switch = True
    uses = ("trigger_io_group", "trigger_bit")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        triggers = packets.triggers(self.options.trigger_io_group, self.options.trigger_bit)
        groups, ticks = triggers["io_group"], triggers["interval_ticks"]
        later = ticks > 0
        place = places(ticks[later])
        return {
            "intervals": Scatter(GROUPS * (BINS + 1), groups[later].astype(np.int64) * (BINS + 1) + place),
            "ticks": tally((BINS + 1,), place, weights=ticks[later]),
            "extent": Extent.of(GROUPS, groups[later], ticks[later]),
            "triggers": tally((GROUPS,), groups),
            "live": LiveTime.of(packets),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="time since the trigger before [s]", y="triggers per bin of 5 %")
        intervals = by_group(state)
        if not intervals.any():
            say(fig, "No two triggers of one io_group yet")
            return
        occupied = np.flatnonzero(intervals.any(axis=0))
        first, last = max(int(occupied[0]) - PER_DECADE // 5, 0), int(occupied[-1]) + PER_DECADE // 5
        x = middles()[first:last]
        for io_group in np.flatnonzero(intervals.any(axis=1)).tolist():
            steps(fig, x, intervals[io_group, first:last], f"io_group {io_group}", colour(io_group))
        fig.update_layout(xaxis_type="log")

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        """The triggers that came so long after the one before of their io_group."""
        group, low = number_in(clicked.name), clicked.low
        if group is None or not middles()[0] <= low <= middles()[-1]:
            return None
        place = int(np.argmin(np.abs(np.log(middles() / low))))
        if (ends := ticks_of(place)) is None:
            return None
        return {"packet_type": TRIGGERS, "io_group": (group, group), "interval_ticks": ends}

    def trends(self, state: State) -> dict[str, Trend]:
        triggers, live = state["triggers"], state["live"].longest()
        busiest = int(triggers.max())
        extent, none = state["extent"], "no two triggers of one io_group"
        longest = int(extent.high[extent.seen].max()) / TICKS_PER_SECOND if extent.seen.any() else None
        return {
            "triggers": Trend(int(triggers.sum()), "triggers"),
            "trigger_rate_hz": Trend(busiest / live if live >= 1 else None, "Hz", reason="live time below 1 s"),
            "median_trigger_interval_s": Trend(median_s(state), "s", reason=none),
            "longest_trigger_interval_s": Trend(longest, "s", warn=(None, LONGEST_S), reason=none),
        }


def by_group(state: State) -> np.ndarray:
    """Intervals by io_group and bin, shape (256, BINS + 1)."""
    return state["intervals"].reshape(GROUPS, BINS + 1)


def places(ticks: np.ndarray) -> np.ndarray:
    """The bin of each interval [ticks], above 0, int64."""
    return np.minimum(np.log10(ticks) * PER_DECADE, BINS).astype(np.int64)


def ticks_of(place: int) -> tuple[int, int] | None:
    """Shortest and longest interval of a bin [ticks]; None of one that lies between two ticks."""

    def first(place: int) -> int:
        near = round(10 ** (place / PER_DECADE))
        return next(tick for tick in range(max(near - 1, 1), near + 3) if places(np.array([tick]))[0] >= place)

    last = first(place + 1) - 1 if place < BINS else ALL_BEYOND
    return (first(place), last) if first(place) <= last else None


def middles() -> np.ndarray:
    """Middle of each bin [s], shape (BINS + 1,); of the last its lower edge."""
    return 10 ** ((np.append(np.arange(BINS) + 0.5, BINS)) / PER_DECADE) / TICKS_PER_SECOND


def median_s(state: State) -> float | None:
    """Mean of the intervals in the bin that holds the median [s]; None without any."""
    counts = by_group(state).sum(axis=0)
    total = np.cumsum(counts)
    place = int(np.searchsorted(total, (total[-1] + 1) // 2))
    return int(state["ticks"][place]) / int(counts[place]) / TICKS_PER_SECOND if total[-1] else None
