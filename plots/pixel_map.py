"""Mean, spread and rate of every pixel, on the anode planes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import LeftOut, LiveTime, MergeablePlot, Packets, Scatter, State, Trend
from plots.drawing import OUTSIDE_MAP, say
from plots.tile_rate import NO_GEOMETRY

QUANTITIES = {"Mean": "ADC", "Standard deviation": "ADC", "Rate": "Hz"}
PANEL_COLUMNS = 8
# A chip counts as silent when nothing came from it though its tile led to expect so much that its chance of sending
# nothing is below this (Poisson). Tracks come in clusters, so that in a run of seconds some chips are listed that no track
# has crossed yet: they are candidates, and no limits are set on their number.
CHANCE = 0.01


class PixelMap(MergeablePlot):
    title = "Pixels: mean, standard deviation and rate"
    group = "Charge"
    fields = ("packet_type", "valid_parity", "io_group", "io_channel", "chip_id", "channel_id", "dataword", "timestamp")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        live = {"live": LiveTime.of(packets)}
        if packets.detector is None:
            return live
        sums = packets.pixel_sums
        return {
            "packets": Scatter(sums.size, sums.index, sums.packets),
            "adc": Scatter(sums.size, sums.index, sums.adc),
            "adc_squared": Scatter(sums.size, sums.index, sums.adc_squared),
            **live,
        }

    def without(self, state: State, left_out: LeftOut) -> State:
        return left_out.cleared(state, "packets", "adc", "adc_squared")

    def draw(self, state: State, fig: go.Figure) -> None:
        if state.detector is None:
            _empty_axes(fig)
            say(fig, NO_GEOMETRY.capitalize())
            return
        values, planes = values_of(state), state.detector.planes
        # all at once: Plotly copies what is there already for each that is added
        fig.add_traces(
            [
                _image(number, plane, quantity, unit, plane.image(values[quantity]))
                for number, plane in enumerate(planes)
                for quantity, unit in QUANTITIES.items()
            ]
        )
        for number in range(len(planes)):
            _panel(fig, number, len(planes))
        fig.layout.annotations = [_name(number, plane) for number, plane in enumerate(planes)]
        _scales_and_buttons(fig, values, len(planes))

    def trends(self, state: State) -> dict[str, Trend]:
        if state.detector is None:
            unknown = {"active_pixels": "pixels", "silent_chip_candidates": "chips"}
            return {name: Trend(None, unit, reason=NO_GEOMETRY) for name, unit in unknown.items()}
        active = int(np.count_nonzero(state["packets"]))
        silent = len(silent_chips(state)) if active else None
        return {
            "active_pixels": Trend(active, "pixels", range=(0, len(state.detector.pixels))),
            "silent_chip_candidates": Trend(silent, "chips", reason="no data packets"),
        }


def values_of(state: State) -> dict[str, np.ndarray]:
    """Mean and standard deviation [ADC] and rate [Hz] of every pixel, each shape (n_pixel,); nan without a packet.

    The rate is nan too where the io_group was alive for less than a second.
    """
    counts = state["packets"]
    hit = counts > 0
    mean = np.divide(state["adc"], counts, out=np.full(len(counts), np.nan), where=hit)
    square = np.divide(state["adc_squared"], counts, out=np.full(len(counts), np.nan), where=hit)
    rate = state["live"].per_second(counts, state.detector.pixels.io_group)
    return {
        "Mean": mean,
        "Standard deviation": np.sqrt(np.maximum(square - mean**2, 0)),
        "Rate": np.where(hit, rate, np.nan),
    }


def silent_chips(state: State) -> list[str]:
    """``io_group-io_channel-chip`` of chips without a packet where chance cannot explain it (Poisson, see CHANCE)."""
    table = state.detector.pixels
    key = table.tile.astype(np.int64) * 256 + table.chip_id
    chips, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    per_chip = np.bincount(inverse, weights=state["packets"], minlength=len(chips))
    # one hot pixel must not raise what is expected of its neighbours: take the median chip of the tile
    expected = np.zeros(len(chips))
    for tile in np.unique(chips // 256):
        of_tile = chips // 256 == tile
        expected[of_tile] = np.median(per_chip[of_tile])
    silent = (per_chip == 0) & (np.exp(-expected) < CHANCE)
    rows = first[silent]
    ids = zip(table.io_group[rows], table.io_channel[rows], table.chip_id[rows], strict=True)
    return ["-".join(map(str, chip)) for chip in ids]


def _axis(kind: str, number: int) -> str:
    return f"{kind}axis{number + 1 if number else ''}"


def _empty_axes(fig: go.Figure) -> None:
    fig.update_layout(xaxis={"title": {"text": "z [cm]"}}, yaxis={"title": {"text": "y [cm]"}})


def _panel(fig: go.Figure, number: int, n_planes: int) -> None:
    """Axes of one anode plane in a grid of panels, drawn to scale."""
    columns = min(PANEL_COLUMNS, n_planes)
    rows = -(-n_planes // columns)
    row, column = divmod(number, columns)
    width, height = 1 / columns, 1 / rows
    left, top = column * width, 1 - row * height
    number_text = str(number + 1) if number else ""
    # set one by one: update_layout takes several times as long
    fig.layout[_axis("x", number)] = {
        "domain": [left + 0.004, left + width - 0.004],
        "anchor": f"y{number_text}",
        "title": {"text": "z [cm]"},
        "scaleanchor": f"y{number_text}",
        "showgrid": False,
        "zeroline": False,
        "constrain": "domain",
    }
    fig.layout[_axis("y", number)] = {
        "domain": [top - height + 0.1 / rows, top - 0.06 / rows],
        "anchor": f"x{number_text}",
        "showgrid": False,
        "zeroline": False,
        "constrain": "domain",
        # all planes zoom alike in y; only the first of a row says it
        **({"matches": "y", "showticklabels": column == 0} if number else {"title": {"text": "y [cm]"}}),
    }


def _name(number: int, plane: Any) -> dict[str, Any]:
    """The words above a panel."""
    return {
        "text": f"io_group {plane.io_group}",
        "showarrow": False,
        "xref": f"{_axis('x', number).replace('axis', '')} domain",
        "yref": f"{_axis('y', number).replace('axis', '')} domain",
        "x": 0,
        "y": 1.01,
        "yanchor": "bottom",
        "font": {"size": 11},
    }


def _image(number: int, plane: Any, quantity: str, unit: str, values: np.ndarray) -> dict[str, Any]:
    scale = list(QUANTITIES).index(quantity)
    return {
        "type": "heatmap",
        "x": plane.z.astype(np.float32),
        "y": plane.y.astype(np.float32),
        "z": values,
        "name": f"io_group {plane.io_group}",
        "meta": {"io_group": plane.io_group},
        "xaxis": f"x{number + 1 if number else ''}",
        "yaxis": f"y{number + 1 if number else ''}",
        "coloraxis": f"coloraxis{scale + 1 if scale else ''}",
        "visible": scale == 0,
        "hoverongaps": False,
        "hovertemplate": f"z %{{x:.2f}} cm, y %{{y:.2f}} cm<br>{quantity.lower()} %{{z:.4g}} {unit}"
        "<extra>%{fullData.name}</extra>",
    }


def _scales_and_buttons(fig: go.Figure, values: dict[str, np.ndarray], n_planes: int) -> None:
    """One colour scale for each quantity, common to all planes, and buttons that choose the quantity."""
    buttons = []
    for chosen, quantity in enumerate(QUANTITIES):
        shown = [place == chosen for _ in range(n_planes) for place in range(len(QUANTITIES))]
        scales = {
            f"coloraxis{place + 1 if place else ''}.showscale": place == chosen for place in range(len(QUANTITIES))
        }
        buttons.append({"label": quantity, "method": "update", "args": [{"visible": shown}, scales]})
        known = values[quantity][np.isfinite(values[quantity])]
        # a few hot pixels must not turn the rest of the map into one colour
        top = float(np.quantile(known, 0.995)) if len(known) else 1.0
        fig.layout[f"coloraxis{chosen + 1 if chosen else ''}"] = {
            "colorscale": "Viridis",
            "cmin": 0,
            "cmax": top or 1.0,
            "showscale": chosen == 0,
            "colorbar": {"title": {"text": f"{quantity} [{QUANTITIES[quantity]}]", "side": "right"}, "thickness": 12},
        }
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "x": 0, "y": 1.02, "xanchor": "left"}
    # Plotly paints the chosen button almost white in any theme, so the words on buttons are dark in any theme
    ink = {"bgcolor": "#e9ecef", "font": {"color": "#212529"}, "bordercolor": "#adb5bd"}
    fig.layout.updatemenus = [{**menu, **ink, "yanchor": "bottom", "pad": {"t": 0, "b": 0}}]
    fig.layout.plot_bgcolor = OUTSIDE_MAP
    fig.layout.margin = {"l": 48, "r": 16, "t": 56, "b": 40}
    fig.layout.height = 130 + 330 * -(-n_planes // PANEL_COLUMNS)
