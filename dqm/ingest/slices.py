"""The window of a run: what its last minutes added to every plot, in slices of which the oldest falls out.

A slice is made of what a pass added between two commits, together with the one before it while both are short. It holds all
plots in one state, so that a commit writes one file more, however many plots there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dqm.records import Slice
from dqm.results import Element
from dqm.store.states import MissingState, States
from plots.base import taken_apart, together

PIECES = 10
"""The window moves on in so many steps."""


def slice_s(window_s: float) -> float:
    """The length of a slice [s]."""
    return window_s / PIECES


def cut(
    file_id: int, span: tuple[float, float], elements: Iterable[Element], geometry: str | None, before: Slice | None,
    states: States, window_s: float,
) -> Slice | None:  # fmt: skip
    """The slice of what `elements` have just added, written; in the place of `before` where both are short."""
    added = {e.name: e.added for e in elements if e.added is not None and not e.broken and not e.unavailable}
    if not added:
        return None
    plots = {e.name: (e.plot.version, geometry) for e in elements if e.name in added}
    made = Slice(file_id, *span, plots, "")
    if before is not None and _goes_on(before, made, window_s):
        try:
            known = taken_apart(states.get(before.address))
        except MissingState:
            known = {}
        if known.keys() == added.keys():
            added = {name: known[name].collect(own) for name, own in added.items()}
            made = replace(made, id=before.id, since=before.since)
    return replace(made, address=states.put(together(added)))


def _goes_on(before: Slice, made: Slice, window_s: float) -> bool:
    in_order = before.until <= made.since + 1 and before.since <= made.since
    return in_order and made.until - before.since < slice_s(window_s) and before.plots == made.plots
