"""Data packets per second of each io_group (PACMAN)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import DATA, Bin, LiveTime, MergeablePlot, Packets, Ranges, Series, State, Trend, tally
from plots.drawing import axes, colour, number_in, say, seconds_of, time_axis, time_steps

WARN, ALARM = 3e4, 3e5  # packets/s of one PACMAN, pacmon


class IoGroupRate(MergeablePlot):
    title = "Data rate of each io_group"
    group = "Rates"
    fields = ("packet_type", "valid_parity", "io_group", "timestamp")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        data = packets.census.data
        # io_groups above 63 (no detector has them) share the last column
        column = np.minimum(data.io_group, 63)
        return {
            "by_group": tally((256,), data.io_group, weights=data.rows),
            "per_second": Series.of(data.unix_time, column, 64, weights=data.rows),
            "live": LiveTime.of(packets),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        series, total = state["per_second"], int(state["by_group"].sum())
        edges, rates = series.whole_seconds()
        for io_group in np.flatnonzero(series.counts.any(axis=0)).tolist():
            time_steps(fig, edges, rates[:, io_group], f"io_group {io_group}", colour(io_group))
        axes(fig, x="time (UTC)", y="data packets/s")
        if len(series.seconds):
            time_axis(fig, edges, rates.sum(axis=1))
        else:
            say(fig, f"{total:,} data packets without a time" if total else "No data packets yet")

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        group = number_in(clicked.name)
        if group is None:
            return None
        return {**DATA, "io_group": (group, group if group < 63 else 255), "unix_time": seconds_of(clicked)}

    def trends(self, state: State) -> dict[str, Trend]:
        groups = np.flatnonzero(state["by_group"])
        rates = state["live"].per_second(state["by_group"][groups], groups)
        known = rates[np.isfinite(rates)]
        highest, lowest = (known.max(), known.min()) if len(known) else (None, None)
        reason = "live time below 1 s" if len(groups) else "no data packets"
        return {
            "max_io_group_rate_hz": Trend(highest, "Hz", warn=(None, WARN), alarm=(None, ALARM), reason=reason),
            "min_io_group_rate_hz": Trend(lowest, "Hz", reason=reason),
            "active_io_groups": Trend(len(groups), "io_groups"),
        }
