"""How plots look: the same colours, axes and words on every one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import plotly.graph_objects as go

# Okabe and Ito, "Color Universal Design" (2008), in their order; io_group n always has colour n. Their yellow (#F0E442)
# is darker and their black grey here, so that a line shows on white and on dark ground.
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#8F8B00", "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A")
OUTSIDE_MAP = "#c9b8a3"
"""Pixels without a value: a colour that viridis does not have."""
LIMIT_LINE = {"color": "#888888", "width": 1, "dash": "dot"}


def colour(number: int) -> str:
    """The colour of io_group (or class) `number`, counted from 1."""
    return OKABE_ITO[(number - 1) % len(OKABE_ITO)]


def axes(fig: go.Figure, x: str, y: str, **y_options: object) -> None:
    """Axis titles (with their units) and a quiet frame."""
    frame: dict[str, dict[str, object]] = {
        "xaxis": {"title": {"text": x}, "zeroline": False},
        "yaxis": {"title": {"text": y}, "zeroline": False, "rangemode": "tozero", **y_options},
        "margin": {"l": 64, "r": 16, "t": 16, "b": 48},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    }
    for part, options in frame.items():  # one by one: update_layout takes five times as long
        fig.layout[part] = fig.layout[part].to_plotly_json() | options


def say(fig: go.Figure, text: str) -> None:
    """A sentence in the middle of a figure that has nothing to show: no ticks and no grid, for there is no scale."""
    bare = {"showgrid": False, "showticklabels": False, "zeroline": False}
    fig.update_layout(xaxis=bare, yaxis=bare)
    fig.add_annotation(text=text, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font={"size": 14})


def steps(fig: go.Figure, x: np.ndarray | Sequence, y: np.ndarray, name: str, colour: str, **options: object) -> None:
    """A histogram as steps, its bins centred on `x`."""
    line = {"shape": "hvh", "color": colour, "width": 1.5}
    fig.add_trace(go.Scatter(x=x, y=y, name=name, mode="lines", line=line, **options))


def time_steps(fig: go.Figure, edges: np.ndarray, y: np.ndarray, name: str, colour: str) -> None:
    """Values over time as steps between `edges` [unix s], shape (n + 1,); nan leaves a gap."""
    line = {"shape": "hv", "color": colour, "width": 1.5}
    fig.add_trace(go.Scatter(x=utc(edges), y=np.append(y, y[-1:]), name=name, mode="lines", line=line))


def time_axis(fig: go.Figure, edges: np.ndarray, weights: np.ndarray) -> None:
    """Says that the outer seconds are not whole, and starts on where the packets are: a wrong stamp would squeeze the rest.

    After `axes`. `edges` [unix s], shape (n + 1,); `weights`, shape (n,): packets in each bin, nan in gaps.
    """
    left_out = len(weights) and np.isnan(weights[-1])
    note = (
        "without the first and last second, which are not whole" if left_out else "first and last second are not whole"
    )
    weights = np.nan_to_num(weights)
    if len(weights) and weights.sum():
        inner = np.searchsorted(np.cumsum(weights) / weights.sum(), [0.01, 0.99])
        first, last = int(edges[inner[0]]), int(edges[inner[1] + 1])
        if edges[-1] - edges[0] > 20 * (last - first + 60):
            margin = (last - first) // 10 + 1
            fig.update_layout(xaxis_range=utc(np.array([first - margin, last + margin])))
            note = "some stamps lie far outside: double-click to see all"
    fig.update_layout(xaxis_title_text=f"time (UTC), {note}")


def limit(fig: go.Figure, value: float, text: str = "", axis: str = "y", behind: bool = False) -> None:
    """A threshold as a thin line across the figure, with its words; `axis` is that of the value.

    Words of a value of x stand before its line, or `behind` it.
    """
    ends = {"y0": value, "y1": value, "x0": 0, "x1": 1, "xref": "x domain", "yref": "y"}
    words: dict[str, object] = {
        "x": 1,
        "xref": "x domain",
        "y": value,
        "yref": "y",
        "xanchor": "right",
        "yanchor": "bottom",
    }
    if axis == "x":
        ends = {"x0": value, "x1": value, "y0": 0, "y1": 1, "xref": "x", "yref": "y domain"}
        words = {
            "x": value,
            "xref": "x",
            "y": 1,
            "yref": "y domain",
            "xanchor": "left" if behind else "right",
            "yanchor": "top",
            "textangle": -90,
        }
    # not add_hline: that takes 5 ms for each
    fig.layout.shapes = [*fig.layout.shapes, {"type": "line", "line": LIMIT_LINE, **ends}]
    if text:
        note = {"text": text, "font": {"size": 10}, "showarrow": False, **words}
        fig.layout.annotations = [*fig.layout.annotations, note]


def utc(seconds: np.ndarray) -> list[str]:
    """Unix seconds as times that Plotly reads, UTC."""
    return [datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S") for second in seconds.tolist()]
