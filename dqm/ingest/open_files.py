"""What is counted of files that grow, kept at hand between two looks, so that it need not be read back each time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from dqm.ingest.slices import Running
from dqm.records import Part
from plots.base import State

KEPT = 4
"""Files; each costs as much memory as the states of its plots, twice."""


@dataclass
class Open:
    """A file as it was left by a pass that was saved."""

    states: dict[str, tuple[Part, State]] = field(default_factory=dict)
    running: Running | None = None


class OpenFiles:
    """States by file and plot. A pass takes them out and puts them back when it is saved: what fails between is dropped."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, Open] = OrderedDict()

    def take(self, file_id: int, part: Part) -> State | None:
        """The state of a part, to be added to; None unless it is what the database names."""
        part_kept, state = self._open.get(file_id, Open()).states.pop(part.plot, (None, None))
        return state if part_kept is not None and _named(part_kept) == _named(part) else None

    def take_running(self, file_id: int) -> Running | None:
        """The newest slices of a file, which go on as long as they are in the window of its run."""
        found = self._open.get(file_id, Open())
        running, found.running = found.running, None
        return running

    def keep(self, file_id: int, states: Collection[tuple[Part, State]], running: Running | None) -> None:
        """As a pass left it; nobody else may hold `states`."""
        found = self._open.setdefault(file_id, Open())
        found.states |= {part.plot: (part, state) for part, state in states}
        found.running = running or found.running
        self._open.move_to_end(file_id)
        while len(self._open) > KEPT:
            self._open.popitem(last=False)

    def drop(self, file_id: int) -> None:
        self._open.pop(file_id, None)


def _named(part: Part) -> Part:
    """A part but for what does not concern its state."""
    return replace(part, merged=False)
