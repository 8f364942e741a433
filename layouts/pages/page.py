"""What a page is: where it lives, what it is called, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dqm.views.site import Site

Layout = Callable[..., Any]
"""``layout(site, query, **parts of the path)`` gives the components of the page; `query` is a dict of the URL's query."""


@dataclass(frozen=True)
class Page:
    """`rule` is a werkzeug URL rule, such as ``/runs/<run>``; `nav` the word in the navigation (empty: not in it)."""

    name: str
    rule: str
    title: str
    """May name parts of the path: ``Run {run}``."""
    layout: Layout
    register: Callable[[Any, Site], None] | None = None
    """``register(app, site)``: the callbacks of the page."""
    nav: str = ""
    role: str = "viewer"
    """Who may see it; its callbacks and its layout look for themselves too."""
