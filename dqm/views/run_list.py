"""Runs as a list: searched, sorted and cut in the database, so that ten thousand cost no more than fifty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from dqm.records import Run
from dqm.store import runs
from dqm.store.runs import Search
from dqm.views.asked import Asked, Order
from dqm.views.site import Site
from dqm.views.words import number

QUALITIES = {"bad": "BAD", "suspect": "SUSPECT", "unknown": "NOT YET", "good": "GOOD"}
"""Verdicts to choose from, worst first, with their words."""
COLUMNS = ("number", "quality", "start", "duration", "category", "packets", "files", "updated")
PAGE = 1000


@dataclass(frozen=True)
class Wanted:
    """A list of runs that somebody asks for; `problems` are sentences about what was not understood."""

    search: Search = field(default_factory=Search)
    order: Order = ()
    problems: tuple[str, ...] = ()

    @property
    def filtered(self) -> bool:
        return self.search != Search()


@dataclass(frozen=True)
class Rows:
    """A part of a list, as a table takes it, and how long the whole list is."""

    rows: list[dict[str, Any]]
    total: int


def wanted(query: Mapping[str, str]) -> Wanted:
    """What a query such as ``search=hot&category=physics&quality=bad&since=2024-07-08&order=-packets`` asks for."""
    asked = Asked(query)
    search = Search(
        words=asked.text("search"),
        category=asked.text("category"),
        quality=asked.one_of("quality", QUALITIES, "verdict"),
        since=asked.moment("since"),
        until=asked.moment("until", end=True),
    )
    if search.since is not None and search.until is not None and search.since > search.until:
        asked.problems.append("The first day is after the last one: no run can fit.")
    return Wanted(search, asked.order("order", COLUMNS), tuple(asked.problems))


def run_rows(site: Site, search: Search, order: Order = (), start: int = 0, end: int = 100) -> Rows:
    """Rows `start` to `end` of the runs that fit, newest first unless `order` says otherwise."""
    limit = min(max(end - start, 0), PAGE)
    with site.store.read() as tx:
        found = runs.search(tx, search, order, max(start, 0), limit)
        total = runs.count(tx, search)
    return Rows([_row(run) for run in found], total)


def run_count(site: Site, search: Search | None = None) -> int:
    with site.store.read() as tx:
        return runs.count(tx, search or Search())


def categories(site: Site) -> list[str]:
    with site.store.read() as tx:
        return runs.categories(tx)


def _row(run: Run) -> dict[str, Any]:
    state, word = state_of(run)
    return {
        "key": run.key,
        "number": run.key,
        "quality": state,
        "word": word,
        "start": run.start,
        "duration": duration(run),
        "category": run.category,
        "tags": ", ".join(run.tags),
        "packets": number(run.packets),
        "packets_exact": f"{run.packets:,} packets",
        "files": files_in_words(run),
        "unread": run.unread,
        "detector": run.detector or "–",
        "comment": run.comment,
        "updated": run.updated,
    }


def state_of(run: Run) -> tuple[str, str]:
    """(state, word) of a run: its worst verdict, or why there is none."""
    if run.quality:
        return run.quality, QUALITIES.get(run.quality, run.quality.upper())
    return ("nodata", "NO LIMITS") if run.files else ("nodata", "NO DATA")


def duration(run: Run) -> str:
    """How long it lasted as far as it is counted: ``12 min 4 s``; a plus behind it while it is being taken."""
    if run.start is None or run.end is None:
        return "–"
    return span(run.end - run.start) + (" +" if run.growing else "")


def span(seconds: float) -> str:
    """A length of time in the two largest units: ``2 d 3 h``, ``12 min 4 s``, ``8 s``."""
    whole = max(round(seconds), 0)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (large, size), (small, part) in pairwise(units):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def files_in_words(run: Run) -> str:
    """``12``, ``12 (1 growing)``, ``12, 2 unread``."""
    growing = f" ({run.growing} growing)" if run.growing else ""
    return f"{run.files}{growing}" + (f", {run.unread} unread" if run.unread else "")


def found_in_words(total: int, filtered: bool, noun: str = "run") -> str:
    """``10,000 runs``, ``1 run fits``, ``No run fits``."""
    if not total:
        return f"No {noun} fits" if filtered else f"No {noun}s yet"
    fits = (" fits" if total == 1 else " fit") if filtered else ""
    return f"{total:,} {noun if total == 1 else noun + 's'}{fits}"
