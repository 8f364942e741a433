"""What is read when the page is there: the runs, and the ADC spectrum when somebody asks for it.

The numbers follow the notices of the run.
"""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, ctx, no_update

from dqm.views.channel_page import channel_page, life, window_now
from dqm.views.live import StoreProblem
from dqm.views.rows_behind import CannotSearch, adc_spectrum, wanted
from dqm.views.site import Site
from layouts.components import steady
from layouts.components.steady import tree_id, tree_of
from layouts.components.words import mark
from layouts.pages.channel.figures import biography, spectrum
from layouts.pages.channel.layout import (
    ASKED,
    LIFE,
    NOW,
    OVER_RUNS,
    SPECTRUM,
    asked_of,
    now_of,
    read_so_far,
    registers_table,
    summary,
)
from layouts.pages.run.callbacks import concerns


def register(app: Any, site: Site) -> None:
    steady.register(app, OVER_RUNS)
    steady.register(app, NOW)

    @app.callback(
        Output(tree_id(NOW), "data"),
        Input("notice-element", "data"),
        Input("notice-run", "data"),
        Input("tick", "n_intervals"),
        State(ASKED, "data"),
        prevent_initial_call=True,
    )
    def show_now(element: Any, run: Any, _tick: Any, asked: list[Any]) -> Any:
        channel = asked_of(asked)
        if not concerns(channel.run, ctx.triggered_prop_ids, {"notice-element.data": element, "notice-run.data": run}):
            return no_update
        try:
            return tree_of(now_of(channel_page(site, channel)))
        except StoreProblem as problem:
            return tree_of([mark("broken"), f" {problem}"])

    @app.callback(
        Output("channel-said", "children"),
        Output(LIFE, "figure"),
        Output(tree_id(OVER_RUNS), "data"),
        Input(ASKED, "data"),
        Input("zone", "data"),
    )
    def show_life(asked: list[Any], zone: str | None) -> Any:
        try:
            found = life(site, asked_of(asked))
        except StoreProblem as problem:
            return [mark("broken"), f" {problem}"], no_update, no_update
        return summary(found), biography(found, zone or "UTC"), tree_of(registers_table(found, asked_of(asked)))

    @app.callback(
        Output("channel-spectrum-said", "children"),
        Output(SPECTRUM, "figure"),
        Output("channel-spectrum-area", "hidden"),
        Output("channel-spectrum-so-far", "data"),
        Output("channel-read", "children"),
        Output("channel-read", "disabled"),
        Input("channel-read", "n_clicks"),
        State(ASKED, "data"),
        State("channel-spectrum-so-far", "data"),
        prevent_initial_call=True,
    )
    def show_spectrum(clicks: int | None, asked: list[Any], so_far: dict[str, Any] | None) -> Any:
        if not clicks:
            return (no_update,) * 6
        before = so_far or {}
        channel = asked_of(asked)
        try:
            where = str(before.get("where") or (window_now(site, channel) if channel.in_window else ""))
            query = {"pixel": channel.channel, "after": str(before.get("after", "")), "where": where}
            search_for = wanted(site, query)
            if channel.in_window and not where:
                raise CannotSearch("None of the last minutes of this run are kept by themselves (any more).")
            found = adc_spectrum(site, channel.run, search_for)
        except (CannotSearch, StoreProblem) as why:
            return [mark("unknown", "NOT READ"), f" {why}"], no_update, no_update, no_update, "Try again", False
        if found is None:
            return f"There is no run {channel.run}.", no_update, no_update, no_update, no_update, True
        search, counts = found
        before_counts = before.get("counts") or [0] * len(counts)
        total = [int(old) + new for old, new in zip(before_counts, counts, strict=True)]
        after = f"{search.next[0]}.{search.next[1]}" if search.next else ""
        said = read_so_far(search, sum(total), search_for.conditions)
        kept = {"counts": total, "after": after, "where": where}
        return said, spectrum(total), not sum(total), kept, "Read on" if after else "All is read", not after
