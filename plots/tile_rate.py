"""Data rate of each tile over time; tiles that are silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import DATA, Bin, LiveTime, MergeablePlot, Packets, Ranges, Series, State, Trend, tally
from plots.drawing import axes, number_in, say, seconds_of, time_axis, utc

NO_GEOMETRY = "no known geometry fits the ids of this file"


class TileRate(MergeablePlot):
    title = "Data rate of each tile"
    group = "Rates"
    fields = ("packet_type", "valid_parity", "io_group", "io_channel", "timestamp")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        live = {"live": LiveTime.of(packets)}
        if packets.detector is None:
            return live
        data, n_tiles = packets.census.data, len(packets.detector.tiles)
        tile = packets.detector.tile_of(data.io_group, data.io_channel)
        inside, place = data.of(tile > 0), packets.detector.tile_place[tile[tile > 0]]
        series = Series.of(inside.unix_time, place, n_tiles, weights=inside.rows)
        return {"per_second": series, "by_tile": tally((n_tiles,), place, weights=inside.rows), **live}

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="time (UTC)", y="tile [id]", type="category", showgrid=False)
        if state.detector is None:
            say(fig, NO_GEOMETRY.capitalize())
            return
        edges, rates = state["per_second"].whole_seconds()
        if not len(rates):
            say(fig, "No data packets with a time yet")
            return
        tiles, groups = state.detector.tiles.tolist(), state.detector.tile_io_group.tolist()
        fig.add_trace(
            go.Heatmap(
                x=utc(edges),
                y=[f"{tile} " for tile in tiles],  # a category, not a number on an axis
                z=rates.T.astype(np.float32),
                customdata=np.repeat(np.array(groups)[:, None], len(rates), axis=1).astype(np.uint8),
                colorscale="Viridis",
                zmin=0,
                hoverongaps=False,
                hovertemplate="tile %{y}(io_group %{customdata})<br>%{x} UTC<br>%{z:.4g} data packets/s<extra></extra>",
                colorbar={"title": {"text": "data packets/s", "side": "right"}, "thickness": 12},
            )
        )
        time_axis(fig, edges, rates.sum(axis=1))
        silent = [str(tile) for tile, count in zip(tiles, state["by_tile"].tolist(), strict=True) if not count]
        if silent:
            names = ", ".join(silent[:12]) + (" ..." if len(silent) > 12 else "")
            fig.add_annotation(
                text=f"silent: tile {names}", showarrow=False, xref="paper", yref="paper", x=0, y=1.0, yanchor="bottom"
            )

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        tile = number_in(clicked.label)
        return None if tile is None else {**DATA, "tile": (tile, tile), "unix_time": seconds_of(clicked)}

    def trends(self, state: State) -> dict[str, Trend]:
        reason, highest, silent = NO_GEOMETRY, None, None
        if state.detector is not None:
            reason = "live time below 1 s"
            rate = state["live"].per_second(state["by_tile"], state.detector.tile_io_group)
            if state["live"].longest() >= 1:
                silent = int(np.count_nonzero(state["by_tile"] == 0))
                highest = np.nanmax(rate, initial=0.0)
        return {
            # pacmon: a tile is yellow at 5e3 and red at 5e4 packets/s
            "max_tile_rate_hz": Trend(highest, "Hz", warn=(None, 5e3), alarm=(None, 5e4), reason=reason),
            "silent_tiles": Trend(silent, "tiles", warn=(None, 0), alarm=(None, 0), reason=reason),
        }
