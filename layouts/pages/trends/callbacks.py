"""Callbacks of the trends page."""

from __future__ import annotations

from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, no_update

from dqm.views.site import Site
from dqm.views.trend_page import csv_of, groups, unix_of, wanted, zoom_text
from layouts.components.asked import notes
from layouts.pages.trends.layout import GRAPH, Picture, keys, picture


def register(app: Dash, site: Site) -> None:
    _in_the_browser(app)

    @app.callback(
        Output("trend-problems", "children"),
        Output("trend-instead", "children"),
        Output("trend-picture", "hidden"),
        Output(GRAPH, "figure"),
        Output(GRAPH, "style"),
        Output("trend-legend", "children"),
        Output("trend-remarks", "children"),
        Input("trend-asked", "data"),
        Input("trend-fresh", "data"),
        Input("zone", "data"),
    )
    def show_picture(search: str, _fresh: Any, zone: str | None) -> Any:
        if zone is None:  # the browser says it in a moment; two pictures would be one too many
            return (no_update,) * 7
        shown = picture_of(site, search, zone)
        return (
            notes(shown.problems),
            shown.instead,
            shown.figure is None,
            no_update if shown.figure is None else shown.figure,
            no_update if shown.figure is None else {"height": f"{shown.figure['layout']['height']}px"},
            shown.legend,
            shown.remarks,
        )

    @app.callback(
        Output("trend-days", "hidden"),
        Output("trend-whole", "hidden"),
        Input("trend-span", "value"),
        Input("trend-zoom", "data"),
    )
    def show_controls(span: str, zoom: str) -> Any:
        return span != "custom", not zoom

    @app.callback(
        Output("trend-zoom", "data", allow_duplicate=True),
        Input(GRAPH, "relayoutData"),
        State("zone", "data"),
        State("trend-zoom", "data"),
        prevent_initial_call=True,
    )
    def zoom_to(layout: dict[str, Any] | None, zone: str | None, before: str) -> Any:
        return no_update if not layout else zoomed(layout, zone or "UTC", before)

    @app.callback(
        Output("trend-file", "data"),
        Input("trend-csv", "n_clicks"),
        State("trend-asked", "data"),
        prevent_initial_call=True,
    )
    def download(clicks: int | None, search: str) -> Any:
        if not clicks:
            return no_update
        return dcc.send_string(csv_of(site, wanted(search, keys(groups(site)))), "trends.csv", type="text/csv")


def picture_of(site: Site, search: str, zone: str) -> Picture:
    """The picture, or the sentence that says why there is none."""
    try:
        return picture(site, search, zone)
    except RuntimeError as problem:  # the database
        return Picture(instead=notes([f"Trends cannot be shown: {problem}"], "broken"))


def zoomed(layout: dict[str, Any], zone: str, before: str) -> Any:
    """The zoom that a picture reports, as it stands in the URL; empty when all is shown again."""
    if layout.get("xaxis.autorange"):
        return "" if before else no_update
    low, high = (unix_of(layout.get(f"xaxis.range[{i}]", ""), zone) for i in (0, 1))
    if low is None or high is None or low >= high:
        return no_update
    text = zoom_text(low, high)
    return no_update if text == before else text


def _in_the_browser(app: Dash) -> None:
    def here(name: str) -> ClientsideFunction:
        return ClientsideFunction("trends", name)

    app.clientside_callback(
        here("choose"),
        Output("trend-asked", "data"),
        Input({"type": "trend-pick", "plot": ALL}, "value"),
        Input("trend-span", "value"),
        Input("trend-since", "value"),
        Input("trend-until", "value"),
        Input("trend-zoom", "data"),
        State("trend-asked", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("whole"),
        Output("trend-zoom", "data"),
        Input("trend-whole", "n_clicks"),
        Input("trend-span", "value"),
        Input("trend-since", "value"),
        Input("trend-until", "value"),
        State("trend-zoom", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("all"),
        Output("trend-span", "value"),
        Input({"type": "trend-all", "place": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("open"), Output("trend-opened", "data"), Input(GRAPH, "clickData"), prevent_initial_call=True
    )
    app.clientside_callback(
        here("fresh"),
        Output("trend-noticed", "data"),
        Input("notice-element", "data"),
        Input("notice-run", "data"),
        State("trend-asked", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        here("search"), Output("trend-none", "children"), Input("trend-search", "value"), prevent_initial_call=True
    )
    app.clientside_callback(
        here("several"),
        Output({"type": "trend-pick", "plot": ALL}, "value"),
        Input("trend-csv", "id"),
        State({"type": "trend-pick", "plot": ALL}, "value"),
        State({"type": "trend-pick", "plot": ALL}, "options"),
    )
