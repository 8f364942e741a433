"""Callbacks of the runs page."""

from __future__ import annotations

from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, no_update

from dqm.views.run_list import found_in_words, run_rows, wanted
from dqm.views.site import Site
from layouts.components.asked import notes
from layouts.components.grid import order_of
from layouts.pages.runs.layout import GRID, nothing

CONTROLS = ("search", "category", "quality", "since", "until")


def register(app: Dash, site: Site) -> None:
    _in_the_browser(app)

    @app.callback(
        Output(GRID, "getRowsResponse"),
        Output("runs-found", "children"),
        Output("runs-empty", "children"),
        Output("runs-table", "hidden"),
        Input(GRID, "getRowsRequest"),
        State("runs-asked", "data"),
    )
    def show_rows(request: dict[str, Any] | None, query: dict[str, str] | None) -> Any:
        return (no_update,) * 4 if request is None else rows(site, request, query or {})

    @app.callback(
        Output("runs-problems", "children"),
        Output("runs-clear", "hidden"),
        Input("runs-asked", "data"),
        prevent_initial_call=True,
    )
    def show_problems(query: dict[str, str] | None) -> Any:
        return notes(wanted(query or {}).problems), not query


def rows(site: Site, request: dict[str, Any], query: dict[str, str]) -> tuple[Any, str, Any, bool]:
    """What the table asked for, how many runs fit, and what stands there when none does."""
    asked = wanted(query)
    try:
        found = run_rows(site, asked.search, order_of(request), request["startRow"], request["endRow"])
        instead = None if found.total else nothing(site, asked.filtered)
    except RuntimeError as problem:  # the database; the table must get an answer, or it asks no more
        return {"rowData": [], "rowCount": 0}, "", notes([f"Runs cannot be shown: {problem}"], "broken"), True
    answer = {"rowData": found.rows, "rowCount": found.total}
    return answer, found_in_words(found.total, asked.filtered), instead, not found.total


def _in_the_browser(app: Dash) -> None:
    def here(name: str) -> ClientsideFunction:
        return ClientsideFunction("lists", name)

    values = [Input(f"runs-{name}", "value") for name in CONTROLS]
    app.clientside_callback(
        here("runFilters"), Output("runs-asked", "data"), values, State("runs-asked", "data"), prevent_initial_call=True
    )
    app.clientside_callback(
        here("clearRuns"),
        [Output(f"runs-{name}", "value") for name in CONTROLS],
        Input("runs-clear", "n_clicks"),
        Input({"type": "clear", "list": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("again"),
        Output("runs-again", "data"),
        Input("runs-asked", "data"),
        State(GRID, "id"),
        prevent_initial_call=True,
    )
    app.clientside_callback(here("order"), Output("runs-order", "data"), Input(GRID, "getRowsRequest"))
    app.clientside_callback(
        here("refresh"),
        Output("runs-fresh", "data"),
        Input("notice-run", "data"),
        Input("tick", "n_intervals"),
        State(GRID, "id"),
        prevent_initial_call=True,
    )
