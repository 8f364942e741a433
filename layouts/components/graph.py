"""Figures: the one place that says how Plotly is set up, and the tile of a run's plot.

A tile carries an address; assets/figures.js fetches the figure when the tile is in view, draws it, and keeps it fresh.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from dash import dcc, html
from dash.development.base_component import Component

from layouts.components.words import extra

REMOVED = ["sendChartToCloud", "sendDataToCloud"]
"""Nothing may be uploaded from a control room."""
CONFIG: dict[str, Any] = {
    "displayModeBar": False,
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": REMOVED,
}


def graph(id: Any, figure: Any = None, toolbar: bool = False, **properties: Any) -> dcc.Graph:
    """A figure that a callback of the page makes; its colours follow the theme by themselves."""
    config: Any = {**CONFIG, "displayModeBar": toolbar}
    given = {} if figure is None else {"figure": figure}
    return dcc.Graph(id=id, config=config, responsive=True, **given, **properties)


def figure_area(
    run_key: str, plot: str, version: int = 0, *, toolbar: bool = False, fill: bool = False, height: int | None = None,
    in_window: bool = False, click: str = "", mask: str = "", at_once: bool = False, again: str = "",
) -> html.Div:  # fmt: skip
    """Where the figure of a plot of a run (or of its window) appears, without the channels of `mask`.

    `fill`: as high as the browser allows; `height` [px]: that of the tile; `click`: an address that a click on it leads to
    with what was clicked, below the prefix of the site; `at_once`: it follows any mask by itself; `again`: changes when it
    is to be fetched though its version did not change.
    """
    options = {name: "yes" for name, wanted in (("data_toolbar", toolbar), ("data_fill", fill)) if wanted}
    options |= {"data_height": str(height)} if height else {}
    options |= {"data_click": click} if click else {}
    options |= {"data_at_once": "yes"} if at_once else {}
    options |= {"data_again": again} if again else {}
    options["data_figure"] = figure_url(run_key, plot, in_window, mask)
    return html.Div(className="figure", **extra(data_key=f"{run_key}/{plot}", data_version=str(version), **options))


def figure_url(run_key: str, plot: str, in_window: bool = False, mask: str = "") -> str:
    """Below the prefix of the site, which the browser knows."""
    asked = query(window="true" if in_window else "", mask=mask)
    return f"api/v1/runs/{quote(run_key, safe='')}/elements/{quote(plot, safe='')}/figure{asked}"


def plot_link(run_key: str, plot: str, in_window: bool = False, mask: str = "") -> str:
    """The page of the enlarged plot."""
    asked = query(window="1" if in_window else "", mask=mask)
    return f"/runs/{quote(run_key, safe='')}/{quote(plot, safe='')}{asked}"


def query(**asked: str) -> str:
    """What of this is not empty, as the query of an address."""
    given = {name: value for name, value in asked.items() if value}
    return f"?{urlencode(given)}" if given else ""


def figure_tile(
    run_key: str,
    plot: str,
    title: str,
    cover: Component | str | list[Any] = "",
    verdicts: list[Any] | None = None,
    version: int = 0,
    group: str = "",
    state: str = "",
    in_window: bool = False,
    mask: str = "",
    masked: bool = False,
    at_once: bool = False,
    again: str = "",
) -> html.Article:
    """A plot of a run: what it shows, what it covers, what is wrong with it, and its figure.

    `mask` is that of the page, `masked` whether the plot follows it.
    """
    href = plot_link(run_key, plot, in_window, mask)
    enlarge = html.A("enlarge", href=href, className="enlarge", title=f"Enlarge {title} (e)", tabIndex="-1")
    tools = html.Span([enlarge, html.Span(group, className="group-name")], className="tools")
    head = html.Div([html.H3(html.A(title, href=href)), tools], className="head")
    shown = mask if masked else ""
    area = figure_area(run_key, plot, version, in_window=in_window, mask=shown, at_once=at_once, again=again)
    words = html.Div(verdicts, className="verdicts")  # also without words: what comes and goes must not move the figure
    parts = [head, html.P(cover, className="cover"), words, area]
    return html.Article(
        [part for part in parts if part is not None],
        id=f"tile-{plot}",
        className="tile",
        tabIndex="0",
        **extra(data_plot=plot, data_state=state, aria_label=title),
    )
