"""Callbacks of the files page."""

from __future__ import annotations

from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, no_update

from dqm.views.file_page import counts, file_rows, progress, wanted
from dqm.views.run_list import found_in_words
from dqm.views.site import Site
from layouts.components.asked import notes
from layouts.components.grid import order_of
from layouts.pages.files.layout import GRID, about, doing, nothing, states

ACTS = ("retry", "ignore", "release")
CONTROLS = ("search", "state", "run")


def register(app: Dash, site: Site) -> None:
    _in_the_browser(app)
    _detail(app, site)

    @app.callback(
        Output(GRID, "getRowsResponse"),
        Output("files-found", "children"),
        Output("files-empty", "children"),
        Output("files-table", "hidden"),
        Input(GRID, "getRowsRequest"),
        State("files-asked", "data"),
    )
    def show_rows(request: dict[str, Any] | None, query: dict[str, str] | None) -> Any:
        return (no_update,) * 4 if request is None else rows(site, request, query or {})

    @app.callback(
        Output("files-state", "options"),
        Output("files-progress", "children"),
        Input("notice-file", "data"),
        Input("notice-ingest", "data"),
        Input("tick", "n_intervals"),
        State("files-state", "value"),
        prevent_initial_call=True,
    )
    def show_counts(_file: Any, _ingest: Any, _tick: Any, chosen: str | None) -> Any:
        return states(counts(site), chosen or ""), doing(progress(site))

    @app.callback(
        Output("files-problems", "children"),
        Output("files-clear", "hidden"),
        Input("files-asked", "data"),
        prevent_initial_call=True,
    )
    def show_problems(query: dict[str, str] | None) -> Any:
        return notes(wanted(query or {}).problems), not query


def rows(site: Site, request: dict[str, Any], query: dict[str, str]) -> tuple[Any, str, Any, bool]:
    """What the table asked for, how many files fit, and what stands there when none does."""
    asked = wanted(query | {"order": ""})
    try:
        found = file_rows(site, asked, request["startRow"], request["endRow"], order_of(request))
        instead = None if found.total else nothing(site, asked.filtered)
    except RuntimeError as problem:  # the database; the table must get an answer, or it asks no more
        return {"rowData": [], "rowCount": 0}, "", notes([f"Files cannot be shown: {problem}"], "broken"), True
    words = found_in_words(found.total, asked.filtered, "file")
    return {"rowData": found.rows, "rowCount": found.total}, words, instead, not found.total


def _detail(app: Dash, site: Site) -> None:
    @app.callback(
        Output("file-about", "children"),
        Output("file-detail", "hidden"),
        Input("file-chosen", "data"),
        Input("notice-file", "data"),
        prevent_initial_call=True,
    )
    def show_detail(chosen: str | None, notice: dict[str, Any] | None) -> Any:
        keys = (notice or {}).get("keys", [])
        other = ctx.triggered_id == "notice-file" and chosen not in keys and "*" not in keys
        return (no_update, no_update) if other else (about(site, chosen or ""), not chosen)


def _in_the_browser(app: Dash) -> None:
    def here(name: str) -> ClientsideFunction:
        return ClientsideFunction("lists", name)

    values = [Input(f"files-{name}", "value") for name in CONTROLS]
    app.clientside_callback(
        here("fileFilters"),
        Output("files-asked", "data"),
        values,
        State("files-asked", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("clearFiles"),
        [Output(f"files-{name}", "value") for name in CONTROLS],
        Input("files-clear", "n_clicks"),
        Input({"type": "clear", "list": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("again"),
        Output("files-again", "data"),
        Input("files-asked", "data"),
        State(GRID, "id"),
        prevent_initial_call=True,
    )
    app.clientside_callback(here("order"), Output("files-order", "data"), Input(GRID, "getRowsRequest"))
    app.clientside_callback(
        here("refresh"),
        Output("files-fresh", "data"),
        Input("notice-file", "data"),
        Input("tick", "n_intervals"),
        State(GRID, "id"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("chosen"), Output("files-shown", "data"), Input("file-chosen", "data"), prevent_initial_call=True
    )
    app.clientside_callback(
        here("closeDetail"),
        Output("file-chosen", "data"),
        Input({"type": "file-close", "place": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("selected"),
        Output("files-acts", "hidden"),
        Output("files-selected", "children"),
        [Output(f"files-do-{act}", "children") for act in ACTS],
        [Output(f"files-do-{act}", "disabled") for act in ACTS],
        Input(GRID, "selectedRows"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("actOnSome"),
        Output("files-said", "children"),
        Output("files-undo", "hidden"),
        Output("files-done", "data"),
        [Input(f"files-do-{act}", "n_clicks") for act in ACTS],
        Input("files-undo", "n_clicks"),
        State(GRID, "selectedRows"),
        State("files-why", "value"),
        State("files-done", "data"),
        State(GRID, "id"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("actOnOne"),
        Output("file-said", "children", allow_duplicate=True),
        Input({"type": "file-do", "act": ALL, "file": ALL}, "n_clicks"),
        State({"type": "file-why", "file": ALL}, "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("readAgain"),
        Output("file-said", "children"),
        Input({"type": "file-read", "file": ALL}, "n_clicks"),
        Input("file-chosen", "data"),
        prevent_initial_call=True,
    )
