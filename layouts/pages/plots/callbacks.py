"""Callbacks of the plots page."""

from __future__ import annotations

import time
from typing import Any

from dash import ALL, Dash, Input, Output, ctx, no_update

from dqm.views.live import StoreProblem
from dqm.views.plot_list import NotResting, plot_page, retry_plot
from dqm.views.site import Site
from layouts.components.asked import notes
from layouts.components.person import writer
from layouts.pages.plots.layout import content


def register(app: Dash, site: Site) -> None:
    @app.callback(
        Output("plots-list", "children"),
        Input("notice-plots", "data"),
        Input("tick", "n_intervals"),
        prevent_initial_call=True,
    )
    def show_plots(_notice: Any, _tick: Any) -> Any:
        try:
            return content(plot_page(site))
        except RuntimeError as problem:  # the database
            return notes([f"Plots cannot be shown: {problem}"], "broken")

    @app.callback(
        Output("plots-said", "children"),
        Input({"type": "plot-retry", "plot": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def retry(clicks: list[int | None]) -> Any:
        if not any(clicks) or not ctx.triggered_id:  # a button has come or gone
            return no_update
        actor = writer(site)
        try:
            return f"{retry_plot(site.store, actor, ctx.triggered_id['plot'], time.time())}."
        except (NotResting, StoreProblem) as problem:
            return f"Not done: {problem}"
