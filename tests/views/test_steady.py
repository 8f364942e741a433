"""Elements as the data from which the browser builds them."""

from __future__ import annotations

import pytest
from dash import dcc, html

from layouts.components.steady import tree_of
from layouts.components.words import extra


def test_elements_become_tag_attributes_and_children() -> None:
    made = html.Div([html.A("go", href="/", className="quiet"), None, ["a", 3], html.H3()], id="x", **extra(data_y="1"))
    assert tree_of(made) == [
        ["div", {"id": "x", "data-y": "1"}, [["a", {"href": "/", "class": "quiet"}, ["go"]], "a", "3", ["h3", {}, []]]]
    ]


def test_what_is_off_is_left_out_and_what_is_on_is_empty() -> None:
    assert tree_of([html.Button(hidden=True), html.Button(hidden=False)]) == [
        ["button", {"hidden": ""}, []],
        ["button", {}, []],
    ]


def test_other_components_are_refused() -> None:
    with pytest.raises(TypeError, match="Graph cannot be part of a tree"):
        tree_of(html.Div(dcc.Graph()))
