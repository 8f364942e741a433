"""The words of an enlarged plot follow the notices of its run; the figure comes by itself (assets/figures.js)."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, ctx, no_update

from dqm.views.live import StoreProblem
from dqm.views.run_page import plot_page
from dqm.views.site import Site
from layouts.components import steady
from layouts.components.steady import tree_id, tree_of
from layouts.components.words import failure
from layouts.pages.plot.layout import BODY, SHOWN, plot_of
from layouts.pages.run.callbacks import asked_of, concerns


def register(app: Any, site: Site) -> None:
    steady.register(app, BODY)

    @app.callback(
        Output(tree_id(BODY), "data"),
        Input("notice-element", "data"),
        Input("notice-run", "data"),
        Input("tick", "n_intervals"),
        Input(SHOWN, "data"),
        prevent_initial_call=True,
    )
    def show_plot(element: Any, run: Any, _tick: Any, shown: list[Any]) -> Any:
        key, plot, in_window, mask, look = asked_of(shown, 2)
        if SHOWN not in ctx.triggered_prop_ids.values() and not concerns(
            key, ctx.triggered_prop_ids, {"notice-element.data": element, "notice-run.data": run}
        ):
            return no_update
        try:
            return tree_of(plot_of(plot_page(site, key, plot, in_window, mask), key, plot, look))
        except StoreProblem as problem:
            return tree_of(failure(f"Run {key} cannot be shown", str(problem)))
