"""Packets of each type per second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import Bin, LiveTime, MergeablePlot, Packets, Ranges, Series, State, Trend, tally
from plots.drawing import OKABE_ITO, axes, say, seconds_of, time_axis, time_steps

TYPES = ("data", "test", "config write", "config read", "timestamp", "message", "sync", "trigger")
N_TYPES = 256  # packet_type is a u1: a damaged row may hold anything


def types_per_second(packets: Packets) -> Series:
    """Packets of each type, and of all types that there are not, by second."""
    census = packets.census
    types = np.minimum(census.packet_type, len(TYPES))
    return packets.once("types", lambda: Series.of(census.unix_time, types, len(TYPES) + 1, weights=census.rows))


def types_named(name: str) -> tuple[float, float] | None:
    """First and last packet type that a line of this name counts."""
    if name == "unknown type":
        return len(TYPES), N_TYPES - 1
    return (TYPES.index(name), TYPES.index(name)) if name in TYPES else None


class PacketRate(MergeablePlot):
    title = "Packet rate by type"
    group = "Rates"
    fields = ("packet_type", "timestamp", "io_group")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        census = packets.census
        return {
            "by_type": tally((N_TYPES,), census.packet_type, weights=census.rows),
            "per_second": types_per_second(packets),
            "live": LiveTime.of(packets),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        series = state["per_second"]
        edges, rates = series.whole_seconds()
        for number in np.flatnonzero(series.counts.any(axis=0)).tolist():
            name = TYPES[number] if number < len(TYPES) else "unknown type"
            time_steps(fig, edges, rates[:, number], name, OKABE_ITO[number % len(OKABE_ITO)])
        axes(fig, x="time (UTC)", y="packets/s")
        if len(series.seconds):
            time_axis(fig, edges, rates.sum(axis=1))
        else:
            untimed = int(state["by_type"].sum())
            say(fig, f"{untimed:,} packets without a time (no timestamp packets)" if untimed else "No packets yet")

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        found = types_named(clicked.name)
        return found and {"packet_type": found, "unix_time": seconds_of(clicked)}

    def trends(self, state: State) -> dict[str, Trend]:
        by_type = state["by_type"]
        live = state["live"].longest()
        rate = by_type[0] / live if live >= 1 else None
        return {
            "packets": Trend(by_type.sum(), "packets"),
            "data_packets": Trend(by_type[0], "packets"),
            "timestamp_packets": Trend(by_type[4], "packets"),
            "sync_packets": Trend(by_type[6], "packets"),
            "trigger_packets": Trend(by_type[7], "packets"),
            "config_packets": Trend(by_type[2] + by_type[3], "packets"),
            # pacmon's shift board turns yellow at 2e5 and red at 2e6 packets/s
            "data_rate_hz": Trend(rate, "Hz", warn=(None, 2e5), alarm=(None, 2e6), reason="live time below 1 s"),
        }
