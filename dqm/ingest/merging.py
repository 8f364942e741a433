"""The elements of a run: states of its files, merged in the order of the files."""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dqm.records import DROPPED, Part
from dqm.store import Store, parts
from plots.base import MergeablePlot, Plot, State, add_delta

KEPT = 24
"""Bases that are kept in memory: those of the plots of one run, and a few."""


class StatesDropped(Exception):
    """The run was closed and the states of its files dropped: it can only be counted anew."""


@dataclass
class Merger:
    """Merges parts of files into bases of runs; keeps the newest bases at hand."""

    store: Store
    _kept: OrderedDict[str, State] = field(default_factory=OrderedDict)

    def of_part(self, plot: MergeablePlot, part: Part, detector: Any) -> State:
        """The state of a file, to be added to: its base and what was added since."""
        if part.base is None:
            raise StatesDropped(plot.name)
        state = self._load(plot, part.base, detector)
        for delta in part.deltas:
            add_delta(state, self.store.states.get(delta))
        return state

    def _load(self, plot: MergeablePlot, address: str, detector: Any) -> State:
        geometry = detector.geometry_id if detector is not None else None
        return State.from_bytes(self.store.states.get(address), plot.name, plot.version, geometry, detector)

    def base(self, plot: MergeablePlot, address: str | None, detector: Any) -> State:
        """A copy of the base of a run's element; the state before the first packet for None."""
        state = plot.start(detector)
        if address is None:
            return state
        if address == DROPPED:
            raise StatesDropped(plot.name)
        key = f"{address}/{plot.name}/{plot.version}/{detector.geometry_id if detector is not None else None}"
        kept = self._kept.get(key)
        if kept is None:
            kept = self._load(plot, address, detector)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return state.merge(kept)

    def keep(self, state: State) -> str:
        """Writes a base, safely, and gives its address."""
        return self.store.states.put(state.to_bytes())

    def rebuilt(self, plot: MergeablePlot, of_files: list[Part], detector: Any) -> State:
        """The base anew from the states of files, in their order. Raises StatesDropped."""
        state = plot.start(detector)
        for part in of_files:
            state.merge(self.of_part(plot, part, detector))
        return state

    def mergeable_parts(self, tx: Any, run_id: int, plot: type[Plot] | Plot, geometry: str | None) -> list[Part]:
        """Parts of finished files that belong in the base, in the order of the files."""
        found = parts.of_plot(tx, run_id, name_of(plot), finished=True)
        return [part for part in found if part.state == "ok" and fits(part, plot, geometry)]


def name_of(plot: type[Plot] | Plot) -> str:
    return plot.__name__ if isinstance(plot, type) else plot.name


def fits(part: Part, plot: type[Plot] | Plot, geometry: str | None) -> bool:
    """Whether a part is of this version of the plot and of this geometry: others never merge."""
    return part.plot_version == plot.version and part.geometry == geometry


def floats_in(content: bytes) -> bool:
    """As `has_floats`, of a state that was written; False for the figure of a simple plot."""
    if not content.startswith(b"PK"):  # no npz
        return False
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return any(arrays[name].dtype.kind == "f" for name in arrays.files)


def has_floats(state: State) -> bool:
    """Whether the order of adding can be seen in the result."""
    return any(array.dtype.kind == "f" for array in state.to_arrays().values())
