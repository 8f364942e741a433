"""Callbacks of the plots page."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output

from dqm.views.plot_list import plot_page
from dqm.views.site import Site
from layouts.components.asked import notes
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
