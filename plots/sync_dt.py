"""The clock of each PACMAN against the PPS: counter at a sync minus one second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.clock import pps_periods
from dqm.formats.columns import TICKS_PER_SECOND, TIMESTAMP_MASK, PacketType, SyncKind
from plots.base import Extent, KeyedCounts, MergeablePlot, Packets, State, Trend, tally
from plots.drawing import axes, colour, limit, say, steps

WARN_TICKS, ALARM_TICKS = 10, 100
SECOND_BITS = 34  # unix seconds below 2**33, see formats.clock.LATEST_UNIX
EDGE = 250  # the histogram goes from -EDGE to +EDGE ticks, with one bin for all that is below and one for all above


class SyncDt(MergeablePlot):
    title = "PPS sync minus one second"
    group = "Timing"
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
        pps_unix = pps["unix_time"]
        has_unix = pps_unix >= 0
        return {
            "dt": tally((256, 2 * EDGE + 3), groups, np.clip(dt, -EDGE - 1, EDGE + 1) + EDGE + 1),
            "worst": Extent.of(256, groups, dt),
            "periods": tally((256,), groups, weights=periods),
            "syncs": tally((256,), groups),
            "pps_unix": Extent.of(256, groups[has_unix], pps_unix[has_unix]),
            "seconds": KeyedCounts.of(_seconds_seen(packets)),
            "data": tally((256,), packets.data["io_group"]),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        groups = np.flatnonzero(state["syncs"]).tolist()
        for io_group in groups:
            counts = state["dt"][io_group]
            steps(fig, np.arange(-EDGE - 1, EDGE + 2), counts, f"io_group {io_group}", colour(io_group))
        if not groups:
            say(fig, "No PPS syncs in this file")
        axes(fig, x="counter at PPS - 1e7 [ticks of 0.1 us] (first and last bin: all beyond)", y="syncs per tick")
        for edge, word in ((WARN_TICKS, "suspect"), (ALARM_TICKS, "bad")):
            for side in (-edge, edge):
                limit(fig, side, f"{word} {side:+d}", "x", behind=side > 0)

    def trends(self, state: State) -> dict[str, Trend]:
        worst = state["worst"]
        largest = None
        if worst.seen.any():
            largest = int(max(abs(worst.low[worst.seen]).max(), abs(worst.high[worst.seen]).max()))
        missing = missing_syncs(state)
        return {
            "max_abs_dt_ticks": Trend(
                largest, "ticks", warn=(None, WARN_TICKS), alarm=(None, ALARM_TICKS), reason="no PPS syncs"
            ),
            "missing_syncs": Trend(
                missing, "syncs", warn=(None, 0), alarm=(None, 1), reason="no PPS syncs, and not 2 s of time stamps"
            ),
        }


def _seconds_seen(packets: Packets) -> np.ndarray:
    """One key for each timestamp packet: its io_group and unix second."""
    stamps = packets.of_type(PacketType.TIMESTAMP)
    unix = stamps["unix_time"]
    known = unix >= 0
    return stamps["io_group"][known].astype(np.int64) << SECOND_BITS | unix[known]


def missing_syncs(state: State) -> int | None:
    """PPS resets that did not happen or did not arrive, over all io_groups; None when the file cannot tell.

    A counter of n seconds at a sync tells of n - 1 missed ones. A sync that was lost while the counter was reset shows in
    the unix seconds: each second that was seen right after another one wants a sync. Before the first and after the last
    sync, or without any, one is allowed to be missing: the file may begin and end anywhere in a second. Only seconds that
    follow each other count, so that a pause, another file of the run or a wrong stamp asks for nothing.
    """
    syncs, periods, pps = state["syncs"], state["periods"], state["pps_unix"]
    missing, known = int((periods - syncs).sum()), bool(syncs.any())
    for io_group in np.flatnonzero(syncs + state["data"]).tolist():
        turns = _turns(state["seconds"].keys, io_group)
        if not syncs[io_group] or not pps.seen[io_group]:
            missing += max(len(turns) - 1, 0)
            known = known or len(turns) > 1
            continue
        first, last = int(pps.low[io_group]), int(pps.high[io_group])
        wanted = int(np.count_nonzero((turns > first) & (turns <= last)))
        missing += max(wanted - (int(periods[io_group]) - 1), 0)
        missing += int(np.count_nonzero(turns < first)) + max(int(np.count_nonzero(turns > last)) - 1, 0)
    return missing if known else None


def _turns(keys: np.ndarray, io_group: int) -> np.ndarray:
    """Unix seconds at which an io_group went from one second to the next, ascending."""
    groups = keys >> SECOND_BITS
    # no PACMAN has id 0: its stamps (simulation, LArPix v1) speak for the io_groups that have none
    own = keys[groups == io_group] if (groups == io_group).any() else keys[groups == 0]
    seconds = own & ((1 << SECOND_BITS) - 1)
    return seconds[1:][np.diff(seconds) == 1]
