"""What the API asks for: records page by page, numbers over time, notices, and the few things that may be changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.engine import Connection

from dqm.auth.roles import LOCAL_ADMIN, ROLES, Actor, NotAllowed
from dqm.checks.range_check import Quality, Verdict, judge, worst
from dqm.records import (
    DataFile,
    Element,
    ElementState,
    Notice,
    Plugin,
    Resolution,
    Rollup,
    Run,
    TrendName,
    TrendPoint,
    Watcher,
)
from dqm.store import StoreProblem, elements, files, notices, plugins, rollups, runs, schema, trends, watchers
from dqm.store.runs import Search
from dqm.views.elements import does_without
from dqm.views.file_page import ALIVE_S
from dqm.views.plot_list import PlotList, plot_list
from dqm.views.site import Site
from plots.discovery import Registry

__all__ = ["ALIVE_S", "LOCAL_ADMIN", "ROLES", "Actor", "NotAllowed", "Quality", "Search", "StoreProblem"]

RUN_COLUMNS = (*runs.SORTABLE, runs.DURATION)
FILE_COLUMNS = tuple(files.SORTABLE)
WATCHER_MEMORY_S = 24 * 3600
"""An ingest process that was silent for longer is not listed."""
REPLAY_MOST = 10_000
"""Who has missed more notices than this is told to read everything anew instead."""

Order = Sequence[tuple[str, bool]]


class NotNow(Exception):
    """What was asked cannot be done in the state that things are in; the message says why."""


class Row(Protocol):
    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Place:
    """Where a page ended: so many rows from the beginning, and the id of its last row."""

    offset: int
    last: int


@dataclass(frozen=True)
class Page(Generic[R]):
    """Some rows of a list, and where the next ones begin (None: these are the last)."""

    rows: list[R]
    total: int
    next: Place | None


def run_page(site: Site, wanted: Search, order: Order, limit: int, place: Place | None) -> Page[Run]:
    """Runs that fit, newest first unless `order` (column, descending) says otherwise."""
    with site.store.read() as tx:
        total = runs.count(tx, wanted)
        return _page(lambda start, n: runs.search(tx, wanted, order, start, n), total, limit, place)


def file_page(site: Site, wanted: dict[str, Any], order: Order, limit: int, place: Place | None) -> Page[DataFile]:
    """Files that fit `wanted` (words, state, run, history), newest first unless `order` says otherwise."""
    with site.store.read() as tx:
        total = files.count(tx, **wanted)
        return _page(
            lambda start, n: files.search(tx, order=order, start=start, limit=n, **wanted), total, limit, place
        )


def _page(fetch: Callable[[int, int], list[R]], total: int, limit: int, place: Place | None) -> Page[R]:
    start = _behind(fetch, place) if place else 0
    found = fetch(start, limit + 1)
    rows = found[:limit]
    more = Place(start + len(rows), rows[-1].id) if len(found) > limit else None
    return Page(rows, total, more)


def _behind(fetch: Callable[[int, int], list[R]], place: Place, look: int = 500) -> int:
    """The row after the last one of the page before, which newer rows may have pushed down (or history up) meanwhile."""
    start = max(place.offset - look // 5, 0)
    rows = fetch(start, look)
    return next((start + n + 1 for n, row in enumerate(rows) if row.id == place.last), place.offset)


@dataclass(frozen=True)
class Neighbours:
    """A run and the keys of those before and after it."""

    run: Run
    before: str | None
    after: str | None


def run_of(site: Site, key: str) -> Neighbours | None:
    with site.store.read() as tx:
        run = runs.get(tx, key)
        return Neighbours(run, *runs.neighbours(tx, run)) if run else None


def edit_run(site: Site, actor: Actor, key: str, changes: dict[str, Any]) -> Neighbours | None:
    """Sets category, tags or comment; None when there is no such run. Raises NotAllowed."""
    actor.require("expert")
    with site.store.begin() as tx:
        run = runs.edit(tx, key, actor.name, changes)
        return Neighbours(run, *runs.neighbours(tx, run)) if run else None


@dataclass(frozen=True)
class Judged:
    """A plot of a run with its title and what the checks say of its trends."""

    element: Element
    title: str
    quality: str | None
    verdicts: dict[str, Verdict]


def judged_elements(site: Site, key: str) -> tuple[Run, list[Judged]] | None:
    """The plots of a run by name; None when there is no such run."""
    with site.store.read() as tx:
        run = runs.get(tx, key)
        found = elements.of_run(tx, run.id) if run else {}
    if run is None:
        return None
    titles = {name: plot.plot.title for name, plot in site.registry.plots.items()}
    return run, [_judged(element, titles.get(name, name)) for name, element in sorted(found.items())]


def _judged(element: Element, title: str) -> Judged:
    verdicts = {name: verdict for name, trend in element.trends.items() if (verdict := judge(trend))}
    return Judged(element, title, worst(verdicts.values()), verdicts)


@dataclass(frozen=True)
class Mark:
    """By which a figure is known without drawing it."""

    version: int
    tag: str


def figure_mark(site: Site, run_key: str, plot: str, zone: str, window: bool = False, mask: str = "") -> Mark | None:
    """The mark of the figure that would be drawn now; None when there would be none. Worked out once for each notice."""
    registry = site.registry  # before the generation: it may change it
    asked = (run_key, plot, zone, window, mask)
    return site.known((*asked, site.generation), lambda tx: _mark(tx, site, registry, *asked))


def _mark(
    tx: Connection, site: Site, registry: Registry, run_key: str, plot: str, zone: str, window: bool, mask: str
) -> Mark | None:
    run = runs.get(tx, run_key)
    element = elements.get(tx, run.id, plot) if run else None
    found = registry.plots.get(plot)
    if element is None or found is None or element.state is not ElementState.OK:
        return None
    if mask and not does_without(found):  # it may be counted anew, of which no notice tells
        return None
    # `updated` too: another database may have the same run with the same version
    parts = (element.run_id, plot, element.version, element.updated, element.plot_version)
    text = repr((run_key, *parts, zone, window, mask, found.source, site.generation))
    return Mark(element.version, hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24])


def trend_names(site: Site) -> list[TrendName]:
    with site.store.read() as tx:
        return trends.names(tx)


@dataclass(frozen=True)
class Followed:
    """A number over time: at most as many `points` (of files) or `rollups` (of hours or days) as were wanted."""

    name: TrendName
    resolution: Resolution
    points: list[TrendPoint]
    rollups: list[Rollup]
    total: int
    """How many files there are in the range."""
    kept: int
    """How many of them have no points of their own any more, by a retention rule."""


DIRECT = 4_000
"""So many points are fetched to be thinned; instead of more, hours or days are given."""


def followed(
    site: Site, name: str, since: float | None, until: float | None, most: int, resolution: Resolution | None = None
) -> Followed | None:
    """The trend ``Plot.name`` in a range of time; None when there is no such trend."""
    with site.store.read() as tx:
        trend = next((known for known in trends.names(tx) if known.key == name), None)
        if trend is None:
            return None
        first, last = trends.span(tx) or (0.0, 0.0)
        first, last = first if since is None else since, last if until is None else until
        found = trends.series(tx, trend.id, first, last, max(most, DIRECT), resolution)
        if found.resolution == "hour" and len(found.rollups) > most and resolution is None:
            found = trends.series(tx, trend.id, first, last, 0, "day")
    points, joined = thinned(found.points, most), in_steps(found.rollups, most)
    return Followed(trend, found.resolution, points, joined, found.files, found.kept)


def in_steps(found: Sequence[Rollup], most: int) -> list[Rollup]:
    """At most `most` of these: as many neighbours as it takes are one."""
    each = -(-len(found) // most)
    return [found[i] if each == 1 else _as_one(found[i : i + each]) for i in range(0, len(found), each or 1)]


def _as_one(several: Sequence[Rollup]) -> Rollup:
    last = several[-1]
    return rollups.joined(several, round(last.time + last.seconds - several[0].time))


def thinned(points: Sequence[TrendPoint], most: int) -> list[TrendPoint]:
    """At most `most` (3 or more) of `points`, in order: of each stretch the lowest, the highest and one without a value."""
    if len(points) <= most:
        return list(points)
    gaps = any(point.value is None for point in points)
    stretches = most // (3 if gaps else 2)
    edges = [n * len(points) // stretches for n in range(stretches + 1)]
    return [
        point
        for start, end in pairwise(edges)
        for point in sorted(_extremes(points[start:end]), key=lambda point: (point.time, point.file_id))
    ]


def _extremes(stretch: Sequence[TrendPoint]) -> list[TrendPoint]:
    known = [point for point in stretch if point.value is not None]
    chosen = [next((point for point in stretch if point.value is None), None)]
    if known:
        low = min(known, key=lambda point: point.value or 0.0)
        high = max(known, key=lambda point: point.value or 0.0)
        chosen += [low] if low is high else [low, high]
    return [point for point in chosen if point is not None]


def file_of(site: Site, file_id: int) -> DataFile | None:
    with site.store.read() as tx:
        return files.by_id(tx, file_id)


def known_plots(site: Site) -> tuple[PlotList, dict[tuple[str, str], Plugin]]:
    """The plots of this host, and by (name, source) what they have cost where files are counted."""
    with site.store.read() as tx:
        costs = {(plugin.name, plugin.source): plugin for plugin in plugins.listed(tx)}
    return plot_list(site.registry), costs


@dataclass(frozen=True)
class Ingest:
    """Who counts files, and how far they are."""

    watchers: list[Watcher]
    files: dict[str, int]
    last_done: DataFile | None


def ingest(site: Site) -> Ingest:
    with site.store.read() as tx:
        heard_of = watchers.alive(tx, time.time() - WATCHER_MEMORY_S)
        return Ingest(heard_of, files.tally(tx), files.last_done(tx))


@dataclass(frozen=True)
class News:
    """Notices after a number, in order; with `gap` some are not to be had: read everything anew and go on from `seq`."""

    seq: int
    """Number of the newest notice of all."""
    notices: list[Notice]
    gap: bool = False


def news(site: Site, after: int, limit: int = 1000) -> News:
    """What happened after notice number `after`, at most `limit` of it; one small query when that is nothing."""
    with site.store.read() as tx:
        last = notices.last(tx)
        if last == after:
            return News(last, [])
        if last < after or last - after > REPLAY_MOST or notices.oldest(tx) > after + 1:
            return News(last, [], gap=True)
        return News(last, notices.after(tx, after, limit))


def last_news(site: Site) -> int:
    """Number of the newest notice."""
    with site.store.read() as tx:
        return notices.last(tx)


def changes(site: Site, after: int) -> News:
    """The newest notice of each thing that changed after notice number `after`."""
    found = news(site, after, REPLAY_MOST)
    return News(found.seq, notices.newest_of_each(found.notices), found.gap)


def check_ready(site: Site) -> None:
    """Raises StoreProblem unless the database answers and has the tables of this version."""
    schema.check(site.store)
