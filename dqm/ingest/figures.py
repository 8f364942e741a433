"""Figures of simple plots between two looks: kept as states are, and given back only to whom they may be given."""

from __future__ import annotations

import orjson

from dqm.results import Element
from dqm.store import Store
from dqm.store.states import Batch, address_of
from plots.base import MEMORY, Plot

MOST_WRITTEN = 10_000


class Figures:
    """What simple plots go on from; remembers which figures with objects in them this process had written."""

    def __init__(self, store: Store):
        self.store = store
        self._written: dict[str, None] = {}
        """Addresses of figures with objects in them, the newest last."""

    def keep(self, element: Element, batch: Batch) -> str | None:
        """Writes the figure of a simple plot; one with objects in it is given back only by who saw it written."""
        if element.packed is None:
            return None
        address = batch.put(element.packed)
        if element.plot.private_memory and is_whole(element.packed):
            self._written[address] = None
            while len(self._written) > MOST_WRITTEN:
                del self._written[next(iter(self._written))]
        return address

    def may_go_on(self, plot: type[Plot], base: str | None) -> bool:
        """Whether a plot may be given its figure: one that carries objects must be what this very process had written.

        Whoever can write into the store must not run code here. After a restart such a plot begins its file anew.
        """
        return not plot.private_memory or base is None or base in self._written

    def of(self, plot: type[Plot], base: str) -> bytes:
        """The figure that a simple plot goes on from; without the objects in it where those may not be given to it."""
        content = self.store.states.get(base)
        trusted = self.may_go_on(plot, base) and (not plot.private_memory or address_of(content) == base)
        return content if trusted else _without_memory(content)


def is_whole(figure: bytes) -> bool:
    """Whether the memory in a figure could be saved."""
    try:
        return "lost" not in orjson.loads(figure)["layout"]["meta"][MEMORY]
    except (ValueError, KeyError, TypeError):
        return False


def _without_memory(figure: bytes) -> bytes:
    """A figure that is shown as before, and cannot be gone on from."""
    content = orjson.loads(figure)
    content["layout"]["meta"] = {MEMORY: {"lost": "it was not kept"}}
    return orjson.dumps(content)
