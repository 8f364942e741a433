"""Files are read when the page is there, so that it says what it does meanwhile."""

from __future__ import annotations

from typing import Any

from dash import Input, Output

from dqm.views.live import StoreProblem
from dqm.views.rows_behind import CannotSearch, search, wanted
from dqm.views.site import Site
from layouts.components import steady
from layouts.components.steady import tree_id, tree_of
from layouts.components.words import failure
from layouts.pages.rows.layout import ASKED, FOUND, cannot, found_rows


def register(app: Any, site: Site) -> None:
    steady.register(app, FOUND)

    @app.callback(Output(tree_id(FOUND), "data"), Input(ASKED, "data"))
    def show_rows_behind(asked: list[Any]) -> Any:
        run, query = str(asked[0]), {str(name): str(value) for name, value in dict(asked[1]).items()}
        try:
            found = search(site, run, wanted(site, query))
        except CannotSearch as why:
            return tree_of(cannot(str(why), run))
        except StoreProblem as problem:
            return tree_of(failure("The packets cannot be shown", str(problem)))
        return tree_of(found_rows(found, wanted(site, query), run))
