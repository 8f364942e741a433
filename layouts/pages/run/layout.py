"""Layout of a run's page: facts, plots with what is wrong first, numbers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dash import dcc, html

from dqm.records import Run
from dqm.views.plot_list import Broken
from dqm.views.run_page import LATEST, Number, RunPage, Tile, run_page
from dqm.views.site import Site
from dqm.views.words import number
from layouts.components.graph import figure_tile, plot_link
from layouts.components.steady import steady
from layouts.components.words import WORDS, age, empty, extra, mark, moment, run_mark, so_far

BODY, KEY = "run-body", "run-key"


def layout(site: Site, query: dict[str, str], run: str) -> html.Div:
    return html.Div([dcc.Store(id=KEY, data=run), steady(BODY, run_of(run_page(site, run), run))])


def run_of(page: RunPage | None, key: str) -> list[Any]:
    """The whole page of a run; words when there is none."""
    if page is None:
        return [no_run(key)]
    return [run_header(page, key), html.Div(stale_words(page), className="notices"), _plots(page), _numbers(page)]


def stale_words(page: RunPage) -> Any:
    """That nothing comes any more though the run goes on."""
    if page.state != "silent":
        return None
    words = html.B([" No new data for ", age(page.run.updated, ago=False), "."])
    return html.Div([mark("stale"), words, " The plots show what there was."], className="notice stale", role="status")


def no_run(key: str) -> html.Div:
    """That there is no such run, and where runs are listed."""
    runs = html.A("Go to all runs", href="/runs", className="primary button")
    if key == LATEST:
        return empty(
            "The newest run will be here", "No file has been counted yet.", html.A("Go to the board", href="/")
        )
    return empty(
        f"There is no run {key}", "No file of it has been seen. It appears here by itself when one comes.", runs
    )


def run_link(key: str) -> str:
    return f"/runs/{quote(key, safe='')}"


def run_header(page: RunPage, key: str) -> html.Section:
    """Number, times, files, state, and the way to the runs before and after."""
    run = page.run
    follows = html.Span("follows the newest run", className="tag") if key == LATEST else None
    head = [
        html.H2(f"Run {run.key}"),
        run_mark(page.state),
        so_far(run.start, run.end, run.updated, page.state == "running"),
        html.Span(run.category, className="category"),
        *[html.Span(tag, className="tag") for tag in run.tags],
        follows,
        neighbours(page.before, page.behind),
    ]
    return html.Section(
        [html.Div([part for part in head if part is not None], className="run-head"), _facts(page), _comment(run)],
        className="run-header",
    )


def neighbours(before: str | None, behind: str | None, plot: str | None = None) -> html.Span:
    """Links to the previous and the next run, to the same plot of it when one is shown."""

    def link(key: str | None, id: str, text: str) -> Any:
        if key is None:
            return html.Span(text, className="button off", **extra(aria_disabled="true"))
        href = plot_link(key, plot) if plot else run_link(key)
        return html.A(text, id=id, href=href, className="button", title=f"Run {key}")

    parts = [link(before, "previous-run", "◀ previous run"), link(behind, "next-run", "next run ▶")]
    return html.Span(parts, className="neighbours")


def _facts(page: RunPage) -> html.P:
    run = page.run
    files = f"{run.files} file{'s' if run.files != 1 else ''}"
    growing = f", {run.growing} still growing" if run.growing else ""
    parts: list[Any] = [
        html.Span(["from ", moment(run.start, unknown="an unknown time"), " to ", moment(run.end)]),
        html.Span([html.B(number(run.packets)), " packets"]),
        html.Span([html.A(files, href=f"/files?run={quote(run.key, safe='')}"), growing]),
        html.Span(_coverage(page)),
        html.Span(["last data ", age(run.updated)]),
    ]
    if run.detector:
        parts.append(html.Span(["geometry ", run.detector]))
    return html.P(parts, className="facts")


def _coverage(page: RunPage) -> list[Any]:
    if not page.unread.words:
        return [f"coverage {100 * page.share:.0f} %"]
    href = f"/files?run={quote(page.run.key, safe='')}"
    return [
        f"coverage {100 * page.share:.0f} %: ",
        html.Span(className="mark suspect"),
        " ",
        html.A(page.unread.words, href=href),
    ]


def _comment(run: Run) -> Any:
    return html.P(run.comment, className="comment") if run.comment else None


def _plots(page: RunPage) -> html.Div:
    if not page.tiles:
        return html.Div(
            [
                empty("Plots of this run will be here", "None of its files has been counted yet."),
                *map(broken_tile, page.broken),
            ]
        )
    look = "tiles stale" if page.state == "silent" else "tiles"
    shown = {tile.plot for tile in page.tiles}
    broken = [broken_tile(plugin) for plugin in page.broken if plugin.name not in shown]
    tiles = html.Div([*broken, *[tile_of(page.run, tile) for tile in page.tiles]], className=look)
    return html.Div([tiles, _not_there(page)])


def broken_tile(plugin: Broken) -> html.Article:
    """A plug-in that could not be loaded: its reason, on a tile of its own."""
    trace = html.Details([html.Summary("Traceback, for its author"), html.Pre(plugin.traceback)])
    parts: list[Any] = [
        html.Div([html.H3(plugin.name)], className="head"),
        html.P(f"a plug-in of this site: {plugin.source}", className="cover"),
        html.Div(
            [html.P([mark("broken"), f" {plugin.reason}"]), *([trace] if plugin.traceback else [])], className="why-not"
        ),
    ]
    attributes = extra(data_plot=plugin.name, data_state="broken", aria_label=plugin.name)
    return html.Article(parts, id=f"tile-{plugin.name}", className="tile", **attributes)


def tile_of(run: Run, tile: Tile) -> html.Article:
    """A plot of the run."""
    words = [wrong_words(number) for number in tile.wrong]
    return figure_tile(
        run.key, tile.plot, tile.title, cover_of(tile), words, tile.version, group=tile.group, state=tile.state
    )


def cover_of(tile: Tile) -> list[Any]:
    """What the figure covers, and how old it is."""
    share = (
        "newest file only" if not tile.mergeable else f"{percent(tile.share)} of run" if tile.share is not None else ""
    )
    provisional = ["provisional", html.Span(": a file is still being written, ")] if tile.provisional else []
    return [*provisional, share, ", " if share else "", age(tile.updated)]


def percent(share: float) -> str:
    """Never 100 % when something is missing."""
    return f"{min(100 * share, 99.9 if share < 1 else 100):.3g} %"


def wrong_words(number: Number) -> html.P:
    """A number outside its limits, in words."""
    return html.P([mark(number.state), f" {number.said}, {number.reason}"], className=f"verdict {number.state}")


def _not_there(page: RunPage) -> Any:
    rows: list[Any] = [
        html.P([mark("broken"), " ", html.B(title), f": {words}"]) for title, words in page.stopped.values()
    ]
    if page.missing:
        rows.append(html.P([mark("unknown"), f" not counted for this run: {', '.join(page.missing)}"]))
    if not rows:
        return None
    return html.Section([html.H3("Without a plot", className="group"), *rows], className="without")


def _numbers(page: RunPage) -> Any:
    if not page.numbers:
        return None
    wrong = sum(number.state in ("bad", "suspect") for number in page.numbers)
    verdict = f", {wrong} outside their limits" if wrong else ", none outside its limits"
    return html.Details(
        [html.Summary(f"All {len(page.numbers)} numbers{verdict}"), numbers_table(page.numbers)],
        id="numbers",
        className="trends",
    )


def numbers_table(numbers: tuple[Number, ...], titled: bool = True) -> html.Div:
    """Numbers with their verdicts and limits."""
    heads = ["", *(["Plot"] if titled else []), "Number", "Value", "Limits", ""]
    rows = [_row(number, titled) for number in numbers]
    head = html.Thead(html.Tr([html.Th(word) for word in heads]))
    return html.Div(html.Table([head, html.Tbody(rows)]), className="scroll")


def _row(number: Number, titled: bool) -> html.Tr:
    state = mark(number.state) if number.state in WORDS else ""
    plot = [html.Td(number.title, className="plot")] if titled else []
    return html.Tr(
        [
            html.Td(state),
            *plot,
            html.Td(number.label),
            html.Td(number.shown, className="value", title=number.exact),
            html.Td(number.limits, className="why"),
            html.Td(number.reason, className="why"),
        ],
        className=number.state,
    )
