"""Layout of one enlarged plot of a run."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dqm.views.run_page import PlotPage, RunPage, plot_page
from dqm.views.site import Site
from layouts.components.graph import figure_area, plot_link
from layouts.components.steady import steady
from layouts.components.words import empty, extra, run_mark
from layouts.pages.run.layout import cover_of, neighbours, no_run, numbers_table, run_link, wrong_words

BODY, SHOWN = "plot-body", "plot-shown"


def layout(site: Site, query: dict[str, str], run: str, plot: str) -> html.Div:
    shown = steady(BODY, plot_of(plot_page(site, run, plot), run, plot))
    return html.Div([dcc.Store(id=SHOWN, data=[run, plot]), shown], className="enlarged")


def plot_of(found: PlotPage | RunPage | None, run: str, plot: str) -> list[Any]:
    """The whole page; words when there is no such run or plot. The figure has its place, whatever stands above it."""
    if not isinstance(found, PlotPage):
        return [_nothing(found, run, plot)]
    area = figure_area(found.page.run.key, plot, found.tile.version, toolbar=True, fill=True)
    return [html.Div(_head(found, run)), area, html.Div(_numbers(found))]


def _nothing(page: RunPage | None, run: str, plot: str) -> html.Div:
    if page is None:
        return no_run(run)
    up = html.A(f"Go to run {page.run.key}", id="up", href=run_link(run), className="primary button")
    if plot in page.stopped:
        title, words = page.stopped[plot]
        return empty(f"{title} is not counted for run {page.run.key}", f"It was {words}.", up)
    why = "Perhaps the plot was renamed or removed, or no file of this run has been counted by it yet."
    return empty(f"Run {page.run.key} has no plot {plot}", why, up)


def _head(found: PlotPage, run: str) -> list[Any]:
    """What it is, of which run, what is wrong with it, and where one can go from here."""
    tile, page = found.tile, found.page
    log: Any = html.Button("log scale", id="log-switch", **extra(aria_pressed="false")) if tile.log_switch else None
    links = [
        html.A("◀ back to the run (Esc)", id="up", href=run_link(run), className="button"),
        _step(run, found.previous, "previous-plot", "▲ previous plot (k)"),
        _step(run, found.next, "next-plot", "▼ next plot (j)"),
        neighbours(page.before, page.behind, tile.plot),
    ]
    name = [html.H2(tile.title), html.Span(f"run {page.run.key}", className="weak"), run_mark(page.state), log]
    title = html.Div(name, className="run-head")
    words = [wrong_words(number) for number in tile.wrong]
    return [html.Div(links, className="links"), title, html.P(cover_of(tile), className="cover"), *words]


def _step(run: str, plot: str | None, id: str, text: str) -> Any:
    if plot is None:
        return html.Span(text, className="button off", **extra(aria_disabled="true"))
    return html.A(text, id=id, href=plot_link(run, plot), className="button")


def _numbers(found: PlotPage) -> Any:
    """Its numbers with their limits."""
    if not found.numbers:
        return html.P("This plot has no numbers to follow.", className="weak")
    return html.Section([html.H3("Numbers"), numbers_table(found.numbers, titled=False)])
