"""What share of the packets is of which type, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import Bin, LiveTime, MergeablePlot, Packets, Ranges, State, Trend, tally
from plots.drawing import OKABE_ITO, axes, say, seconds_of, time_axis, time_steps
from plots.packet_rate import TYPES, types_named, types_per_second

CONFIG = (2, 3)


class PacketTypes(MergeablePlot):
    title = "Fraction of each packet type"
    group = "Data quality"
    fields = ("packet_type", "timestamp", "io_group")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        census = packets.census
        types = np.minimum(census.packet_type, len(TYPES))
        return {
            "per_second": types_per_second(packets),
            "by_type": tally((len(TYPES) + 1,), types, weights=census.rows),
            "live": LiveTime.of(packets),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="time (UTC)", y="share of all packets", tickformat=".2g")
        edges, rates = state["per_second"].per_second()
        every = rates.sum(axis=1)
        if not len(rates):
            say(fig, "No packets with a time yet")
            return
        shares = np.divide(rates, every[:, None], out=np.full(rates.shape, np.nan), where=every[:, None] > 0)
        for number in np.flatnonzero(state["by_type"]).tolist():
            name = TYPES[number] if number < len(TYPES) else "unknown type"
            time_steps(fig, edges, shares[:, number], name, OKABE_ITO[number % len(OKABE_ITO)])
        time_axis(fig, edges, every)

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        found = types_named(clicked.name)
        return found and {"packet_type": found, "unix_time": seconds_of(clicked)}

    def trends(self, state: State) -> dict[str, Trend]:
        by_type, live = state["by_type"], state["live"].longest()
        total = int(by_type.sum())

        def share(counts: Any) -> Trend:
            return Trend(int(counts) / total if total else None, "fraction", range=(0, 1), reason="no packets")

        config = int(by_type[list(CONFIG)].sum())
        return {
            "data_fraction": share(by_type[0]),
            "sync_fraction": share(by_type[6]),
            "trigger_fraction": share(by_type[7]),
            "config_fraction": share(config),
            # pacmon: configuration packets while data are taken, yellow at 0.1 and red at 0.2 packets/s
            "config_rate_hz": Trend(
                config / live if live >= 1 else None, "Hz", warn=(None, 0.1), alarm=(None, 0.2),
                reason="live time below 1 s",
            ),
        }  # fmt: skip
