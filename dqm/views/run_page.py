"""A run as its page shows it: facts, the plots with what is wrong first, and all its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from dqm.records import Element, ElementState, FileState, Plugin, Run, TrendValue
from dqm.store import elements, files, plugins, runs
from dqm.views.live import run_state
from dqm.views.plot_list import rest_words
from dqm.views.site import Site
from dqm.views.verdicts import NOTEWORTHY, ORDER, amount, beyond, limits_words, named_amount, state_of, trend_words
from plots.discovery import Broken, Registry

LATEST = "latest"
GROUPS = ("Rates", "Data quality", "Charge", "Light", "Timing")
"""In this order; other groups follow by name, and "Other" is the last."""
OTHER = "Other"


@dataclass(frozen=True)
class Number:
    """A trend of a run."""

    plot: str
    title: str
    name: str
    label: str
    shown: str
    said: str
    """Name and value: ``hot pixels 5``."""
    exact: str
    state: str
    """good, suspect, bad, unknown, nodata; empty without limits."""
    reason: str
    limits: str


@dataclass(frozen=True)
class Tile:
    """A plot of a run."""

    plot: str
    title: str
    group: str
    version: int
    state: str
    """Worst of its numbers, or broken, nodata; empty when there is nothing to judge by."""
    wrong: tuple[Number, ...]
    """Numbers outside their limits, worst first."""
    share: float | None
    """Part of the run that it covers, of files and of their packets, 0 to 1."""
    updated: float
    provisional: bool
    mergeable: bool
    log_switch: bool


@dataclass(frozen=True)
class Unread:
    """Files of a run that are not counted, or not wholly."""

    waiting: int
    quarantined: int
    partial: int

    @property
    def words(self) -> str:
        counts = ((self.waiting, "waiting"), (self.quarantined, "in quarantine"), (self.partial, "read in part"))
        return ", ".join(f"{count} {word}" for count, word in counts if count)


@dataclass(frozen=True)
class RunPage:
    run: Run
    newest: bool
    state: str
    """running, silent or ended."""
    before: str | None
    behind: str | None
    unread: Unread
    share: float
    """Part of its known files that is counted, 0 to 1."""
    tiles: tuple[Tile, ...]
    """What needs attention, worst first; then by group."""
    numbers: tuple[Number, ...]
    missing: tuple[str, ...]
    """Titles of plots that are not counted for this run (yet)."""
    stopped: dict[str, tuple[str, str]]
    """Plots that are not counted for it since they rest: name -> title, and the words of the rest."""
    broken: tuple[Broken, ...]
    """Plug-ins that cannot be used."""


def run_page(site: Site, key: str, now: float | None = None) -> RunPage | None:
    """The page of a run (``latest``: of the newest); None when there is no such run."""
    registry = site.registry
    with site.store.read() as tx:
        latest = runs.latest(tx)
        run = latest if key == LATEST else runs.get(tx, key)
        if run is None:
            return None
        before, behind = runs.neighbours(tx, run)
        found = elements.of_run(tx, run.id)
        known = {plugin.name: plugin for plugin in plugins.listed(tx)}
        unread = unread_of(tx, run)
    newest = latest is not None and latest.id == run.id
    share = share_of_files(run, unread)
    tiles = [_tile(element, registry, known, run, share) for element in found.values()]
    shown = [tile for tile in tiles if tile.plot in registry.plots or tile.plot in known]
    lacking = {name: it.plot.title for name, it in registry.plots.items() if name not in found}
    stopped = {
        name: (title, rest_words(known[name])) for name, title in lacking.items() if name in known and known[name].rests
    }
    return RunPage(
        run=run,
        newest=newest,
        state=run_state(run, newest, site.settings.web.stale_s, now),
        before=before,
        behind=behind,
        unread=unread,
        share=share,
        tiles=tuple(in_order(shown)),
        numbers=numbers_of({tile.plot: tile.title for tile in shown}, found),
        missing=tuple(sorted(title for name, title in lacking.items() if name not in stopped)),
        stopped=stopped,
        broken=tuple(registry.broken),
    )


def unread_of(tx: Connection, run: Run) -> Unread:
    """Files of a run that are not counted, by why."""
    states = (FileState.WAITING, FileState.QUARANTINED, FileState.PARTIAL)
    if not run.unread:
        return Unread(0, 0, 0)
    return Unread(*(files.count(tx, state=state, run=run.key) for state in states))


def share_of_files(run: Run, unread: Unread) -> float:
    """Part of the known files of a run that is counted, 0 to 1."""
    known = run.files + unread.waiting + unread.quarantined
    return run.files / known if known else 0.0


def _tile(element: Element, registry: Registry, known: Mapping[str, Plugin], run: Run, share: float) -> Tile:
    found = registry.plots.get(element.plot)
    row = known.get(element.plot)
    title = found.plot.title if found else row.title if row and row.title else element.plot
    numbers = numbers_of({element.plot: title}, {element.plot: element})
    state = numbers[0].state if numbers else ""
    if element.state is not ElementState.OK:
        state = "broken" if element.state is ElementState.BROKEN else "nodata"
    packets = element.rows / run.packets if run.packets else None
    return Tile(
        plot=element.plot,
        title=title,
        group=getattr(found.plot, "group", OTHER) if found else OTHER,
        version=element.version,
        state=state,
        wrong=tuple(number for number in numbers if number.state in NOTEWORTHY),
        share=None if packets is None or not element.mergeable else min(packets, 1.0) * share,
        updated=element.updated,
        provisional=element.provisional,
        mergeable=element.mergeable,
        log_switch=bool(found and found.plot.log_switch),
    )


def in_order(tiles: Iterable[Tile]) -> list[Tile]:
    """What needs attention, worst first; then by group and title."""

    def place(tile: Tile) -> tuple[int, tuple[int, str], str]:
        wrong = ORDER[tile.state] if tile.state in (*NOTEWORTHY, "broken") else len(ORDER)
        return (wrong, _place(tile.group), tile.title)

    return sorted(tiles, key=place)


def _place(group: str) -> tuple[int, str]:
    return (GROUPS.index(group) if group in GROUPS else len(GROUPS) + (group == OTHER), group)


def numbers_of(titles: Mapping[str, str], found: Mapping[str, Element]) -> tuple[Number, ...]:
    """All numbers of the plots in `titles`, worst first."""
    rows = [
        _number(found[plot], title, name, trend)
        for plot, title in titles.items()
        for name, trend in found[plot].trends.items()
    ]
    return tuple(sorted(rows, key=lambda row: (ORDER[row.state], row.title)))


def _number(element: Element, title: str, name: str, trend: TrendValue) -> Number:
    state = state_of(trend)
    if element.state is ElementState.UNAVAILABLE:  # it will not come: that is not the same as not yet
        state = "nodata"
    label = trend_words(name, trend.unit)
    return Number(
        plot=element.plot,
        title=title,
        name=name,
        label=label,
        shown=amount(trend.value, trend.unit),
        said=named_amount(label, trend.value, trend.unit),
        exact="" if trend.value is None else f"{trend.value!r} {trend.unit}",
        state=state,
        reason=trend.reason if trend.value is None else beyond(trend) if state in NOTEWORTHY else "",
        limits=limits_words(trend),
    )


@dataclass(frozen=True)
class PlotPage:
    """One plot of a run, enlarged."""

    page: RunPage
    tile: Tile
    previous: str | None
    next: str | None
    numbers: tuple[Number, ...]


def plot_page(site: Site, key: str, plot: str) -> PlotPage | RunPage | None:
    """An enlarged plot; the page of its run when the run has no such plot; None when there is no such run."""
    page = run_page(site, key)
    if page is None:
        return None
    tiles = page.tiles
    names = [tile.plot for tile in tiles]
    if plot not in names:
        return page
    here = names.index(plot)
    return PlotPage(
        page=page,
        tile=tiles[here],
        previous=names[here - 1] if here else None,
        next=names[here + 1] if here + 1 < len(names) else None,
        numbers=tuple(number for number in page.numbers if number.plot == plot),
    )
