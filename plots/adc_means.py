"""How mean and standard deviation are distributed over the channels, in the bulk of a tile and at its edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import LeftOut, MergeablePlot, Packets, Scatter, State, Trend
from plots.drawing import axes, say, steps
from plots.tile_rate import NO_GEOMETRY

BIN = 2  # ADC
COLOURS = {("mean", False): "#0072B2", ("mean", True): "#56B4E9", ("std", False): "#D55E00", ("std", True): "#E69F00"}


class AdcMeans(MergeablePlot):
    title = "Mean and standard deviation of the channels"
    group = "Charge"
    fields = ("packet_type", "valid_parity", "io_group", "io_channel", "chip_id", "channel_id", "dataword")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        if packets.detector is None:
            return {}
        sums = packets.pixel_sums
        return {
            "packets": Scatter(sums.size, sums.index, sums.packets),
            "adc": Scatter(sums.size, sums.index, sums.adc),
            "adc_squared": Scatter(sums.size, sums.index, sums.adc_squared),
        }

    def without(self, state: State, left_out: LeftOut) -> State:
        return left_out.cleared(state, "packets", "adc", "adc_squared")

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="mean, standard deviation [ADC]", y=f"channels per {BIN} ADC")
        if state.detector is None:
            say(fig, NO_GEOMETRY.capitalize())
            return
        if not state["packets"].any():
            say(fig, "No data packets yet")
            return
        edge = at_the_edge(state.detector)
        for quantity, values in zip(("mean", "std"), moments(state), strict=True):
            for where in (False, True):
                known = values[np.isfinite(values) & (edge == where)]
                counts = np.bincount((known // BIN).astype(np.int64), minlength=256 // BIN)
                name = f"{'mean' if quantity == 'mean' else 'standard deviation'}, {'edges' if where else 'bulk'}"
                steps(fig, np.arange(len(counts)) * BIN + BIN / 2, counts, name, COLOURS[quantity, where])

    def trends(self, state: State) -> dict[str, Trend]:
        reason, mean, std = NO_GEOMETRY, None, None
        if state.detector is not None:
            reason = "no channel with data packets"
            means, stds = moments(state)
            seen = np.isfinite(means)
            mean = float(np.median(means[seen])) if seen.any() else None
            # a channel of one packet has no spread
            several = stds[state["packets"] > 1]
            std = float(np.median(several)) if len(several) else None
        return {
            "median_channel_mean": Trend(mean, "ADC", range=(0, 255), warn=(5, 200), alarm=(None, 250), reason=reason),
            "median_channel_std": Trend(std, "ADC", range=(0, 128), alarm=(None, 127), reason=reason),
        }


def moments(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each pixel [ADC], each shape (n_pixel,); nan without packets."""
    counts = state["packets"]
    hit = counts > 0
    mean = np.divide(state["adc"], counts, out=np.full(len(counts), np.nan), where=hit)
    square = np.divide(state["adc_squared"], counts, out=np.full(len(counts), np.nan), where=hit)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def at_the_edge(detector: Any) -> np.ndarray:
    """Whether a pixel lies in the outermost row or column of its tile, shape (n_pixel,)."""
    table = detector.pixels
    edge = np.zeros(len(table), bool)
    for tile in np.unique(table.tile):
        rows = np.flatnonzero(table.tile == tile)
        y, z = table.y[rows], table.z[rows]
        edge[rows] = (y == y.min()) | (y == y.max()) | (z == z.min()) | (z == z.max())
    return edge
