"""The Health page follows the pulse of the ingest, alarms, and time alone: nobody tells that nobody is there."""

from __future__ import annotations

from typing import Any

from dash import Input, Output

from dqm.views.live import Shared, StoreProblem, seq_of
from dqm.views.monitor_page import monitor
from dqm.views.site import Site
from layouts.components import steady
from layouts.components.steady import tree_id, tree_of
from layouts.components.words import failure
from layouts.pages.monitor.layout import MONITOR, TICK, monitor_of

TOPICS = ("pulse", "alarm", "ingest", "plots")


def register(app: Any, site: Site) -> None:
    shared = Shared(lambda site: tree_of(monitor_of(monitor(site))))
    steady.register(app, MONITOR)

    @app.callback(
        Output(tree_id(MONITOR), "data"),
        [Input(f"notice-{topic}", "data") for topic in TOPICS],
        Input(TICK, "n_intervals"),
        prevent_initial_call=True,
    )
    def show_monitor(*news: Any) -> Any:
        try:
            return shared(site, seq=seq_of(news))
        except StoreProblem as problem:
            return tree_of(failure("The health of the monitor cannot be shown", str(problem)))
