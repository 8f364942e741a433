"""The counter at each PPS over time: when a clock jumped, drifted or missed a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.clock import pps_periods
from dqm.formats.columns import TICKS_PER_SECOND, TIMESTAMP_MASK, PacketType, SyncKind
from plots.base import Bin, MergeablePlot, Packets, Ranges, Series, State
from plots.drawing import axes, colour, number_in, say, time_axis, utc
from plots.sync_dt import PPS

GROUPS = 256
MOST_GROUPS = 80  # drawn; ND-LAr has 70


class SyncSeries(MergeablePlot):
    title = "PPS sync minus one second, over time"
    group = "Timing"
    fields = ("packet_type", "trigger_type", "timestamp", "io_group")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        syncs = packets.of_type(PacketType.SYNC)
        pps = syncs.select(syncs["trigger_type"] == SyncKind.PPS)
        counter = (pps["timestamp"] & np.uint64(TIMESTAMP_MASK)).astype(np.int64)
        dt = counter - pps_periods(counter) * TICKS_PER_SECOND
        groups, unix = pps["io_group"], pps["unix_time"]
        return {"syncs": Series.of(unix, groups, GROUPS), "ticks": Series.of(unix, groups, GROUPS, weights=dt)}

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="time (UTC)", y="counter at PPS - 1e7 [ticks of 0.1 us]", rangemode="normal")
        syncs, ticks = state["syncs"], state["ticks"]
        if not len(syncs.seconds):
            say(fig, "No PPS syncs with a time yet")
            return
        middle = utc(syncs.seconds + syncs.width // 2)
        io_groups = np.flatnonzero(syncs.counts.any(axis=0))
        if len(io_groups) > MOST_GROUPS:
            off = np.abs(ticks.counts[:, io_groups].sum(axis=0)) / syncs.counts[:, io_groups].sum(axis=0)
            io_groups = np.sort(io_groups[np.argsort(off)[-MOST_GROUPS:]])
            fig.update_layout(
                title={"text": f"the {MOST_GROUPS} io_groups that are furthest off", "font": {"size": 12}}
            )
        for io_group in io_groups.tolist():
            counts = syncs.counts[:, io_group]
            mean = np.divide(ticks.counts[:, io_group], counts, out=np.full(len(counts), np.nan), where=counts > 0)
            fig.add_trace(
                go.Scatter(
                    x=middle, y=mean, name=f"io_group {io_group}", mode="markers",
                    marker={"color": colour(io_group), "size": 4},
                    customdata=[[str(syncs.width)]] * len(middle),
                )
            )  # fmt: skip
        time_axis(fig, np.append(syncs.seconds, syncs.seconds[-1] + syncs.width), syncs.counts.sum(axis=1))

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        group, width = number_in(clicked.name), number_in(clicked.label)
        if group is None or not width:
            return None
        first = clicked.low - width // 2
        return {**PPS, "io_group": (group, group), "unix_time": (first, first + width - 1)}
