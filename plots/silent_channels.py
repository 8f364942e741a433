"""Channels and chips that send nothing though their live time says that they should have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import LeftOut, MergeablePlot, Packets, Scatter, State, Trend
from plots.drawing import axes, colour, say
from plots.tile_rate import NO_GEOMETRY

FALSE_ALARMS = 1.0
"""How many channels (or chips) of the whole detector may be called silent by chance."""
NAMED = 12


class SilentChannels(MergeablePlot):
    title = "Silent channels and chips"
    group = "Data quality"
    fields = ("packet_type", "valid_parity", "io_group", "io_channel", "chip_id", "channel_id")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        if packets.detector is None:
            return {}
        sums = packets.pixel_sums
        return {"packets": Scatter(sums.size, sums.index, sums.packets)}

    def without(self, state: State, left_out: LeftOut) -> State:
        return left_out.cleared(state, "packets")

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="tile [id]", y="silent channels", type="linear")
        if state.detector is None:
            say(fig, NO_GEOMETRY.capitalize())
            return
        channels, chips = silent_channels(state), silent_chips(state)
        if not channels.known.any() and not chips.known.any():
            say(fig, _too_few(channels))
            return
        tiles = state.detector.tiles
        of_tile = np.bincount(state.detector.tile_place[channels.tile[channels.silent]], minlength=len(tiles))
        told = np.isin(tiles, channels.tile[channels.known])
        fig.add_trace(
            go.Bar(
                x=[f"{tile} " for tile in tiles.tolist()],  # a category, not a number on an axis
                y=np.where(told, of_tile, np.nan),
                marker={"color": [colour(group) for group in state.detector.tile_io_group.tolist()]},
                customdata=state.detector.tile_io_group,
                hovertemplate="tile %{x}(io_group %{customdata})<br>%{y} silent channels<extra></extra>",
            )
        )
        lines = [] if told.all() else [f"no bar: {_too_few(channels)[0].lower()}{_too_few(channels)[1:]}"]
        names = chip_names(state, chips)
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            lines.append(f"silent chips: {', '.join(names[:NAMED])}{more}")
        if lines:
            fig.add_annotation(
                text="<br>".join(lines), showarrow=False, xref="paper", yref="paper", x=0, y=1, yanchor="bottom",
                xanchor="left", align="left", font={"size": 11},
            )  # fmt: skip

    def trends(self, state: State) -> dict[str, Trend]:
        units = {"silent_channels": "channels", "silent_channel_fraction": "fraction", "silent_chips": "chips"}
        if state.detector is None:
            return {name: Trend(None, unit, reason=NO_GEOMETRY) for name, unit in units.items()}
        channels, chips = silent_channels(state), silent_chips(state)
        told, silent = int(channels.known.sum()), int(channels.silent.sum())
        reason = _too_few(channels)
        return {
            "silent_channels": Trend(silent if told else None, "channels", reason=reason),
            "silent_channel_fraction": Trend(silent / told if told else None, "fraction", range=(0, 1), reason=reason),
            # no source gives a number of dead chips that is accepted: any is said, the reference of a site says how many are
            "silent_chips": Trend(int(chips.silent.sum()) if chips.known.any() else None, "chips", reason=reason),
        }


@dataclass(frozen=True)
class Silent:
    """Of each channel or chip: its tile, whether there are enough packets to tell, and whether it is silent."""

    row: np.ndarray
    """Its (first) pixel."""
    tile: np.ndarray
    known: np.ndarray
    silent: np.ndarray
    needed: float
    """Packets that must be expected of one before its silence says something."""
    expected: np.ndarray


def silent_channels(state: State) -> Silent:
    """The channels of the detector, judged by the median channel of their tile."""
    return _judged(np.arange(len(state.detector.pixels)), state.detector.pixels.tile, state["packets"])


def silent_chips(state: State) -> Silent:
    """The chips of the detector, judged by the median chip of their tile."""
    table = state.detector.pixels
    keys, first, inverse = np.unique(table.tile.astype(np.int64) << 8 | table.chip_id, True, True)
    counts = np.bincount(inverse, weights=state["packets"], minlength=len(keys)).astype(np.int64)
    return _judged(first, table.tile[first], counts)


def _judged(row: np.ndarray, tile: np.ndarray, counts: np.ndarray) -> Silent:
    """No packet from one of which `n` are expected has the chance exp(-n) (Poisson), for all of them at once.

    What is expected is what the median one of the tile sent, so that a hot channel does not raise it, and a tile of which
    more than half is silent is not judged: it is silent as a tile.
    """
    expected = np.zeros(len(counts))
    for one in np.unique(tile):
        of_tile = tile == one
        expected[of_tile] = np.median(counts[of_tile])
    needed = float(np.log(max(len(counts), 2) / FALSE_ALARMS))
    known = expected >= needed
    return Silent(row, tile, known, known & (counts == 0), needed, expected)


def chip_names(state: State, chips: Silent) -> list[str]:
    """``io_group-io_channel-chip`` of the silent chips."""
    table, rows = state.detector.pixels, chips.row[chips.silent]
    ids = zip(table.io_group[rows], table.io_channel[rows], table.chip_id[rows], strict=True)
    return ["-".join(map(str, chip)) for chip in ids]


def _too_few(channels: Silent) -> str:
    return (
        f"Too few packets to tell: the median channel of a tile has {channels.expected.max(initial=0):.3g} at most, "
        f"silence says something from {channels.needed:.0f} on"
    )
