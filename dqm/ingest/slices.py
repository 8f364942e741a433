"""The window of a run: what its last minutes added to every plot, in slices of which the oldest falls out.

A slice is what a pass added between two commits, of all plots in one file, which is the same that their parts name as what
was added. Short ones that follow each other are put together, a few at a time, so that a window is never of many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dqm.records import Slice
from dqm.results import Element
from dqm.store.states import Batch
from plots.base import Increment, together

PIECES = 10
"""The window moves on in so many steps."""
JOINED = 8
"""Short slices of a file are put together when there are so many."""


@dataclass
class Running:
    """The newest slices of a file while they are short together, and what they hold."""

    pieces: list[Slice]
    sums: dict[str, Increment]

    def are(self, there: Collection[tuple[str, float]]) -> bool:
        """Whether the database has them all, by address and beginning."""
        return all((piece.address, piece.since) in there for piece in self.pieces)

    def takes(self, made: Slice, there: Collection[tuple[str, float]], window_s: float) -> bool:
        """Whether a slice goes on with these, of which all must be `there`."""
        first, last = self.pieces[0], self.pieces[-1]
        in_order = last.until <= made.since + 1 and last.since <= made.since
        short = made.until - first.since < slice_s(window_s)
        return in_order and short and last.plots == made.plots and self.are(there)

    def add(self, made: Slice, added: Mapping[str, Increment]) -> None:
        self.pieces.append(made)
        for name, own in added.items():
            self.sums[name].collect(own)

    def joined(self, batch: Batch) -> Slice:
        """All of them as one; from now on it stands for them."""
        first, last = self.pieces[0], self.pieces[-1]
        self.pieces = [replace(last, since=first.since, address=batch.put(together(self.sums)))]
        return self.pieces[0]


@dataclass
class Cut:
    """Slices to be written, and those that they take the place of."""

    made: list[Slice] = field(default_factory=list)
    replaced: list[Slice] = field(default_factory=list)
    running: Running | None = None


def slice_s(window_s: float) -> float:
    """The length of a slice [s]."""
    return window_s / PIECES


def cut(made: Slice, added: Mapping[str, Increment], running: Running | None, there: Collection[tuple[str, float]],
        window_s: float, batch: Batch) -> Cut:  # fmt: skip
    """What becomes of a new slice: `running` are those before it, `there` what the database has of the file."""
    cuts = Cut([made])
    if running is not None and running.takes(made, there, window_s):
        before = list(running.pieces)
        running.add(made, added)
        if len(running.pieces) >= JOINED:
            cuts.made, cuts.replaced = [running.joined(batch)], before
    else:
        if running is not None and len(running.pieces) > 1 and running.are(there):
            cuts.replaced = list(running.pieces)
            cuts.made = [running.joined(batch), made]
        running = Running([made], {name: Increment().collect(own) for name, own in added.items()})
    cuts.running = running
    return cuts


def added_by(elements: Iterable[Element]) -> dict[str, Increment]:
    """What the last leg added, of the plots that say so."""
    return {e.name: e.added for e in elements if e.added is not None and not e.broken and not e.unavailable}
