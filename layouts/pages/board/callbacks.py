"""The board follows every notice, and time alone: data grow old, and an ingest process falls silent."""

from __future__ import annotations

from typing import Any

from dash import Input, Output

from dqm.views.board import board
from dqm.views.live import Shared, StoreProblem, seq_of
from dqm.views.site import Site
from layouts.components import steady
from layouts.components.steady import tree_id, tree_of
from layouts.components.words import failure
from layouts.pages.board.layout import BOARD, board_of

TOPICS = ("run", "element", "file", "plots", "ingest", "alarm")


def register(app: Any, site: Site) -> None:
    shared = Shared(lambda site: tree_of(board_of(board(site))))
    steady.register(app, BOARD)

    @app.callback(
        Output(tree_id(BOARD), "data"),
        [Input(f"notice-{topic}", "data") for topic in TOPICS],
        Input("tick", "n_intervals"),
        prevent_initial_call=True,
    )
    def show_board(*news: Any) -> Any:
        try:
            return shared(site, seq=seq_of(news))
        except StoreProblem as problem:
            return tree_of(failure("The board cannot be shown", str(problem)))
