"""An interactive report as one HTML file that opens without a network: style, script, plotly.js and data inside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline

import dqm
from dqm.checks.range_check import Quality, judge
from dqm.results import Element, FileReport
from dqm.views.export import figure_json, new_part
from dqm.views.words import quantity, time_span
from plots.base import LiveTime, Trend
from plots.discovery import Broken

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = Path(dqm.__file__).parent.parent / "assets"
DOCTYPE = b"<!doctype html>"
WIDE = 400
"""A figure higher than this [px] gets a row of its own."""
ORDER = {Quality.BAD: 0, Quality.SUSPECT: 1, Quality.UNKNOWN: 2, None: 3, Quality.GOOD: 4}


NOTEWORTHY = {Quality.BAD.name.lower(), Quality.SUSPECT.name.lower()}


@dataclass(frozen=True)
class TrendRow:
    plot: str
    title: str
    name: str
    shown: str
    exact: str
    state: str
    """Name of the state class: good, suspect, bad, unknown, nodata, or empty when there are no limits."""
    word: str
    reason: str


def is_report(path: Path) -> bool:
    """Whether `path` is a page that may be written over, or nothing."""
    if not path.exists():
        return True
    try:
        with open(path, "rb") as file:
            return file.read(len(DOCTYPE)).lower() == DOCTYPE
    except OSError:
        return False


class ReportWriter:
    """Writes a report file by file, so that the figures of one file are in memory at a time. The page appears when it is
    whole: until `close` it is a hidden ``.part`` beside `path`.
    """

    def __init__(self, path: Path, files: list[Path]):
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
        )
        self._template = environment.get_template
        self._path = path
        self._number = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._part = new_part(path)
        # the names of files need not be UTF-8
        self._page = open(self._part, "w", encoding="utf-8", errors="replace")  # noqa: SIM115  (closed by close)
        self._names = labels(files)
        self._write("report_head.html.j2", names=self._names, style=(ASSETS / "report.css").read_text(encoding="utf-8"))

    def add(self, report: FileReport) -> None:
        """The section of the next file: its numbers, worst first, and its figures."""
        self._write("report_file.html.j2", file=_file(self._number, self._names[self._number], report))
        self._number += 1

    def close(self, broken: list[Broken]) -> None:
        """Ends the page and puts it in its place."""
        self._write(
            "report_foot.html.j2",
            broken=broken,
            made=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
            version=dqm.__version__,
            script=(ASSETS / "report.js").read_text(encoding="utf-8"),
            plotly=plotly.offline.get_plotlyjs(),
        )
        self._page.close()
        self._part.replace(self._path)

    def abandon(self) -> None:
        """Leaves nothing behind."""
        self._page.close()
        self._part.unlink(missing_ok=True)

    def _write(self, template: str, **values: Any) -> None:
        for piece in self._template(template).generate(**values):
            self._page.write(piece)


def labels(files: list[Path]) -> list[str]:
    """What each file is called: its name, or its path where several have the name."""
    names = Counter(path.name for path in files)
    return [path.name if names[path.name] == 1 else str(path) for path in files]


def _file(number: int, name: str, report: FileReport) -> dict[str, Any]:
    """What the template shows of one file."""
    cover = _coverage(report)
    tiles = [_tile(f"figure-{number}-{place}", element, cover) for place, element in enumerate(report.elements)]
    return {
        "id": f"file-{number}",
        "wide": WIDE,
        "name": name,
        "report": report,
        "rows": "no rows" if report.rows is None else f"{report.rows:,} packets",
        "times": time_span(report.start, report.end),
        "numbers": _numbers(report),
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


def _numbers(report: FileReport) -> list[tuple[str, list[TrendRow], bool]]:
    """Tables of numbers, each with its title and whether it is open: what is wrong first, then everything else."""
    rows = trend_rows(report)
    wrong = [row for row in rows if row.state in NOTEWORTHY]
    others = [row for row in rows if row.state not in NOTEWORTHY]
    verdict = f"{len(wrong)} of {len(rows)} numbers outside their limits" if wrong else ""
    nothing = "" if wrong else ", none outside its limits"
    return [(verdict, wrong, True), (f"{len(others)} {'more ' if wrong else ''}numbers{nothing}", others, False)]


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
            if element.unavailable:  # it will not come: that is not the same as not yet
                state, word = "nodata", "NO DATA"
            row = TrendRow(element.name, element.plot.title, name, shown, _exact(trend), state, word, reason)
            rows.append((ORDER[quality], row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _exact(trend: Trend) -> str:
    return "" if trend.value is None else f"{trend.value!r} {trend.unit}"
