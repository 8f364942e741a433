"""The words and the table of a level follow the notices of its run; the map comes by itself (assets/pixels.js)."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, ctx, no_update

from dqm.views.live import StoreProblem
from dqm.views.pixels import level_page
from dqm.views.site import Site
from layouts.components import steady
from layouts.components.steady import tree_id, tree_of
from layouts.components.words import failure
from layouts.pages.level.layout import BODY, SHOWN, level_of
from layouts.pages.run.callbacks import concerns


def register(app: Any, site: Site) -> None:
    steady.register(app, BODY)

    @app.callback(
        Output(tree_id(BODY), "data"),
        Input("notice-element", "data"),
        Input("notice-run", "data"),
        Input("tick", "n_intervals"),
        State(SHOWN, "data"),
        prevent_initial_call=True,
    )
    def show_level(element: Any, run: Any, _tick: Any, shown: list[Any]) -> Any:
        (key, level, text, value), in_window = (str(part) for part in shown[:4]), bool(shown[4])
        if not concerns(key, ctx.triggered_prop_ids, {"notice-element.data": element, "notice-run.data": run}):
            return no_update
        try:
            return tree_of(level_of(level_page(site, key, level, text, value, in_window), key, value, in_window))
        except StoreProblem as problem:
            return tree_of(failure(f"Run {key} cannot be shown", str(problem)))
