"""What is read when the page is there: the runs, and the ADC spectrum when somebody asks for it."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, no_update

from dqm.views.channel_page import life
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
    OVER_RUNS,
    SPECTRUM,
    asked_of,
    read_so_far,
    registers_table,
    summary,
)


def register(app: Any, site: Site) -> None:
    steady.register(app, OVER_RUNS)

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
        query = {"pixel": channel.channel, "after": str(before.get("after", ""))}
        try:
            found = adc_spectrum(site, channel.run, wanted(site, query))
        except (CannotSearch, StoreProblem) as why:
            return [mark("unknown", "NOT READ"), f" {why}"], no_update, no_update, no_update, "Try again", False
        if found is None:
            return f"There is no run {channel.run}.", no_update, no_update, no_update, no_update, True
        search, counts = found
        before_counts = before.get("counts") or [0] * len(counts)
        total = [int(old) + new for old, new in zip(before_counts, counts, strict=True)]
        after = f"{search.next[0]}.{search.next[1]}" if search.next else ""
        said = read_so_far(search, sum(total))
        kept = {"counts": total, "after": after}
        return said, spectrum(total), not sum(total), kept, "Read on" if after else "All is read", not after
