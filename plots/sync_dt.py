"""The clock of each PACMAN against the PPS: counter at a sync minus one second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.clock import pps_periods
from dqm.formats.columns import TICKS_PER_SECOND, TIMESTAMP_MASK, PacketType, SyncKind
from plots.base import Extent, MergeablePlot, Packets, State, Trend, tally
from plots.drawing import axes, colour, say, steps

WARN_TICKS, ALARM_TICKS = 10, 100
EDGE = 250  # the histogram goes from -EDGE to +EDGE ticks, with one bin for all that is below and one for all above


class SyncDt(MergeablePlot):
    title = "PPS sync minus one second"
    fields = ("packet_type", "trigger_type", "timestamp", "io_group")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        is_sync = packets["packet_type"] == PacketType.SYNC
        pps = packets.select(is_sync & (packets["trigger_type"] == SyncKind.PPS))
        counter = (pps["timestamp"] & np.uint64(TIMESTAMP_MASK)).astype(np.int64)
        periods = pps_periods(counter)
        # after a missed PPS the counter is near n seconds: compare it with the nearest one
        dt = counter - periods * TICKS_PER_SECOND
        groups = pps["io_group"].astype(np.int64)
        timed = packets["unix_time"] >= 0
        stamps = packets.select((packets["packet_type"] == PacketType.TIMESTAMP) & timed)
        pps_unix = pps["unix_time"]
        has_unix = pps_unix >= 0
        return {
            "dt": tally((256, 2 * EDGE + 3), groups, np.clip(dt, -EDGE - 1, EDGE + 1) + EDGE + 1),
            "worst": Extent.of(256, groups, dt),
            "periods": tally((256,), groups, weights=periods),
            "syncs": tally((256,), groups),
            "pps_unix": Extent.of(256, groups[has_unix], pps_unix[has_unix]),
            "unix": Extent.of(256, stamps["io_group"], stamps["unix_time"]),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        groups = np.flatnonzero(state["syncs"]).tolist()
        for io_group in groups:
            counts = state["dt"][io_group]
            steps(fig, np.arange(-EDGE - 1, EDGE + 2), counts, f"io_group {io_group}", colour(io_group))
        if not groups:
            say(fig, "No PPS syncs in this file")
        axes(fig, x="counter at PPS - 1e7 [ticks of 0.1 us] (first and last bin: all beyond)", y="syncs per tick")
        for edge in (-ALARM_TICKS, ALARM_TICKS):
            fig.add_vline(x=edge, line={"color": "#888888", "width": 1, "dash": "dot"})

    def trends(self, state: State) -> dict[str, Trend]:
        worst = state["worst"]
        largest = None
        if worst.seen.any():
            largest = int(max(abs(worst.low[worst.seen]).max(), abs(worst.high[worst.seen]).max()))
        return {
            "max_abs_dt_ticks": Trend(
                largest, "ticks", warn=(None, WARN_TICKS), alarm=(None, ALARM_TICKS), reason="no PPS syncs"
            ),
            "missing_syncs": Trend(missing_syncs(state), "syncs", warn=(None, 0), alarm=(None, 1)),
        }


def missing_syncs(state: State) -> int:
    """PPS resets that did not happen or did not arrive, over all io_groups.

    A counter of n seconds at a sync tells of n - 1 missed ones. A sync that was lost while the counter was reset shows in
    the unix seconds: more of them passed between the first and the last sync than periods were counted. Before the first
    and after the last sync, or without any, one second is allowed: the file may begin and end anywhere in it.
    """
    missing = int((state["periods"] - state["syncs"]).sum())
    unix, pps = state["unix"], state["pps_unix"]
    for io_group in np.flatnonzero(unix.seen).tolist():
        first, last = int(unix.low[io_group]), int(unix.high[io_group])
        if not pps.seen[io_group]:
            missing += max(last - first - 1, 0)
            continue
        first_pps, last_pps = int(pps.low[io_group]), int(pps.high[io_group])
        between = int(state["periods"][io_group]) - 1
        missing += max(last_pps - first_pps - between, 0)
        missing += max(first_pps - first - 1, 0) + max(last - last_pps - 1, 0)
    return missing
