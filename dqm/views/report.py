"""An interactive report as one HTML file that opens without a network: style, script, plotly.js and data inside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline

import dqm
from dqm.checks.range_check import Quality, judge
from dqm.records import Element, FileReport
from dqm.views.export import figure_json, write_whole
from dqm.views.words import quantity, time_span
from plots.base import LiveTime, Trend
from plots.discovery import Broken

ASSETS = Path(dqm.__file__).parent.parent / "assets"
WIDE = 400
"""A figure higher than this [px] gets a row of its own."""
ORDER = {Quality.BAD: 0, Quality.SUSPECT: 1, Quality.UNKNOWN: 2, None: 3, Quality.GOOD: 4}


@dataclass(frozen=True)
class TrendRow:
    plot: str
    title: str
    name: str
    shown: str
    exact: str
    state: str
    """Name of the state class: good, suspect, bad, unknown, or empty when there are no limits."""
    word: str
    reason: str


def write_report(reports: list[FileReport], path: Path, broken: list[Broken]) -> None:
    """Writes the report of `reports` to `path`, a page with all files, worst numbers first."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html.j2").render(
        files=[_file(number, report) for number, report in enumerate(reports)],
        broken=broken,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        version=dqm.__version__,
        style=(ASSETS / "report.css").read_text(encoding="utf-8"),
        script=(ASSETS / "report.js").read_text(encoding="utf-8"),
        plotly=plotly.offline.get_plotlyjs(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page.encode("utf-8", "replace"))  # names of files need not be UTF-8


def _file(number: int, report: FileReport) -> dict[str, Any]:
    """What the template shows of one file."""
    cover = _coverage(report)
    tiles = [_tile(f"figure-{number}-{place}", element, cover) for place, element in enumerate(report.elements)]
    return {
        "id": f"file-{number}",
        "wide": WIDE,
        "name": report.path.name,
        "report": report,
        "rows": "no rows" if report.rows is None else f"{report.rows:,} packets",
        "times": time_span(report.start, report.end),
        "trends": trend_rows(report),
        # wide ones last, so that they leave no holes in the grid
        "tiles": sorted(tiles, key=lambda tile: tile["height"] > WIDE),
    }


def _tile(id: str, element: Element, cover: str) -> dict[str, Any]:
    data = ""
    if element.figure is not None:
        try:
            # the only characters that could end a script element or open a comment in it
            data = figure_json(element.figure).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        except (TypeError, ValueError) as error:
            element.fail("writing its figure", error)
    return {"id": id, "element": element, "data": data, "cover": cover, "height": _height(element)}


def _height(element: Element) -> int:
    layout = getattr(element.figure, "layout", None)
    return int(getattr(layout, "height", None) or 340)


def _coverage(report: FileReport) -> str:
    """What part of the file a figure covers: rows and live time."""
    if report.rows is None:
        return ""
    live = next(
        (leaf for e in report.elements for leaf in (e.state or {}).values() if isinstance(leaf, LiveTime)), None
    )
    share = "part of the file" if report.state == "partial" else "whole file"
    return f"{share}, {report.rows:,} packets" + (f", {live.longest():.3g} s live" if live else "")


def trend_rows(report: FileReport) -> list[TrendRow]:
    """All trends of a file, worst first, each with its verdict in words."""
    rows = []
    for element in report.elements:
        for name, trend in element.trends.items():
            verdict = judge(trend)
            quality = verdict.quality if verdict else None
            reason = (
                trend.reason
                if trend.value is None
                else (verdict.reason if verdict and quality is not Quality.GOOD else "")
            )
            shown = quantity(trend.value, trend.unit)
            state, word = (quality.name.lower(), quality.value) if quality else ("", "")
            row = TrendRow(element.name, element.plot.title, name, shown, _exact(trend), state, word, reason)
            rows.append((ORDER[quality], row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _exact(trend: Trend) -> str:
    return "" if trend.value is None else f"{trend.value!r} {trend.unit}"
