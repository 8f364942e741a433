"""Layout of a level: where one is, the value that is shown, its map, its numbers, and what is below it, worst first."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dqm.views.asked import Asked
from dqm.views.pixels import QUANTITIES, LevelPage, NoLevel, level_page, link
from dqm.views.site import Site
from layouts.components.asked import notes
from layouts.components.pixels import breadcrumbs, pixel_map, rows_link
from layouts.components.steady import steady
from layouts.components.words import WORDS, empty, extra, mark, run_mark
from layouts.pages.run.layout import asks_window, cover_of, no_run, run_link, stale_words, window_switch

BODY, SHOWN = "level-body", "level-shown"


def layout(level: str, site: Site, query: dict[str, str], run: str, place: str = "") -> html.Div:
    asked = Asked(query)
    value = asked.one_of("value", QUANTITIES, "value of a map") or "rate"
    in_window = asks_window(query)
    shown = level_of(level_page(site, run, level, place, value, in_window), run, value, in_window)
    return html.Div(
        [dcc.Store(id=SHOWN, data=[run, level, place, value, in_window]), *notes(asked.problems), steady(BODY, shown)],
        className="level-page",
        **extra(data_up="level"),
    )


def level_of(found: LevelPage | NoLevel, run: str, value: str, in_window: bool = False) -> list[Any]:
    """The whole page; words when there is no such run or place, or no map of it."""
    if isinstance(found, NoLevel):
        return [_nothing(found, run, value, in_window)]
    picture = pixel_map(
        found.page.run.key, run, found.place.level, found.place.text, found.quantity, found.geometry, found.version,
        f"{found.quantity.title} of the pixels of {found.place.name}, run {found.page.run.key}", found.below,
        in_window,
    )  # fmt: skip
    beside = html.Div([_numbers(found), _children(found)], className="level-beside")
    return [html.Div(_head(found, run)), html.Div([picture, beside], className="level-parts")]


def _nothing(found: NoLevel, run: str, value: str, in_window: bool) -> html.Div:
    if found.page is None:
        return no_run(run)
    whole = found.state == "unknown" and found.reason.startswith(("There is no", "Channel", "“"))
    if whole:
        up = html.A("Go to the detector", id="up", href=link("detector", "", run, value), className="primary button")
        return empty("There is no such place", found.reason, up)
    up = html.A(f"Go to run {found.page.run.key}", id="up", href=run_link(run), className="primary button")
    if in_window:
        up = html.A("Show the whole run", id="up", href=link("detector", "", run, value), className="primary button")
    why = html.P([mark(found.state if found.state in WORDS else "broken"), f" {found.reason}"])
    return html.Div([html.H3(f"No map of the pixels of run {found.page.run.key}"), why, up], className="empty-state")


def _head(found: LevelPage, run: str) -> list[Any]:
    value = found.quantity.name
    page = found.page
    above = [(f"run {page.run.key}", run_link(run, page.in_window))]
    above += [(one.name, link(one.level, one.text, run, value, page.in_window)) for one in found.trail]
    own = found.place
    name = own.name[0].upper() + own.name[1:] if not own.name.startswith("io_group") else own.name
    title = [
        html.H2(name), html.Span(f"run {page.run.key}", className="weak"), run_mark(page.state),
        _switch(found, run), _window(found, run), _neighbours(found, run),
    ]  # fmt: skip
    return [
        breadcrumbs(above, own.name),
        html.Div(title, className="run-head"),
        html.P(cover_of(found.tile, page), className="cover"),
        html.Div(stale_words(page), className="notices"),
    ]


def _switch(found: LevelPage, run: str) -> html.Span:
    own = found.place
    links = [
        html.A(
            one.title, id=f"value-{one.name}", className="button",
            href=link(own.level, own.text, run, one.name, found.page.in_window),
            **(extra(aria_current="true") if one is found.quantity else {}),
        )
        for one in QUANTITIES.values()
    ]  # fmt: skip
    return html.Span(links, className="window-switch", **extra(role="group", aria_label="Value that the map shows"))


def _window(found: LevelPage, run: str) -> Any:
    own, value = found.place, found.quantity.name
    return window_switch(
        found.page, link(own.level, own.text, run, value), link(own.level, own.text, run, value, in_window=True)
    )


def _neighbours(found: LevelPage, run: str) -> html.Span:
    """The same place in the runs before and after."""
    own, page = found.place, found.page

    def button(key: str | None, id: str, text: str) -> Any:
        if key is None:
            return html.Span(text, className="button off", **extra(aria_disabled="true"))
        href = link(own.level, own.text, key, found.quantity.name, page.in_window)
        return html.A(text, id=id, href=href, className="button", title=f"Run {key}")

    return html.Span(
        [button(page.before, "previous-run", "◀ previous run"), button(page.behind, "next-run", "next run ▶")],
        className="neighbours",
    )


def _numbers(found: LevelPage) -> html.Div:
    parts = [part for label, shown in found.numbers for part in (html.Dt(label), html.Dd(shown))]
    packets = html.A(
        "Its packets", id="level-rows", href=rows_link(found.page.run.key, where=found.where), className="button"
    )
    return html.Div([html.Dl(parts, className="facts-list"), packets], className="level-numbers")


def _children(found: LevelPage) -> html.Section:
    head = html.Thead(html.Tr([html.Th(word) for word in found.columns]))
    rows = [
        html.Tr(
            [
                html.Th(html.A(child.name, href=child.href), scope="row"),
                *[html.Td(cell, className="value") for cell in child.shown],
            ],
            className="silent" if child.silent else "",
        )
        for child in found.children
    ]
    name = f"{len(found.children)} {found.below}{'' if len(found.children) == 1 else 's'}"
    table = html.Div(html.Table([head, html.Tbody(rows)]), className="scroll", tabIndex="0")
    return html.Section(
        [html.H3(name), html.P(f"Sorted: {found.order}.", className="weak"), table], className="children"
    )
