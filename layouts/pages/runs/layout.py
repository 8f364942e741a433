"""Layout of the runs page."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dqm.views.asked import day_of
from dqm.views.run_list import QUALITIES, Wanted, categories, run_count, wanted
from dqm.views.site import Site
from layouts.components.asked import day_field, field, named, notes, search_field
from layouts.components.grid import column, long_table
from layouts.components.words import empty

GRID = "runs-grid"

COLUMNS: list[dict[str, Any]] = [
    column("number", "Run", cellRenderer="RunLink", width=84, pinned="left"),
    column("quality", "State", cellRenderer="StateMark", width=118),
    column("start", "Start", cellRenderer="Moment", width=152),
    column("duration", "Duration", width=112),
    column("category", "Category", width=96),
    {"field": "tags", "headerName": "Tags", "cellRenderer": "Titled", "minWidth": 70, "flex": 1},
    column(
        "packets",
        "Packets",
        cellRenderer="Titled",
        cellRendererParams={"title": "packets_exact"},
        type="rightAligned",
        width=92,
    ),
    column("files", "Files", cellRenderer="Unread", width=200),
    {"field": "detector", "headerName": "Detector", "cellRenderer": "Titled", "width": 96},
    {"field": "comment", "headerName": "Comment", "cellRenderer": "Titled", "minWidth": 100, "flex": 2},
]


def layout(site: Site, query: dict[str, str]) -> html.Div:
    """Filters as the URL has them, and the table."""
    asked = wanted(query)
    # a copy of each column: the table writes its order into them
    table = long_table(
        GRID,
        [dict(one) for one in COLUMNS],
        asked.order,
        "key",
        rowHeight=34,
        listeners={"cellKeyDown": ["larboardOpenRun(params)"]},
    )
    return html.Div(
        [
            html.Div([html.H2("Runs"), html.Span(id="runs-found", role="status")], className="title-line"),
            html.Div(_filters(site, asked), className="filters"),
            html.Div(notes(asked.problems), id="runs-problems"),
            html.Div(table, id="runs-table", className="table-area", **named("Runs")),
            html.Div(id="runs-empty"),
            dcc.Store(id="runs-asked", data=given(asked, query)),
            *[dcc.Store(id=f"runs-{name}") for name in ("order", "again", "fresh")],
        ],
        className="list-page",
    )


def _filters(site: Site, asked: Wanted) -> list[Any]:
    search, used = asked.search, categories(site)
    known = used if search.category in ("", *used) else [*used, search.category]
    qualities = [{"label": word, "value": state} for state, word in QUALITIES.items()]
    return [
        field("Search", search_field("runs-search", search.words, "run, tag, comment, detector"), wide=True),
        field("Category", dcc.Dropdown(known, search.category or None, id="runs-category", placeholder="any")),
        field("State", dcc.Dropdown(qualities, search.quality or None, id="runs-quality", placeholder="any")),
        field("From (UTC)", day_field("runs-since", day_of(search.since))),
        field("To (UTC)", day_field("runs-until", day_of(search.until))),
        html.Button("Clear filters", id="runs-clear", hidden=not asked.filtered),
    ]


def given(asked: Wanted, query: dict[str, str]) -> dict[str, str]:
    """The filters as the browser keeps them: those that ask for something, and were understood."""
    search = asked.search
    understood = {"search": search.words, "category": search.category, "quality": search.quality}
    understood |= {name: query[name] for name in ("since", "until") if getattr(search, name) is not None}
    return {name: value for name, value in understood.items() if value}


def nothing(site: Site, filtered: bool) -> html.Div:
    """What stands in place of an empty table."""
    if filtered and run_count(site):
        clear = html.Button("Clear filters", id={"type": "clear", "list": "runs"}, className="primary")
        return empty(
            "No run fits", "No run has all that you ask for above. Fewer words or a longer range may find it.", clear
        )
    return empty(
        "No runs yet",
        "A run appears here as soon as the first of its files is counted. Nothing has been counted into this database.",
        html.P(
            [
                "Count files as they are written: ",
                html.Code("larboard watch"),
                ". See it with made-up data: ",
                html.Code("larboard demo"),
                ".",
            ]
        ),
    )
