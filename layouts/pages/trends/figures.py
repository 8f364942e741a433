"""The picture of trends: one box for each unit above one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dqm.records import Rollup
from dqm.views.trend_page import Line, View, exact_value, limit_lines, stamps
from dqm.views.words import quantity

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999933", "#882255")
"""Okabe-Ito in fixed order; its yellow and black are not to be seen on white or on dark ground."""
OUTSIDE = {"suspect": ("triangle-up", "#e8790c"), "bad": ("x", "#e03131")}
"""Shape and colour of points outside their limits; both are seen on white and on dark ground."""
BOX_PX, GAP_PX, TOP_PX, BOTTOM_PX = 210, 34, 34, 52
FEW_RUNS = 14
FEW_POINTS = 600
FAINT = "rgba(128,128,128,0.35)"
GREY = "rgba(128,128,128,1)"


def figure(view: View, zone: str = "UTC") -> dict[str, Any]:
    """A Plotly figure of `view`, its times in `zone`."""
    boxes = boxes_of(view)
    colours = {line.name.key: COLOURS[i % len(COLOURS)] for i, line in enumerate(view.lines)}
    traces, shapes, notes = [], [], []
    layout: dict[str, Any] = {}
    height = TOP_PX + BOTTOM_PX + len(boxes) * BOX_PX + (len(boxes) - 1) * GAP_PX
    inner = height - TOP_PX - BOTTOM_PX
    for i, lines in enumerate(boxes):
        top = 1 - i * (BOX_PX + GAP_PX) / inner
        number = "" if i == 0 else str(i + 1)
        low, high = axis_range(lines)
        layout[f"yaxis{number}"] = {
            "domain": [max(top - BOX_PX / inner, 0), top],
            "title": {"text": axis_title(lines), "standoff": 6},
            "range": [low, high],
            "automargin": True,
            "zeroline": False,
            "exponentformat": "SI",
            "nticks": 6,
        }
        for line in lines:
            traces += _traces(line, zone, f"y{number}", colours[line.name.key])
            drawn = [
                _limit(line, limit, f"y{number}", len(lines) > 1)
                for limit in limit_lines(line.name)
                if low <= limit[2] <= high
            ]
            shapes += [shape for shape, _ in drawn]
            notes += [note for _, note in drawn]
    shapes += _runs(view, zone)
    notes += _run_numbers(view, zone)
    first, last = stamps((view.since, view.until), zone)
    layout["xaxis"] = {
        "type": "date",
        "range": [first, last],
        "title": {"text": f"time ({zone})"},
        "anchor": f"y{len(boxes)}" if len(boxes) > 1 else "y",
        "showspikes": True,
        "spikemode": "across",
        "spikesnap": "data",
        "spikethickness": 1,
        "spikedash": "solid",
        "spikecolor": FAINT,
    }
    return {
        "data": traces,
        "layout": layout
        | {
            "height": height,
            "margin": {"l": 72, "r": 16, "t": TOP_PX, "b": BOTTOM_PX},
            "shapes": shapes,
            "annotations": notes,
            "showlegend": False,
            "hovermode": "closest",
            "dragmode": "zoom",
            # what is zoomed stays while new points come; another choice begins anew
            "uirevision": f"{'|'.join(colours)} {first if not view.live else ''}",
        },
    }


def boxes_of(view: View) -> list[list[Line]]:
    """The lines of each unit."""
    units = dict.fromkeys(line.name.unit for line in view.lines)
    return [[line for line in view.lines if line.name.unit == unit] for unit in units]


def axis_title(lines: Sequence[Line]) -> str:
    """The name of the one trend with its unit, or the unit alone; names of several stand in the legend."""
    unit = f"[{lines[0].name.unit}]" if lines[0].name.unit else ""
    return f"{lines[0].label} {unit}".strip() if len(lines) == 1 else unit


def axis_range(lines: Sequence[Line]) -> tuple[float, float]:
    """Holds all points, the limits that are not far from them, and some room."""
    values = [point.value for line in lines for point in line.points if point.value is not None]
    values += [edge for line in lines for r in line.rollups for edge in (r.low, r.high) if edge is not None]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if low >= 0 and (low < 0.6 * high or low == high):
        low = 0.0
    span = (high - low) or abs(high) or 1.0
    near = [
        value for line in lines for _, _, value in limit_lines(line.name) if low - 2 * span <= value <= high + 2 * span
    ]
    low, high = min([low, *near]), max([high, *near])
    room = 0.07 * ((high - low) or span)
    return (low if low == 0 and not near else low - room), high + room


@dataclass(frozen=True)
class _Dot:
    """A value at its place in the picture."""

    time: float
    value: float | None
    run: str
    said: str
    file: int | None = None


def _dots(line: Line) -> list[_Dot]:
    """One for each file, or for each hour or day at its middle."""
    unit = line.name.unit
    files = [_Dot(p.time, p.value, p.run_key, exact_value(p.value, unit), p.file_id) for p in line.points]
    return files + [_Dot(r.time + r.seconds / 2, r.mean, "", _said(r, unit)) for r in line.rollups]


def _said(rollup: Rollup, unit: str) -> str:
    files = f"{rollup.count:,} file{'' if rollup.count == 1 else 's'}"
    if rollup.low is None or rollup.high is None:
        return f"no value of {rollup.unknown:,} files"
    low, high = exact_value(rollup.low, "").strip(), exact_value(rollup.high, unit)
    return f"mean {quantity(rollup.mean, unit)}, {low} to {high} in {files}"


def _traces(line: Line, zone: str, axis: str, colour: str) -> list[dict[str, Any]]:
    dots = _dots(line)
    times = stamps((dot.time for dot in dots), zone)
    few = len(dots) <= FEW_POINTS
    name = f"{line.name.plot}: {line.label}"
    place = {
        "file": "run %{customdata[0]}, file of %{x}<br>shift-click: its packets",
        "hour": "the hour around %{x}",
        "day": "the day around %{x}",
    }
    whole = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": times,
        "y": [dot.value for dot in dots],
        "yaxis": axis,
        "connectgaps": False,
        "line": {"color": colour, "width": 1.2},
        "marker": {"color": colour, "size": 5 if few else 2.5},
        "customdata": [[dot.run, dot.said, dot.file] for dot in dots],
        "hovertemplate": f"{name}<br><b>%{{customdata[1]}}</b><br>{place[line.resolution]}<extra></extra>",
    }
    return [whole, *_range(line, times, axis, colour), *_outside(line, zone, axis, whole["hovertemplate"])]


def _range(line: Line, times: list[str], axis: str, colour: str) -> list[dict[str, Any]]:
    """From the lowest to the highest file of each hour or day."""
    if not line.rollups:
        return []
    edge = {
        "type": "scatter", "mode": "lines", "x": times, "yaxis": axis, "connectgaps": False, "hoverinfo": "skip",
        "line": {"width": 0.5, "color": colour},
    }  # fmt: skip
    low = edge | {"name": f"{line.label}: lowest", "y": [rollup.low for rollup in line.rollups]}
    high = edge | {"name": f"{line.label}: highest", "y": [rollup.high for rollup in line.rollups]}
    return [low, high | {"fill": "tonexty", "fillcolor": faded(colour)}]


def faded(colour: str) -> str:
    """A colour that what lies behind it is seen through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.22)"


