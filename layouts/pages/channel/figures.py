"""Figures of a channel: rate, mean and standard deviation over runs; its ADC spectrum."""

from __future__ import annotations

from typing import Any

from dqm.views.channel_page import Life
from dqm.views.trend_page import stamps
from dqm.views.words import quantity

COLOURS = {"rate": "#0072B2", "mean": "#E69F00", "std": "#009E73"}
TITLES = {"rate": "rate [Hz]", "mean": "mean [ADC]", "std": "std [ADC]"}
UNITS = {"rate": "Hz", "mean": "ADC", "std": "ADC"}
SILENT = "#e03131"
BOX_PX, GAP_PX, TOP_PX, BOTTOM_PX = 120, 18, 10, 44
HEIGHT_PX = TOP_PX + BOTTOM_PX + 3 * BOX_PX + 2 * GAP_PX


def biography(life: Life, zone: str) -> dict[str, Any]:
    """One box for each number above a common axis of time; runs without a packet are crosses on the lowest line."""
    timed = [point for point in reversed(life.points) if point.start is not None]
    x = stamps((point.start or 0.0 for point in timed), zone)
    inner = HEIGHT_PX - TOP_PX - BOTTOM_PX
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": HEIGHT_PX, "margin": {"l": 64, "r": 16, "t": TOP_PX, "b": BOTTOM_PX}, "showlegend": False,
        "xaxis": {"type": "date", "title": {"text": f"start of the run ({zone})"}, "anchor": "y3"},
    }  # fmt: skip
    for place, name in enumerate(TITLES):
        top = 1 - place * (BOX_PX + GAP_PX) / inner
        axis = "" if not place else str(place + 1)
        layout[f"yaxis{axis}"] = {
            "domain": [max(top - BOX_PX / inner, 0), top], "title": {"text": TITLES[name]}, "rangemode": "tozero",
            "zeroline": False, "nticks": 4,
        }  # fmt: skip
        values = [getattr(point, name) for point in timed]
        shown = [[point.run, quantity(value, UNITS[name])] for point, value in zip(timed, values, strict=True)]
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "x": x, "y": values, "yaxis": f"y{axis}", "customdata": shown,
                "connectgaps": False, "line": {"color": COLOURS[name], "width": 1.2}, "marker": {"size": 5},
                "name": TITLES[name], "hovertemplate": "run %{customdata[0]}, %{x}<br>%{customdata[1]}<extra></extra>",
            }
        )  # fmt: skip
    silent = [(stamp, point.run) for stamp, point in zip(x, timed, strict=True) if point.packets == 0]
    traces.append(
        {
            "type": "scatter", "mode": "markers", "x": [stamp for stamp, _ in silent], "y": [0] * len(silent),
            "cliponaxis": False,
            "customdata": [run for _, run in silent], "marker": {"symbol": "x", "color": SILENT, "size": 8},
            "name": "no packet", "hovertemplate": "run %{customdata}, %{x}<br>no packet<extra></extra>",
        }
    )  # fmt: skip
    return {"data": traces, "layout": layout}


def spectrum(counts: list[int]) -> dict[str, Any]:
    """Packets by ADC count."""
    line = {"shape": "hvh", "width": 1.5, "color": COLOURS["rate"]}
    occupied = [adc for adc, count in enumerate(counts) if count]
    low, high = (max(occupied[0] - 5, 0), min(occupied[-1] + 5, 255)) if occupied else (0, 255)
    return {
        "data": [
            {
                "type": "scatter", "mode": "lines", "x": list(range(256)), "y": counts, "line": line, "name": "packets",
                "hovertemplate": "%{x} ADC: %{y:,}<extra></extra>",
            }
        ],
        "layout": {
            "height": 260, "margin": {"l": 64, "r": 16, "t": 10, "b": 44}, "showlegend": False,
            "xaxis": {"title": {"text": "dataword [ADC]"}, "range": [low, high], "zeroline": False},
            "yaxis": {"title": {"text": "packets per ADC count"}, "rangemode": "tozero", "zeroline": False},
        },
    }  # fmt: skip
