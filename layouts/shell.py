"""The frame that every page stands in. The site grows here: so far it has one page, the plots that were found."""

from __future__ import annotations

from collections.abc import Callable

from dash import Dash, html

from dqm.views.plot_list import PlotList
from layouts.pages.plots.layout import plots_page


def register(app: Dash, list_plots: Callable[[], PlotList]) -> None:
    """Gives `app` its layout; the plots are looked up anew at each load of the page."""
    app.layout = lambda: html.Div(
        [
            html.Header([html.H1("Larboard"), html.Span("the plots that were found", className="zone")]),
            html.Main(plots_page(list_plots()), id="content"),
        ]
    )