def _outside(line: Line, zone: str, axis: str, hover: Any) -> list[dict[str, Any]]:
    """What lies outside limits once more, as shapes: of an hour or day its lowest or highest file."""
    dots = _dots(line) if not line.rollups else _edges(line)
    marked: dict[str, list[_Dot]] = {}
    for dot in dots:
        verdict = line.verdict(dot.value)
        if verdict in OUTSIDE:
            marked.setdefault(verdict, []).append(dot)
    found = []
    for verdict, here in marked.items():
        shape, colour = OUTSIDE[verdict]
        found.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{line.label}: {verdict}",
                "x": stamps((dot.time for dot in here), zone),
                "y": [dot.value for dot in here],
                "yaxis": axis,
                "marker": {"symbol": shape, "color": colour, "size": 9},
                "customdata": [[dot.run, dot.said, dot.file] for dot in here],
                "hovertemplate": f"{verdict.upper()}<br>{hover}",
            }
        )
    return found


def _edges(line: Line) -> list[_Dot]:
    unit = line.name.unit
    edges = [(r, edge) for r in line.rollups for edge in dict.fromkeys((r.low, r.high)) if edge is not None]
    return [_Dot(r.time + r.seconds / 2, edge, "", f"{exact_value(edge, unit)}: {_said(r, unit)}") for r, edge in edges]


def _limit(line: Line, limit: tuple[str, str, float], axis: str, named: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """A thin dotted line with its value."""
    state, side, value = limit
    colour = OUTSIDE[state][1]
    shape = {
        "type": "line",
        "layer": "above",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": axis,
        "y0": value,
        "y1": value,
        "line": {"dash": "dot", "width": 1, "color": colour},
    }
    note = {
        "text": f"{state} {side} {quantity(value, line.name.unit)}" + (f" ({line.label})" if named else ""),
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "yref": axis,
        "y": value,
        "yanchor": "bottom" if side == "above" else "top",
        "showarrow": False,
        "font": {"size": 11},
    }
    return shape, note


def beyond(view: View) -> list[str]:
    """Limits that lie outside the picture, in words; lines with the same limits are named together."""
    said: dict[str, list[str]] = {}
    for lines in boxes_of(view):
        low, high = axis_range(lines)
        for line in lines:
            out = [limit for limit in limit_lines(line.name) if not low <= limit[2] <= high]
            words = ", ".join(f"{state} {side} {quantity(value, line.name.unit)}" for state, side, value in out)
            if words:
                said.setdefault(words, []).append(line.label)
    return [f"{', '.join(labels)}: {words}, outside the picture." for words, labels in said.items()]


def _runs(view: View, zone: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "line",
            "layer": "between",
            "x0": x,
            "x1": x,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"width": 1, "color": FAINT},
        }
        for x in stamps((start for start, _ in view.runs), zone)
    ]


def _run_numbers(view: View, zone: str) -> list[dict[str, Any]]:
    """Numbers at the top of the lines, where there is room for each."""
    length = view.until - view.since
    found, last = [], float("-inf")
    for (start, key), x in zip(view.runs, stamps((start for start, _ in view.runs), zone), strict=True):
        if start - last < length / FEW_RUNS:
            continue
        last = start
        place = {"x": x, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 13}
        found.append({"text": f"run {key}", "showarrow": False, "font": {"size": 11, "color": GREY}, **place})
    return found
