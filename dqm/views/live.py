"""What the frame of every page shows: the newest run in one line, and where the notices stand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dqm.records import Run
from dqm.store import runs, watchers
from dqm.store.database import StoreProblem
from dqm.views.site import Site

__all__ = ["RunStrip", "Shared", "StoreProblem", "last_notice", "run_state", "run_strip", "seq_of"]


SILENT_S = 15.0
"""An ingest process that gave no sign of life for so long is not running."""
OLD_S = 2 * 86400.0
"""A run whose data are older than this goes on no more, though it was only read now."""

T = TypeVar("T")


class Shared(Generic[T]):
    """One answer for all who ask at about the same time, and are told of nothing that is newer than it.

    A commit wakes every open page at once, and the next one comes before all of them are served: without this, fifty
    viewers would make the same board fifty times.
    """

    MOST = 20

    def __init__(self, make: Callable[..., T], for_s: float = 2.0):
        self._make = make
        self._for_s = for_s
        self._slots: dict[tuple[str, ...], _Slot[T]] = {}
        self._lock = threading.Lock()

    def __call__(self, site: Site, *asked: str, seq: int = 0) -> T:
        """The answer for `asked`, which knows of the notice `seq`: made now, or a moment ago for somebody else."""
        came = time.monotonic()
        with self._lock:
            if asked not in self._slots and len(self._slots) >= self.MOST:
                self._slots.clear()
            slot = self._slots.setdefault(asked, _Slot())
        with slot.lock:  # others who want the same wait for the one who makes it
            made = slot.made
            if made is None or (made.began < came and (made.seq < seq or came - made.began >= self._for_s)):
                began, known = time.monotonic(), last_notice(site)
                made = slot.made = _Made(began, known, self._make(site, *asked))
            return made.answer


@dataclass(frozen=True)
class _Made(Generic[T]):
    began: float
    seq: int
    answer: T


@dataclass
class _Slot(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: _Made[T] | None = None


def seq_of(news: Iterable[Any]) -> int:
    """The newest notice that a browser was told of, from what its notice stores hold; 0 for anything else."""
    found = (one.get("seq") for one in news if isinstance(one, dict))
    return max((seq for seq in found if isinstance(seq, int)), default=0)


@dataclass(frozen=True)
class RunStrip:
    """The newest run, as short as it goes."""

    key: str
    state: str
    """As `run_state` gives it."""
    start: float | None
    end: float | None
    updated: float
    monitored: bool
    """Whether any ingest process gives signs of life."""


def run_strip(site: Site, now: float | None = None) -> RunStrip | None:
    """The newest run; None before the first."""
    now = time.time() if now is None else now
    with site.store.read() as tx:
        run = runs.latest(tx)
        alive = watchers.alive(tx, now - SILENT_S)
    if run is None:
        return None
    state = run_state(run, True, site.settings.web.stale_s, now)
    return RunStrip(run.key, state, run.start, run.end, run.updated, bool(alive))


def run_state(run: Run, newest: bool, stale_s: float, now: float | None = None) -> str:
    """``running`` while data come; ``silent`` when none came for `stale_s` though nothing says it is over; ``ended``."""
    fresh = (time.time() if now is None else now) - run.updated < stale_s
    now = time.time() if now is None else now
    old = run.end is not None and now - run.end > OLD_S
    over = run.growing == 0 and (run.closed or not newest or old)
    if over:
        return "ended"
    return "running" if fresh else "silent"


def last_notice(site: Site) -> int:
    """Number of the newest notice: a page made now knows everything up to it."""
    return site.newest
