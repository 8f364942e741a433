"""Layout of the plots page: broken plug-ins first, since somebody waits for them."""

from __future__ import annotations

from typing import Any

from dash import html

from dqm.views.plot_list import Entry, Fault, PlotPage, plot_page
from dqm.views.site import Site
from dqm.views.words import number
from layouts.components.asked import notes
from layouts.components.person import needs


def layout(site: Site, query: dict[str, str]) -> html.Div:
    """The list, which is made anew when a plug-in comes, changes or goes."""
    said = html.P(id="plots-said", role="status")
    return html.Div([said, html.Div(content(plot_page(site)), id="plots-list")], className="plots-page")


def content(page: PlotPage) -> list[Any]:
    """Everything on the page."""
    words = f"{len(page.entries)} plots" + (f", {len(page.faults)} broken" if page.faults else "")
    return [
        html.Div([html.H2("Plots"), html.Span(words, role="status")], className="title-line"),
        html.Div(notes(page.notes)),
        *_broken(page.faults),
        _table(page.entries),
        *_how_to_add(page),
    ]


def _broken(faults: list[Fault]) -> list[Any]:
    if not faults:
        return []
    return [html.Section([html.H3("Broken"), *[_fault(fault) for fault in faults]], className="faults")]


def _fault(fault: Fault) -> html.Article:
    parts: list[Any] = [
        html.P([html.Span(className="mark broken"), html.B(" BROKEN "), html.B(fault.name), f", {fault.where}"]),
        html.P(fault.reason, className="reason"),
        html.P(fault.source, className="weak path"),
    ]
    if fault.traceback:
        parts.append(html.Details([html.Summary("Traceback, for its author"), html.Pre(fault.traceback)]))
    return html.Article(parts, className="fault")


def _table(entries: list[Entry]) -> html.Div:
    titles = ("Plot", "Group", "Adds up", "Trends and limits", "From", "Time")
    head = html.Thead(html.Tr([html.Th(title, scope="col") for title in titles]))
    return html.Div(
        html.Table([head, html.Tbody([_row(entry) for entry in entries])], className="plots-table"), className="scroll"
    )


def _row(entry: Entry) -> html.Tr:
    plot = entry.plot
    return html.Tr(
        [
            html.Th(
                [
                    html.Span(plot.title, className="plot-title"),
                    html.Span(f"{plot.name}, version {plot.version}", className="weak"),
                ],
                scope="row",
            ),
            html.Td([entry.group, html.Span(f"from {plot.level}", className="weak")]),
            html.Td([plot.kind, html.Span(entry.kind, className="weak")]),
            html.Td(_trends(entry)),
            html.Td(
                [html.Span(entry.origin, className="path"), *notes([entry.difference] if entry.difference else [])]
            ),
            html.Td(_time(entry)),
        ]
    )


def _trends(entry: Entry) -> Any:
    if not entry.trends:
        return html.Span("none", className="weak")
    lines = [
        html.Li([f"{trend.name} [{trend.unit}]", html.Span(f" {trend.limits}", className="weak")])
        for trend in entry.trends
    ]
    return html.Ul(lines)


def _time(entry: Entry) -> list[Any]:
    """µs per packet and its part of the whole; failures, with the last one."""
    if entry.us_per_packet is None:
        parts: list[Any] = [html.Span("not measured yet", className="weak")]
    else:
        share = f", {_percent(entry.share)} of all" if entry.share is not None else ""
        counted = html.Span(f"{number(entry.packets)} packets", className="weak")
        parts = [html.Span(f"{number(entry.us_per_packet)} µs/packet{share}", className="value"), counted]
    if entry.failures:
        failed = f"failed {entry.failures:,} time{'' if entry.failures == 1 else 's'}"
        last = f", last: {entry.last_failure}" if entry.last_failure else ""
        parts += notes([failed + last], "broken")
    if entry.rest:
        key = {"type": "plot-retry", "plot": entry.plot.name}
        parts += [*notes([entry.rest], "broken"), html.Button("Try it now", id=key, **needs("expert", "*"))]
    return parts


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _how_to_add(page: PlotPage) -> list[Any]:
    """What to do for a plot of one's own; in three lines where nobody has done it here."""
    if page.paths:
        where = ", ".join(str(path) for path in page.paths)
        return [
            html.P(
                [
                    "Your own plot: ",
                    html.Code("larboard plots new NAME"),
                    f" writes one into {where}; it is found by itself.",
                ],
                className="weak how",
            )
        ]
    steps = [
        html.Li([html.Code("larboard plots new MyPlot --into plugins"), " writes a plot of twenty lines that works"]),
        html.Li(["in larboard.toml: ", html.Code('[plots]  paths = ["plugins"]'), " and start Larboard again"]),
        html.Li("from then on every file in that directory is found when it is saved, and stands in this list"),
    ]
    return [html.Section([html.H3("A plot of your own"), html.Ol(steps)], className="how")]
