"""Layout of one enlarged plot of a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dash import dcc, html

from dqm.views.pixels import PLOT, link, seconds
from dqm.views.run_page import PlotPage, RunPage, plot_page
from dqm.views.site import Site
from layouts.components.graph import figure_area, plot_link
from layouts.components.mask_panel import asked_mask, mask_panel, mask_words
from layouts.components.steady import steady
from layouts.components.words import empty, extra, run_mark
from layouts.pages.run.layout import (
    asks_window,
    cover_of,
    neighbours,
    no_run,
    numbers_table,
    run_link,
    window_switch,
    wrong_words,
)

BODY, SHOWN = "plot-body", "plot-shown"


def layout(site: Site, query: dict[str, str], run: str, plot: str) -> html.Div:
    in_window, mask = asks_window(query), asked_mask(query)
    shown = steady(BODY, plot_of(plot_page(site, run, plot, in_window, mask), run, plot))
    return html.Div([dcc.Store(id=SHOWN, data=[run, plot, in_window, mask, []]), shown], className="enlarged")


def plot_of(found: PlotPage | RunPage | None, run: str, plot: str, look: tuple[str, ...] = ()) -> list[Any]:
    """The whole page; words when there is no such run or plot. The figure has its place, whatever stands above it."""
    if not isinstance(found, PlotPage):
        return [_nothing(found, run, plot)]
    page, tile = found.page, found.tile
    mask = page.mask.address if tile.without and tile.without.masked else ""
    area = figure_area(
        page.run.key,
        plot,
        tile.version,
        toolbar=True,
        fill=True,
        in_window=page.in_window,
        click=_click(found),
        mask=mask,
        at_once=tile.at_once,
    )
    return [html.Div(_head(found, run)), area, html.Div(_numbers(found)), mask_panel(page, look)]


def _click(found: PlotPage) -> str:
    """Where a click on the figure leads: from the map one level down, from a bin to its packets."""
    run = quote(found.page.run.key, safe="")
    if found.tile.plot == PLOT:
        return f"runs/{run}/io_group/"
    if not found.tile.behind:
        return ""
    page = found.page
    times = f"&where={quote(seconds(*page.window))}" if page.in_window and page.window else ""
    return f"runs/{run}/rows?plot={quote(found.tile.plot, safe='')}{times}"


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
        html.A(
            "◀ back to the run (Esc)", id="up", href=run_link(run, page.in_window, page.mask_key), className="button"
        ),
        _step(run, found.previous, "previous-plot", "▲ previous plot (k)", page),
        _step(run, found.next, "next-plot", "▼ next plot (j)", page),
        window_switch(
            page, plot_link(run, tile.plot, mask=page.mask_key), plot_link(run, tile.plot, True, page.mask_key)
        ),
        neighbours(page.before, page.behind, tile.plot),
    ]
    name = [html.H2(tile.title), html.Span(f"run {page.run.key}", className="weak"), run_mark(page.state), log]
    title = html.Div(name, className="run-head")
    words = [*mask_words(tile, page.mask), *[wrong_words(number) for number in tile.wrong]]
    if tile.plot == PLOT:
        href = link("detector", "", run, in_window=page.in_window)
        down = html.A("pixels one by one", id="to-pixels", href=href, className="button")
        title.children.append(down)
    elif tile.behind:
        whose = ", of all channels" if page.mask else ""
        title.children.append(html.Span(f"a click on a bin shows its packets{whose}", className="weak"))
    return [html.Div(links, className="links"), title, html.P(cover_of(tile, page), className="cover"), *words]


def _step(run: str, plot: str | None, id: str, text: str, page: RunPage) -> Any:
    if plot is None:
        return html.Span(text, className="button off", **extra(aria_disabled="true"))
    return html.A(text, id=id, href=plot_link(run, plot, page.in_window, page.mask_key), className="button")


def _numbers(found: PlotPage) -> Any:
    """Its numbers with their limits."""
    if not found.numbers:
        return html.P("This plot has no numbers to follow.", className="weak")
    return html.Section([html.H3("Numbers"), numbers_table(found.numbers, titled=False)])
