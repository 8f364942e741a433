"""Layout of the audit page."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dqm.views.asked import day_of
from dqm.views.audit_page import Wanted, choices, wanted
from dqm.views.site import Site
from layouts.components.asked import day_field, field, named, notes, search_field
from layouts.components.grid import long_table
from layouts.components.person import first_account, reader, visitor
from layouts.components.words import empty

GRID = "audit-grid"

COLUMNS: list[dict[str, Any]] = [
    {"field": "time", "headerName": "When", "cellRenderer": "Moment", "width": 150},
    {"field": "actor", "headerName": "Who", "cellRenderer": "Titled", "width": 170},
    {"field": "action", "headerName": "What", "width": 150},
    {"field": "subject", "headerName": "To what", "cellRenderer": "Titled", "minWidth": 140, "flex": 1},
    {"field": "change", "headerName": "Change", "cellRenderer": "Titled", "minWidth": 200, "flex": 2},
]


def layout(site: Site, query: dict[str, str]) -> html.Div:
    """Filters as the URL has them, and the table."""
    if visitor(site).way == "local":
        return first_account()
    asked = wanted(query)
    table = long_table(GRID, [dict(one) for one in COLUMNS], (), "id", rowHeight=34)
    return html.Div(
        [
            html.Div([html.H2("Audit"), html.Span(id="audit-found", role="status")], className="title-line"),
            html.Div(_filters(site, asked), className="filters"),
            html.Div(notes(asked.problems), id="audit-problems"),
            html.Div(table, id="audit-table", className="table-area", **named("Audit trail")),
            html.Div(id="audit-empty"),
            dcc.Store(id="audit-asked", data=given(asked, query)),
            dcc.Store(id="audit-again"),
        ],
        className="list-page",
    )


def _filters(site: Site, asked: Wanted) -> list[Any]:
    known, now = choices(site, reader(site)), asked.filter
    return [
        field("Search", search_field("audit-search", now.words, "run 7, account ada, refused"), wide=True),
        field(
            "Who",
            dcc.Dropdown(_with(known.actors, now.actor), now.actor or None, id="audit-who", placeholder="anybody"),
        ),
        field(
            "What",
            dcc.Dropdown(_with(known.actions, now.action), now.action or None, id="audit-what", placeholder="anything"),
        ),
        field("From (UTC)", day_field("audit-since", day_of(now.since))),
        field("To (UTC)", day_field("audit-until", day_of(now.until))),
        html.Button("Clear filters", id="audit-clear", hidden=not asked.filtered),
    ]


def _with(known: list[str], chosen: str) -> list[str]:
    return known if chosen in ("", *known) else [*known, chosen]


def given(asked: Wanted, query: dict[str, str]) -> dict[str, str]:
    """The filters as the browser keeps them: those that ask for something, and were understood."""
    now = asked.filter
    understood = {"search": now.words, "who": now.actor, "what": now.action}
    understood |= {name: query[name] for name in ("since", "until") if getattr(now, name) is not None}
    return {name: value for name, value in understood.items() if value}


def nothing(filtered: bool) -> html.Div:
    """What stands in place of an empty table."""
    if filtered:
        return empty("Nothing fits", "Nothing in the audit trail has all that you ask for above.")
    return empty("Nothing yet", "Every sign-in and every change of anything stands here as soon as there is one.")
