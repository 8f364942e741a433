"""A map of pixels: its place, and where its values come from. assets/pixels.js fetches and paints it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from dash import html

from dqm.views.pixels import Quantity
from layouts.components.words import extra

DOWN = {
    "detector": "runs/{run}/io_group/{io_group}?value={value}",
    "io_group": "runs/{run}/tile/{tile}?value={value}",
    "tile": "runs/{run}/chip/{io_group}-{io_channel}-{chip}?value={value}",
    "chip": "channels/{io_group}-{io_channel}-{chip}-{channel}?run={run}",
}
"""Where a click on a pixel leads from each level; the browser puts the ids of the pixel in."""


def pixel_map(
    run_key: str,
    run: str,
    level: str,
    text: str,
    quantity: Quantity,
    geometry: str,
    version: int,
    name: str,
    below: str,
    in_window: bool = False,
) -> html.Div:
    """The map of one level; `run` is as the URL has it (it may be ``latest``), `run_key` is the run itself."""
    down = DOWN[level].replace("{run}", quote(run, safe="")).replace("{value}", quantity.name)
    values = f"api/v1/runs/{quote(run_key, safe='')}/pixels?value={quantity.name}"
    if in_window:
        values += "&window=true"
        down += "&window=1"
    attributes: Any = extra(
        data_pixels=values, data_geometry=geometry, data_version=str(version), data_level=level, data_place=text,
        data_title=quantity.title, data_unit=quantity.unit, data_down=down, data_below=below,
    )  # fmt: skip
    return html.Div(className="pixels", role="img", **attributes, **extra(aria_label=name))


def rows_link(run: str, **asked: str) -> str:
    """The page of the packets behind something."""
    return f"/runs/{quote(run, safe='')}/rows?{urlencode(asked)}"


def breadcrumbs(above: list[tuple[str, str]], here: str) -> html.Nav:
    """The way from the run down to here; the last link above is where Esc leads."""
    links = [
        html.A(name, href=href, **(extra(id="up") if place == len(above) - 1 else {}))
        for place, (name, href) in enumerate(above)
    ]
    parts: list[Any] = [part for one in links for part in (one, html.Span("›", className="weak"))]
    hint = html.Span("Esc: one level up", className="weak hint")
    return html.Nav(
        [*parts, html.Span(here, **extra(aria_current="page")), hint], className="breadcrumbs",
        **extra(aria_label="Where this is", data_up="level"),
    )  # fmt: skip
