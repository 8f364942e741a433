"""Data rate of each chip; chips that send too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import DATA, Bin, KeyedCounts, LeftOut, LiveTime, MergeablePlot, Packets, Ranges, State, Trend
from plots.drawing import axes, number_in, say

WARN_HZ, ALARM_HZ = 100, 1000  # pacmon, tile boards
CHANNELS_PER_TILE = 4  # io_channels that read a tile
MOST_CELLS = 1 << 20  # of the map: 4,096 tiles; ND-LAr has 1,400


class ChipRate(MergeablePlot):
    title = "Data rate of each chip"
    group = "Rates"
    fields = ("packet_type", "valid_parity", "io_group", "io_channel", "chip_id", "timestamp")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        return {"chips": _chips(packets), "live": LiveTime.of(packets)}

    def without(self, state: State, left_out: LeftOut) -> State | None:
        chips, own = state["chips"], _chip_keys(state.detector, left_out)
        if left_out.sent is None or own is None or len(chips.keys) >= KeyedCounts.LIMIT:
            return None
        gone, inverse = np.unique(own[left_out.sent > 0], return_inverse=True)
        sent = np.bincount(inverse, weights=left_out.sent[left_out.sent > 0], minlength=len(gone)).astype(np.int64)
        place = np.searchsorted(chips.keys, gone)
        if not np.array_equal(np.append(chips.keys, -1)[place], gone):
            return None
        counts = chips.counts.copy()
        counts[place] -= sent
        if (counts < 0).any():  # not of the same packets
            return None
        made = left_out.cleared(state)
        made["chips"] = KeyedCounts(chips.keys[counts > 0], counts[counts > 0], chips.total - int(sent.sum()))
        return made

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="chip [id]", y="io_group-tile", type="category", showgrid=False, autorange="reversed")
        chips = state["chips"]
        if not len(chips.keys):
            say(fig, "No data packets yet")
            return
        rates = _rates(state)
        if not np.isfinite(rates).any():
            say(fig, "Live time below 1 s: no rates yet")
            return
        tiles, row = np.unique(chips.keys >> 8, return_inverse=True)
        ids, column = np.unique(chips.keys & 255, return_inverse=True)
        if len(tiles) * len(ids) > MOST_CELLS:
            say(fig, f"{len(chips.keys):,} chips on {len(tiles):,} tiles: more than any detector has")
            return
        grid = np.full((len(tiles), len(ids)), np.nan, np.float32)
        grid[row, column] = rates
        fig.add_trace(
            go.Heatmap(
                x=ids,
                y=[f"{tile >> 8}-{tile & 255} " for tile in tiles.tolist()],  # a category, not a number on an axis
                z=grid,
                colorscale="Viridis",
                zmin=0,
                # one chip that sends without end must not turn all others into one colour
                zmax=float(np.nanquantile(grid, 0.995)) or 1.0,
                hoverongaps=False,
                hovertemplate="io_group-tile %{y}, chip %{x}<br>%{z:.4g} Hz<extra></extra>",
                colorbar={"title": {"text": "rate [Hz]", "side": "right"}, "thickness": 12},
            )
        )

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        group, dash, tile = clicked.label.partition("-")
        if not dash or (one := number_in(group)) is None or (other := number_in(tile)) is None:
            return None
        last = other * CHANNELS_PER_TILE
        of_tile: Ranges = {"io_group": (one, one), "io_channel": (max(last - CHANNELS_PER_TILE + 1, 0), last)}
        return {**DATA, **of_tile, "chip_id": (clicked.low, clicked.low)}

    def trends(self, state: State) -> dict[str, Trend]:
        rates = _rates(state)
        known = rates[np.isfinite(rates)]
        reason = "live time below 1 s" if len(rates) else "no data packets"
        busy = int(np.count_nonzero(known > WARN_HZ)) if len(known) else None
        return {
            "max_chip_rate_hz": Trend(
                known.max() if len(known) else None, "Hz", warn=(None, WARN_HZ), alarm=(None, ALARM_HZ), reason=reason
            ),
            "busy_chips": Trend(busy, "chips", reason=reason),
            "active_chips": Trend(len(rates), "chips"),
        }


def _chips(packets: Packets) -> KeyedCounts:
    """Packets of each chip, by ``(io_group << 8 | tile in the io_group) << 8 | chip_id``."""
    chips = packets.chips
    # the network of a tile may read a chip out through another of its four io_channels: they are one
    tile = chips.io_group.astype(np.int64) << 8 | (chips.io_channel.astype(np.int64) + 3) // CHANNELS_PER_TILE
    tiles, first = np.unique(tile, return_index=True)
    # io_channels are ascending, so that those of a tile stand beside each other
    counts = np.add.reduceat(chips.packets, first, axis=0) if len(first) else chips.packets
    row, chip = np.nonzero(counts)
    return KeyedCounts(tiles[row] << 8 | chip, counts[row, chip], int(counts.sum()))


def _chip_keys(detector: Any, left_out: LeftOut) -> np.ndarray | None:
    """The key of the chip of each channel, pixels first; None when a tile is read by others than four io_channels."""
    outside = left_out.keys >> 24 << 16 | ((left_out.keys >> 16 & 255) + 3) // CHANNELS_PER_TILE << 8
    outside |= left_out.keys >> 8 & 255
    if detector is None or not len(left_out.pixels):
        return outside
    table, pixels = detector.pixels, left_out.pixels
    group = table.io_group[pixels].astype(np.int64)
    tile = (table.io_channel[pixels].astype(np.int64) + 3) // CHANNELS_PER_TILE
    every = np.arange(256)
    for one in np.unique(group).tolist():
        read_by = detector.tile_of(np.full(256, one), every)
        for of_tile in np.unique(table.tile[pixels[group == one]]).tolist():
            if len(np.unique((every[read_by == of_tile] + 3) // CHANNELS_PER_TILE)) != 1:
                return None
    return np.append(group << 16 | tile << 8 | table.chip_id[pixels], outside)


def _rates(state: State) -> np.ndarray:
    """Rate of each chip that was seen [Hz], shape (n_chip,); nan where the live time is too short to tell."""
    chips = state["chips"]
    return state["live"].per_second(chips.counts, chips.keys >> 16)
