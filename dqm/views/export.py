"""Figures and trends of a processed file as JSON: no NaN, times in UTC."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import orjson

from dqm.checks.range_check import judge
from dqm.results import FileReport
from plots.base import MEMORY, Trend, check_figure
from plots.harmless import harmless


def figure_json(figure: Any) -> str:
    """A Plotly figure as JSON, harmless, and without the memory that a plot may keep in it.

    TypeError for anything else, Harmful for one that cannot be made harmless.
    """
    check_figure(figure)
    content = harmless(orjson.loads(figure.to_json(engine="orjson")))
    meta = content.get("layout", {}).get("meta")
    if isinstance(meta, dict) and MEMORY in meta:
        meta = {key: value for key, value in meta.items() if key != MEMORY}
        content["layout"] = {key: value for key, value in content["layout"].items() if key != "meta"}
        content["layout"] |= {"meta": meta} if meta else {}
    return orjson.dumps(content).decode()


def trend_json(trend: Trend) -> dict[str, Any]:
    """Value and unit; with a reason when the value is null, and the verdict when there are limits to judge by."""
    data: dict[str, Any] = {"value": trend.value, "unit": trend.unit}
    if trend.value is None and trend.reason:
        data["reason"] = trend.reason
    if verdict := judge(trend):
        data["quality"] = verdict.quality.name.lower()
    return data


def trends_json(report: FileReport) -> dict[str, Any]:
    """``{"PlotName.trend": {"value": ..., "unit": ...}}`` of all plots of a file."""
    return {
        f"{element.name}.{name}": trend_json(trend)
        for element in report.elements
        for name, trend in sorted(element.trends.items())
    }


def summary_json(report: FileReport) -> dict[str, Any]:
    """One file as ``process --json`` prints it: what ``inspect`` says, trends, and plots that gave none."""
    return {
        **report.to_json(),
        "trends": trends_json(report),
        "broken": {element.name: element.broken for element in report.broken},
        "unavailable": {element.name: element.unavailable for element in report.elements if element.unavailable},
    }


def folder_of(path: Path, taken: set[str]) -> str:
    """A folder name for a file: its name, and a number when another file of that name was there before."""
    name = re.sub(r"[\x00-\x1f/\\]", "_", path.name) or "_"
    choice, number = name, 1
    while choice in taken:
        number += 1
        choice = f"{name}~{number}"
    taken.add(choice)
    return choice


def write_figures(report: FileReport, folder: Path) -> None:
    """``<PlotName>.json`` for each figure and ``trends.json``, each written whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for element in report.elements:
        if element.figure is None:
            (folder / f"{element.name}.json").unlink(missing_ok=True)  # of an earlier run, when it still worked
            continue
        path = folder / f"{element.name}.json"
        try:
            write_whole(path, figure_json(element.figure).encode())
        except (TypeError, ValueError) as error:
            element.fail("writing its figure", error)
            path.unlink(missing_ok=True)
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    write_whole(folder / "trends.json", orjson.dumps(trends_json(report), option=options) + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """Writes beside `path` and renames, so that nobody sees half a file, nor mixes with another writer."""
    part = new_part(path)
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def new_part(path: Path) -> Path:
    """A new hidden file beside `path`, for this writer alone."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    os.fchmod(handle, 0o644)
    os.close(handle)
    return Path(name)
