"""What a page says about the query of its URL: words of filters, and what was not understood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html


def notes(problems: Sequence[str], state: str = "suspect") -> list[html.P]:
    """Sentences, each with a mark."""
    return [html.P([html.Span(className=f"mark {state}"), html.Span(text)], className="note") for text in problems]


def field(label: str, control: Any, wide: bool = False) -> html.Label:
    """A filter with its word above it."""
    return html.Label([html.Span(label), control], className="field wide" if wide else "field")


def search_field(id: str, value: str, placeholder: str) -> dcc.Input:
    """Free words; what is typed counts after a short pause."""
    return dcc.Input(
        id=id, type="search", value=value, placeholder=placeholder, debounce=0.3, autoComplete="off", spellCheck="false"
    )


def day_field(id: str, value: str | None) -> dcc.Input:
    """A date, by the browser's own calendar."""
    return dcc.Input(id=id, type="date", value=value or None, debounce=0.3)  # type: ignore[arg-type]


def named(label: str) -> Any:
    """The name of a part of the page, for those who hear it."""
    return {"aria-label": label}
