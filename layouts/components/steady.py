"""Parts of a page that change often and must keep still: only what differs is touched in the browser.

Dash makes every child anew when a callback gives an element its children: a figure would be drawn again, an open list would
close, the keyboard would lose its place and nobody could copy a message from a board that lives. So a callback gives the
parts as data, and assets/steady.js brings the page up to date with them.
"""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Input, Output, dcc, html
from dash.development.base_component import Component

NAMES = {"className": "class", "tabIndex": "tabindex", "dateTime": "datetime"}
Tree = list[Any]


def steady(id: str, children: Any, **attributes: Any) -> html.Div:
    """A part of a page that a callback brings up to date by its tree (`tree_of`): ``Output(tree_id(id), "data")``."""
    return html.Div([dcc.Store(id=tree_id(id), data=tree_of(children)), html.Div(id=id, **attributes)])


def tree_id(id: str) -> str:
    return f"{id}-tree"


def register(app: Any, id: str) -> None:
    """Lets the browser follow the tree of a part."""
    app.clientside_callback(
        ClientsideFunction("larboard", "steady"),
        Output(tree_id(id), "modified_timestamp"),
        Input(tree_id(id), "data"),
        Input(tree_id(id), "id"),
    )


def tree_of(children: Any) -> Tree:
    """Elements of dash.html as ``[tag, attributes, children]``, texts as they are; TypeError for other components."""
    if children is None:
        return []
    if isinstance(children, (list, tuple)):
        return [node for child in children for node in tree_of(child)]
    if isinstance(children, Component):
        return [_element(children)]
    return [str(children)]


def _element(component: Component) -> Tree:
    if component._namespace != "dash_html_components":
        raise TypeError(f"{component._type} cannot be part of a tree, only elements of dash.html")
    properties = component.to_plotly_json()["props"]
    attributes = {
        NAMES.get(name, name): "" if value is True else str(value)
        for name, value in properties.items()
        if name != "children" and value is not None and value is not False
    }
    return [component._type.lower(), attributes, tree_of(properties.get("children"))]
