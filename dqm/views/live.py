"""What the frame of every page shows: the newest run in one line, and where the notices stand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dqm.records import Run
from dqm.store import notices, runs, watchers
from dqm.store.database import StoreProblem
from dqm.views.site import Site

__all__ = ["RunStrip", "Shared", "StoreProblem", "last_notice", "run_state", "run_strip"]


SILENT_S = 15.0
"""An ingest process that gave no sign of life for so long is not running."""
OLD_S = 2 * 86400.0
"""A run whose data are older than this goes on no more, though it was only read now."""

T = TypeVar("T")


class Shared(Generic[T]):
    """One answer for all who ask at the same time: kept until the next notice, and no longer than `for_s`.

    A commit wakes every open page at once; without this, fifty viewers would make the same board fifty times.
    """

    MOST = 20

    def __init__(self, make: Callable[..., T], for_s: float = 2.0):
        self._make = make
        self._for_s = for_s
        self._made: dict[tuple[str, ...], tuple[int, float, T]] = {}
        self._lock = threading.Lock()

    def __call__(self, site: Site, *asked: str) -> T:
        with self._lock:
            seq, now = last_notice(site), time.monotonic()
            kept = self._made.get(asked)
            if kept and kept[0] == seq and now - kept[1] < self._for_s:
                return kept[2]
            if len(self._made) >= self.MOST:
                self._made.clear()
            made = self._make(site, *asked)
            self._made[asked] = (seq, now, made)
            return made


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
    with site.store.read() as tx:
        return notices.last(tx)
