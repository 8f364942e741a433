"""Layout of the trends page."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as field_of
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html

from dqm.views.asked import day_of
from dqm.views.site import Site
from dqm.views.trend_page import SPANS, Group, Line, View, Wanted, exact, groups, load, newest, wanted
from layouts.components.asked import day_field, field, named, search_field
from layouts.components.graph import graph
from layouts.components.words import empty, moment
from layouts.pages.trends.figures import COLOURS, beyond, figure

GRAPH = "trend-graph"


def layout(site: Site, query: dict[str, str]) -> html.Div:
    """The picker on the left; on the right the range of time and the picture."""
    found = groups(site)
    search = "?" + urlencode(query)
    asked = wanted(search, keys(found))
    return html.Div(
        [
            html.Aside(_picker(found, asked), id="trend-picker", **named("Trends to choose")),
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Trends"),
                            html.Button("Download CSV", id="trend-csv", title="All points in this range"),
                        ],
                        className="title-line",
                    ),
                    html.Div(_ranges(asked), className="filters"),
                    html.Div(id="trend-problems"),
                    html.Div(id="trend-instead"),
                    html.Div(
                        [
                            html.Ul(id="trend-legend"),
                            graph(GRAPH, None),
                            html.Ul(id="trend-remarks", className="remarks"),
                        ],
                        id="trend-picture",
                        hidden=True,
                    ),
                ],
                className="trend-main",
            ),
            dcc.Store(id="trend-asked", data=search),
            dcc.Store(id="trend-zoom", data=query.get("zoom", "")),
            dcc.Store(id="trend-fresh"),
            dcc.Store(id="trend-opened"),
            dcc.Store(id="trend-noticed"),
            dcc.Download(id="trend-file"),
        ],
        className="trend-page",
    )


def keys(found: list[Group]) -> list[str]:
    return [choice.key for group in found for choice in group.choices]


def _picker(found: list[Group], asked: Wanted) -> list[Any]:
    search = field("Find a trend", search_field("trend-search", "", "rate, parity, ..."), wide=True)
    parts = [_group(group, asked.names) for group in found]
    return [search, html.P(id="trend-none", className="weak", role="status"), html.Div(parts, className="groups")]


def _group(group: Group, chosen: tuple[str, ...]) -> html.Fieldset:
    options = [
        {
            "label": html.Span(
                [choice.label, html.Span(f" {choice.unit}", className="unit")],
                **{"data-words": f"{choice.label} {choice.key} {choice.unit}"},  # type: ignore[arg-type]
            ),
            "value": choice.key,
        }
        for choice in group.choices
    ]
    picked = [choice.key for choice in group.choices if choice.key in chosen]
    checklist = dcc.Checklist(options, picked, id={"type": "trend-pick", "plot": group.plot})
    attributes: Any = {"data-words": f"{group.title} {group.plot}"}
    return html.Fieldset([html.Legend(group.title), checklist], className="trend-group", **attributes)


def _ranges(asked: Wanted) -> list[Any]:
    options = [{"label": words, "value": span} for span, (words, _) in SPANS.items()]
    options.append({"label": "custom", "value": "custom"})
    return [
        html.Fieldset(
            [
                html.Legend("Range of time"),
                dcc.RadioItems(options, asked.span, id="trend-span", inline=True, className="pills"),
            ]
        ),
        html.Div(
            [
                field("From (UTC)", day_field("trend-since", day_of(asked.since))),
                field("To (UTC)", day_field("trend-until", day_of(asked.until))),
            ],
            id="trend-days",
            className="days",
            hidden=asked.span != "custom",
        ),
        html.Button(
            "Undo zoom", id="trend-whole", hidden=asked.zoom is None, title="Also: double click in the picture"
        ),
    ]


@dataclass(frozen=True)
class Picture:
    """What the page shows for one wish: a figure with its legend and remarks, or what stands in its place."""

    problems: tuple[str, ...] = ()
    instead: Any = None
    figure: dict[str, Any] | None = None
    legend: list[Any] = field_of(default_factory=list)
    remarks: list[Any] = field_of(default_factory=list)


def picture(site: Site, search: str, zone: str = "UTC") -> Picture:
    """The picture that the query of a URL asks for, its times in `zone`."""
    found = groups(site)
    asked = wanted(search, keys(found))
    if not found:
        why = "A trend is a number that a plot gives for each file. They come with the first file that is counted."
        start = html.P(["Count files as they are written: ", html.Code("larboard watch"), "."])
        return Picture(asked.problems, empty("No trends yet", why, start))
    if not asked.names:
        how = "Several of the same unit share one box; all share the time axis."
        return Picture(asked.problems, empty("Choose a trend on the left", how))
    view = load(site, asked)
    if view.empty:
        return Picture(asked.problems, _nothing_in_range(site))
    return Picture(asked.problems, None, figure(view, zone), _legend(view), _remarks(view))


def _nothing_in_range(site: Site) -> html.Div:
    last = newest(site)
    known = html.P(["The newest file began ", moment(last), "."]) if last is not None else None
    everything = html.Button("Show all", id={"type": "trend-all", "place": "empty"}, className="primary")
    return empty(
        "No file in this range of time",
        "No file that began in it has given these trends.",
        html.Div([known, everything]),
    )


def _legend(view: View) -> list[Any]:
    """Names in the colours of their lines; the picture has no legend of its own, which would move it."""
    return [
        html.Li(
            [
                html.Span(className="swatch", style={"background": COLOURS[i % len(COLOURS)]}),
                f"{line.label} ",
                html.Span(_what(line), className="weak"),
            ]
        )
        for i, line in enumerate(view.lines)
    ]


def _what(line: Line) -> str:
    """``PacketRate, 12,345 files, hourly: mean and range``."""
    files = f"{line.total:,} file{'' if line.total == 1 else 's'}"
    return ", ".join(part for part in (line.name.plot, files, line.step) if part)


def _remarks(view: View) -> list[Any]:
    """What the picture does not show by itself."""
    said = []
    steps = {line.step for line in view.lines if line.step}
    if steps:
        days = " Days are UTC days." if any(line.resolution == "day" for line in view.lines) else ""
        said.append(
            "A band reaches from the lowest to the highest file of each hour or day, the line is their mean."
            f"{days} Choose a shorter range to see each file."
        )
    kept = [line for line in view.lines if line.kept_until is not None]
    if kept:
        until = max(line.kept_until or 0.0 for line in kept)
        said.append(
            f"The numbers of single files up to {exact(until)[:10]} are not kept: hours and days stand for them"
            " (a retention rule)."
        )
    for line in view.lines:
        if line.unknown:
            why = f": {line.why_unknown}" if line.why_unknown else ""
            said.append(f"{line.label}: {line.unknown:,} of {line.total:,} files gave no value{why}.")
        if line.resolution == "file" and len(line.points) < line.total:
            said.append(
                f"{line.label}: {line.total:,} points, drawn as lowest and highest of each moment; zoom in to see each."
            )
    return [html.Li(text) for text in [*beyond(view), *said]]
