"""Data packets of invalid parity: bits flipped on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import Bin, MergeablePlot, Packets, Ranges, Series, State, Trend, tally
from plots.drawing import axes, colour, limit, number_in, say, seconds_of, time_axis, time_steps

WARN, ALARM = 1e-4, 1e-3  # fraction per PACMAN, pacmon


class ParityErrors(MergeablePlot):
    title = "Fraction of data packets with invalid parity"
    group = "Data quality"
    fields = ("packet_type", "valid_parity", "io_group")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        data = packets.census.of(packets.census.packet_type == 0)
        invalid = (~data.valid_parity).astype(np.int64)
        # columns: io_group * 2 + invalid; io_groups above 63 (no detector has them) share the last pair
        column = np.minimum(data.io_group, 63).astype(np.int64) * 2 + invalid
        return {
            "by_group": tally((256, 2), data.io_group, invalid, weights=data.rows),
            "per_second": Series.of(data.unix_time, column, 128, weights=data.rows),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        series, total = state["per_second"], state["by_group"].sum()
        edges, rates = series.per_second()
        rates = rates.reshape(-1, 64, 2)
        for io_group in np.flatnonzero(np.nansum(rates, axis=(0, 2))).tolist():
            every = rates[:, io_group].sum(axis=1)
            fraction = np.divide(rates[:, io_group, 1], every, out=np.full(len(every), np.nan), where=every > 0)
            time_steps(fig, edges, fraction, f"io_group {io_group}", colour(io_group))
        axes(fig, x="time (UTC)", y="invalid / all data packets")
        if total and len(series.seconds):
            limit(fig, ALARM, f"whole file bad above {ALARM:g}")
            limit(fig, WARN, f"suspect above {WARN:g}")
            time_axis(fig, edges, rates.sum(axis=(1, 2)))
        elif total:
            say(fig, f"{total:,} data packets without a time; {state['by_group'][:, 1].sum():,} of invalid parity")
        else:
            say(fig, "No data packets yet")

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        """Those of invalid parity alone: they are what the plot is opened for."""
        group = number_in(clicked.name)
        if group is None:
            return None
        groups = (group, group if group < 63 else 255)
        return {"packet_type": (0, 0), "valid_parity": (0, 0), "io_group": groups, "unix_time": seconds_of(clicked)}

    def trends(self, state: State) -> dict[str, Trend]:
        total, invalid = state["by_group"].sum(), state["by_group"][:, 1].sum()
        fraction = invalid / total if total else None
        return {
            "invalid_parity": Trend(invalid, "packets"),
            "invalid_parity_fraction": Trend(
                fraction, "fraction", range=(0, 1), warn=(None, WARN), alarm=(None, ALARM), reason="no data packets"
            ),
        }
