"""States and times as every page shows them: a shape, a word, a colour; times in the zone that is chosen."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

WORDS = {
    "good": "GOOD",
    "suspect": "SUSPECT",
    "bad": "BAD",
    "unknown": "NOT YET",
    "nodata": "NO DATA",
    "stale": "STALE",
    "broken": "BROKEN",
}


def mark(state: str, word: str | None = None) -> html.Span:
    """Shape and word of a state; colour only repeats them."""
    return html.Span([html.Span(className=f"mark {state}"), " ", word or WORDS[state]], className=f"state {state}")


def moment(unix: float | None, *, unknown: str = "–") -> html.Time | html.Span:
    """A time, shown by the browser in the zone that is chosen there (assets/times.js)."""
    if unix is None:
        return html.Span(unknown)
    return html.Time(className="moment", **_unix(unix))


def age(unix: float | None, *, unknown: str = "never") -> html.Time | html.Span:
    """How long ago, kept up to date by the browser."""
    if unix is None:
        return html.Span(unknown)
    return html.Time(className="age", **_unix(unix))


def _unix(unix: float) -> Any:
    return {"data-unix": f"{unix:.3f}"}


def empty(what: str, why: str, action: Component | None = None) -> html.Div:
    """An empty state: what will be here, why it is not yet, and the one thing to do."""
    return html.Div([html.H3(what), html.P(why), *([action] if action else [])], className="empty-state")
