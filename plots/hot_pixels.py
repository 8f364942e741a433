"""The pixels that send most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import DATA, Bin, KeyedCounts, LeftOut, LiveTime, MergeablePlot, Packets, Ranges, Scatter, State, Trend
from plots.chip_rate import CHANNELS_PER_TILE
from plots.drawing import axes, colour, limit, say

TOP = 100
NAMED = 8
WARN_HZ, ALARM_HZ = 5, 100  # pacmon; above WARN_HZ a pixel is hot and goes to the disable list


class HotPixels(MergeablePlot):
    title = "Hottest 100 pixels"
    group = "Charge"
    fields = ("packet_type", "valid_parity", "io_group", "io_channel", "chip_id", "channel_id", "timestamp")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        live, data = LiveTime.of(packets), packets.data
        if packets.detector is None:
            return {"outside": KeyedCounts.of(_keys(data)), "live": live}
        sums, outside = packets.pixel_sums, data.select(data["pixel"] < 0)
        pixels = Scatter(sums.size, sums.index, sums.packets)
        return {"packets": pixels, "outside": KeyedCounts.of(_keys(outside)), "live": live}

    def without(self, state: State, left_out: LeftOut) -> State | None:
        outside = state["outside"]
        if len(outside.keys) >= KeyedCounts.LIMIT:  # those that have found no place would take that of others
            return None
        made = left_out.cleared(state, "packets")
        kept = ~np.isin(outside.keys, left_out.keys)
        total = outside.total - int(outside.counts[~kept].sum())
        made["outside"] = KeyedCounts(outside.keys[kept], outside.counts[kept], total)
        return made

    def sent(self, state: State, left_out: LeftOut) -> np.ndarray | None:
        outside = state["outside"]
        if len(outside.keys) >= KeyedCounts.LIMIT:
            return None
        place = np.searchsorted(outside.keys, left_out.keys)
        known = np.append(outside.keys, -1)[place] == left_out.keys
        of_keys = np.where(known, np.append(outside.counts, 0)[place], 0)
        of_pixels = state["packets"][left_out.pixels] if state.detector is not None else np.zeros(0, np.int64)
        return np.append(of_pixels, of_keys)

    def draw(self, state: State, fig: go.Figure) -> None:
        top = hottest(state)
        rates = state["live"].per_second(top.counts, top.io_group)
        known = np.isfinite(rates)
        fig.add_trace(
            go.Bar(
                x=np.arange(1, len(rates) + 1),
                y=rates,
                marker={"color": [colour(group) for group in top.io_group.tolist()]},
                customdata=[[label, count] for label, count in zip(top.labels, top.counts.tolist(), strict=True)],
                hovertemplate="%{customdata[0]}<br>%{y:.4g} Hz, %{customdata[1]:,} packets<extra></extra>",
            )
        )
        if not len(rates):
            say(fig, "No data packets yet")
        elif not known.any():
            say(fig, "Live time below 1 s: no rates yet")
        else:
            limit(fig, WARN_HZ)
            _name_thehottest(fig, top.labels, rates)
        axes(fig, x="pixel, hottest first (io_group-io_channel-chip-channel)", y="rate [Hz]")

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        ids = clicked.label.split("-")
        if len(ids) != 4 or not all(part.isascii() and part.isdecimal() and len(part) < 4 for part in ids):
            return None
        group, channel, chip, number = map(int, ids)
        # the network of a tile may have read it out through another of the four io_channels of its tile
        first = (channel - 1) // CHANNELS_PER_TILE * CHANNELS_PER_TILE + 1
        of_tile = (first, first + CHANNELS_PER_TILE - 1)
        ranges: Ranges = {"io_group": (group, group), "io_channel": of_tile, "chip_id": (chip, chip)}
        return {**DATA, **ranges, "channel_id": (number, number)}

    def trends(self, state: State) -> dict[str, Trend]:
        every, groups = _all_counts(state)
        rates = state["live"].per_second(every, groups)
        known = rates[np.isfinite(rates)]
        reason = "live time below 1 s" if len(every) else "no data packets"
        hot = int(np.count_nonzero(known > WARN_HZ)) if len(known) else None
        return {
            "hot_pixels": Trend(hot, "pixels", warn=(None, 0), reason=reason),
            "top_pixel_rate_hz": Trend(
                known.max() if len(known) else None, "Hz", warn=(None, WARN_HZ), alarm=(None, ALARM_HZ), reason=reason
            ),
            # whether a geometry is known or not: channels that sent at least one data packet of valid parity
            "active_channels": Trend(int(np.count_nonzero(every)), "channels"),
        }


def _name_thehottest(fig: go.Figure, labels: list[str], rates: np.ndarray) -> None:
    """The first few by name in the empty corner: which to disable is what the plot is opened for."""
    lines = [f"line: {WARN_HZ} Hz, hot above"] + [
        f"{label}: {rate:.3g} Hz" for label, rate in zip(labels[:NAMED], rates[:NAMED].tolist(), strict=True)
    ]
    text, corner = "<br>".join(lines), {"x": 1, "y": 1, "xanchor": "right", "yanchor": "top"}
    fig.add_annotation(text=text, showarrow=False, xref="paper", yref="paper", align="right", **corner)


@dataclass(frozen=True)
class Hottest:
    """Channels with most packets, most first: counts, io_groups, and labels ``io_group-io_channel-chip-channel``."""

    counts: np.ndarray
    io_group: np.ndarray
    labels: list[str]


def _keys(data: Packets) -> np.ndarray:
    """One integer for each (io_group, io_channel, chip, channel), shape (n,)."""
    wide = data["io_group"].astype(np.int64)
    return ((wide << 8 | data["io_channel"]) << 8 | data["chip_id"]) << 8 | data["channel_id"]


def _all_counts(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Counts and io_groups of all pixels of the detector, then of the channels outside it."""
    outside = state["outside"]
    counts, groups = outside.counts, outside.keys >> 24
    if state.detector is not None:
        counts = np.append(state["packets"], counts)
        groups = np.append(state.detector.pixels.io_group, groups)
    return counts, groups


def hot(state: State) -> np.ndarray:
    """The keys (as `_keys` has them) of the channels above WARN_HZ."""
    counts, groups = _all_counts(state)
    rates = state["live"].per_second(counts, groups)
    chosen = np.flatnonzero(np.nan_to_num(rates) > WARN_HZ)
    keys = state["outside"].keys
    if state.detector is not None:
        table = state.detector.pixels
        ids = (
            column.astype(np.int64) for column in (table.io_group, table.io_channel, table.chip_id, table.channel_id)
        )
        group, channel, chip, place = ids
        keys = np.append(((group << 8 | channel) << 8 | chip) << 8 | place, keys)
    return keys[chosen]


def hottest(state: State) -> Hottest:
    """The TOP channels with most packets, most first; equal ones in the order of their ids."""
    counts, groups = _all_counts(state)
    order = np.argsort(-counts, kind="stable")[:TOP]
    order = order[counts[order] > 0]
    n_pixels = len(counts) - len(state["outside"].keys)
    labels = []
    for place in order.tolist():
        if place < n_pixels:
            labels += state.detector.labels(np.array([place]))
        else:
            key = int(state["outside"].keys[place - n_pixels])
            labels.append(f"{key >> 24}-{key >> 16 & 255}-{key >> 8 & 255}-{key & 255}")
    return Hottest(counts[order], groups[order], labels)
