"""States and times as every page shows them: a shape, a word, a colour; times in the zone that is chosen."""

from __future__ import annotations

import time
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


def extra(**attributes: str) -> Any:
    """Attributes that Python cannot spell: ``**extra(data_page="runs")`` for ``data-page``."""
    return {name.replace("_", "-"): value for name, value in attributes.items()}


def mark(state: str, word: str | None = None) -> html.Span:
    """Shape and word of a state; colour only repeats them."""
    return html.Span([html.Span(className=f"mark {state}"), " ", word or WORDS[state]], className=f"state {state}")


RUN_WORDS = {"running": "RUNNING", "silent": "NO NEW DATA", "ended": "ENDED"}


def run_mark(state: str) -> html.Span:
    """Whether a run goes on: a ring, a clock, a stop."""
    return html.Span([html.Span(className=f"mark {state}"), " ", RUN_WORDS[state]], className=f"state {state}")


def moment(unix: float | None, *, unknown: str = "–") -> html.Time | html.Span:
    """A time, shown by the browser in the zone that is chosen there (assets/times.js)."""
    if unix is None:
        return html.Span(unknown)
    return html.Time(className="moment", **_unix(unix))


def exact_moment(unix: float | None, *, unknown: str = "–") -> html.Time | html.Span:
    """A time to the second, whatever the day."""
    return html.Span(unknown) if unix is None else html.Time(className="moment exact", **_unix(unix))


def age(unix: float | None, *, unknown: str = "never", ago: bool = True) -> html.Time | html.Span:
    """How long ago (``4 s ago``, without `ago` ``4 s``), kept up to date by the browser."""
    if unix is None:
        return html.Span(unknown)
    return html.Time(className="age" if ago else "age bare", **_unix(unix))


def duration(start: float | None, end: float | None, *, unknown: str = "–") -> html.Time | html.Span:
    """``00:14:32`` from `start` to `end`; without an end it counts on in the browser."""
    if start is None:
        return html.Span(unknown)
    until: Any = {} if end is None else extra(data_end=f"{end:.3f}")
    return html.Time(className="duration", **_unix(start), **until)


def so_far(start: float | None, end: float | None, updated: float, running: bool) -> html.Time | html.Span:
    """How long a run is: by the stamps of its data, and while it goes on from the last of them by this clock.

    The clock of the detector may be another one: it must not say how long ago something was.
    """
    if running and start is not None and end is not None:
        return duration(updated - (end - start), None)
    return duration(start, end if not running else None)


def _unix(unix: float) -> Any:
    return extra(data_unix=f"{unix:.3f}")


def empty(what: str, why: str, action: Component | None = None) -> html.Div:
    """An empty state: what will be here, why it is not yet, and the one thing to do."""
    return html.Div([html.H3(what), html.P(why), *([action] if action else [])], className="empty-state")


def failure(what: str, reason: str) -> html.Div:
    """What cannot be shown, why, since when, and a way to try again."""
    return html.Div(
        [
            html.H3([mark("broken"), f" {what}"]),
            html.P(reason),
            html.P(["Since ", moment(time.time()), "."]),
            html.Button("Try again", className="primary retry-page"),
        ],
        className="empty-state failed",
    )
