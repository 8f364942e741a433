"""Plug-ins that went over a limit rest, longer each time; what they missed is counted when they are tried again.

An exception is no reason to rest: it costs nothing but its own tile. A file on which a plug-in was stopped twice is not
given to it again, so that one file cannot keep it from all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dqm.records import GIVE_UP, REST_S, ElementState, Part
from dqm.results import Element
from dqm.store import Store, parts, plugins
from dqm.store.plugins import Rest

TRIES_OF_A_FILE = 2
FILES_KEPT = 200


def note(tx: Any, element: Element, part: Part, now: float) -> None:
    """What a pass over a file says of a plug-in: it was stopped, or it works again. In the transaction of the pass."""
    if element.stopped:
        _stopped(tx, part, now)
    elif part.complete and part.state is ElementState.OK:
        plugins.worked(tx, part.plot)


def _stopped(tx: Any, part: Part, now: float) -> None:
    rest = plugins.rest(tx, part.plot)
    key = str(part.file_id)
    on = {**{k: n for k, n in rest.on.items() if k != key}, key: rest.on.get(key, 0) + 1}
    on = dict(list(on.items())[-FILES_KEPT:])
    if rest.lasts(now):  # of several passes at once each may have met it
        plugins.set_rest(tx, part.plot, Rest(rest.stops, rest.until, on))
        return
    stops = rest.stops + 1
    until = now + REST_S[stops - 1] if stops < GIVE_UP else None
    plugins.set_rest(tx, part.plot, Rest(stops, until, on))


class Backoff:
    """Which plug-ins rest now."""

    def __init__(self, store: Store, now: Callable[[], float]):
        self.store = store
        self.now = now

    def resting(self) -> set[str]:
        """Names of plots that are given no file now."""
        with self.store.read() as tx:
            return {name for name, rest in plugins.rests(tx).items() if rest.lasts(self.now())}

    def over(self) -> list[str]:
        """Names of plots whose rest is over."""
        with self.store.read() as tx:
            return [
                name for name, rest in plugins.rests(tx).items() if rest.until is not None and rest.until <= self.now()
            ]

    def wake(self, tx: Any, names: Iterable[str]) -> None:
        """Lets plots try again, with the files that they were not stopped on too often."""
        for name in names:
            rest = plugins.rest(tx, name)
            plugins.set_rest(tx, name, Rest(rest.stops, None, rest.on))
            parts.forget_broken(tx, name, [int(key) for key, times in rest.on.items() if times < TRIES_OF_A_FILE])
