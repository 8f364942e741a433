"""Callbacks of the audit page; each looks who asks, on the server."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, no_update

from dqm.views.audit_page import audit_rows, wanted
from dqm.views.live import StoreProblem
from dqm.views.run_list import found_in_words
from dqm.views.site import Site
from layouts.components.asked import notes
from layouts.components.person import reader
from layouts.pages.audit.layout import GRID, nothing

CONTROLS = ("search", "who", "what", "since", "until")


def register(app: Dash, site: Site) -> None:
    _in_the_browser(app)

    @app.callback(
        Output(GRID, "getRowsResponse"),
        Output("audit-found", "children"),
        Output("audit-empty", "children"),
        Output("audit-table", "hidden"),
        Input(GRID, "getRowsRequest"),
        State("audit-asked", "data"),
    )
    def show_audit(request: dict[str, Any] | None, query: dict[str, str] | None) -> Any:
        return (no_update,) * 4 if request is None else rows(site, request, query or {})

    @app.callback(
        Output("audit-problems", "children"),
        Output("audit-clear", "hidden"),
        Input("audit-asked", "data"),
        prevent_initial_call=True,
    )
    def show_audit_problems(query: dict[str, str] | None) -> Any:
        return notes(wanted(query or {}).problems), not query


def rows(site: Site, request: dict[str, Any], query: dict[str, str]) -> tuple[Any, str, Any, bool]:
    """What the table asked for, how many rows fit, and what stands there when none does."""
    asked, actor = wanted(query), reader(site)
    try:
        found = audit_rows(site, actor, asked, request["startRow"], request["endRow"])
    except StoreProblem as problem:  # the table must get an answer, or it asks no more
        return {"rowData": [], "rowCount": 0}, "", notes([f"It cannot be shown: {problem}"], "broken"), True
    instead = None if found.total else nothing(asked.filtered)
    words = found_in_words(found.total, asked.filtered, "row")
    return {"rowData": found.rows, "rowCount": found.total}, words, instead, not found.total


def _in_the_browser(app: Dash) -> None:
    values = [Input(f"audit-{name}", "value") for name in CONTROLS]
    app.clientside_callback(
        ClientsideFunction("people", "auditFilters"),
        Output("audit-asked", "data"),
        values,
        State("audit-asked", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("people", "clearAudit"),
        [Output(f"audit-{name}", "value") for name in CONTROLS],
        Input("audit-clear", "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("lists", "again"),
        Output("audit-again", "data"),
        Input("audit-asked", "data"),
        State(GRID, "id"),
        prevent_initial_call=True,
    )
