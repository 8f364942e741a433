"""When each io_group was alive, and for how long; gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.columns import TICKS_PER_SECOND
from plots.base import LiveTime, MergeablePlot, Packets, State, Trend
from plots.drawing import axes, colour, say, utc

DATED = 1_000_000_000  # a clock that was never anchored to a unix second counts from 0: it is no date


class LiveSpans(MergeablePlot):
    title = "Live time of each io_group"
    group = "Timing"
    fields = ("packet_type", "valid_parity", "timestamp", "io_group")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        return {"live": LiveTime.of(packets)}

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="time (UTC)", y="io_group [id]", type="category")
        live = state["live"]
        dated = {group: spans for group, spans in live.spans.items() if spans[0, 0] >= DATED * TICKS_PER_SECOND}
        if not dated:
            total = ", ".join(f"io_group {group}: {live.seconds(group):.1f} s" for group in sorted(live.spans))
            say(fig, f"No time stamps; alive for {total}" if total else "No packets with a counter yet")
            return
        for group in sorted(dated):
            ends = utc(np.rint(dated[group] / TICKS_PER_SECOND).astype(np.int64).ravel())
            x = [point for pair in zip(ends[::2], ends[1::2], strict=True) for point in (*pair, None)]
            words = f"io_group {group}: {live.seconds(group):,.1f} s"
            line = {"color": colour(group), "width": 10}
            fig.add_trace(go.Scatter(x=x, y=[f"{group} "] * len(x), mode="lines", line=line, name=words))

    def trends(self, state: State) -> dict[str, Trend]:
        live = state["live"]
        seconds = [live.seconds(group) for group in live.spans]
        reason = "no packets with a counter"
        spread = max(seconds) - min(seconds) if seconds else None
        gaps = sum(len(spans) - 1 for spans in live.spans.values())
        return {
            "live_time_s": Trend(max(seconds) if seconds else None, "s", reason=reason),
            # io_groups of one detector live together: one that is alive for less has stopped or lost its clock
            "live_time_spread_s": Trend(spread, "s", warn=(None, 2), alarm=(None, 10), reason=reason),
            "clock_gaps": Trend(gaps if seconds else None, "gaps", warn=(None, 0), reason=reason),
        }
