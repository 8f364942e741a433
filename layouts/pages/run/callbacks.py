"""A run's page follows the notices of its run; their figures come by themselves (assets/figures.js)."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, ctx, no_update

from dqm.views.live import Shared, StoreProblem, seq_of
from dqm.views.run_page import LATEST, run_page
from dqm.views.site import Site
from layouts.components import steady
from layouts.components.steady import tree_id, tree_of
from layouts.components.words import failure
from layouts.pages.run.layout import BODY, KEY, run_of

LOOK_MOST = 20
"""Chips that are listed though none of their channels is left out."""


def register(app: Any, site: Site) -> None:
    def page_of(site: Site, key: str, window: str, mask: str, *look: str) -> Any:
        return tree_of(run_of(run_page(site, key, in_window=bool(window), mask=mask), key, look))

    shared = Shared(page_of)
    steady.register(app, BODY)

    @app.callback(
        Output(tree_id(BODY), "data"),
        Input("notice-element", "data"),
        Input("notice-run", "data"),
        Input("notice-file", "data"),
        Input("notice-plots", "data"),
        Input("tick", "n_intervals"),
        Input(KEY, "data"),
        prevent_initial_call=True,
    )
    def show_run(element: Any, run: Any, file: Any, plots: Any, _tick: Any, asked: list[Any]) -> Any:
        key, in_window, mask, look = asked_of(asked, 1)
        if KEY not in ctx.triggered_prop_ids.values() and not concerns(
            key, ctx.triggered_prop_ids, {"notice-element.data": element, "notice-run.data": run}
        ):
            return no_update
        try:
            return shared(site, key, "1" if in_window else "", mask, *look, seq=seq_of((element, run, file, plots)))
        except StoreProblem as problem:
            return tree_of(failure(f"Run {key} cannot be shown", str(problem)))


def asked_of(asked: Any, names: int) -> Any:
    """What the store of a page holds: its `names`, whether in the window, a mask, and chips to look at."""
    more = [*asked[names:], None, None, None]
    window, mask, look = more[0], more[1] or "", [str(chip)[:20] for chip in more[2] or ()][:LOOK_MOST]
    return (*map(str, asked[:names]), bool(window), str(mask)[:40], tuple(look))


def concerns(key: str, triggered: Any, notices: dict[str, Any]) -> bool:
    """Whether what happened can change the page of the run `key`."""
    for name in triggered:
        if name not in notices or key == LATEST:
            return True
        keys = (notices[name] or {}).get("keys", ["*"])
        if any(one == "*" or one.split("/")[0] == key for one in keys):
            return True
    return False
