"""A run as its page shows it: facts, the plots with what is wrong first, and all its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from dqm.masks import NOTHING, Mask
from dqm.records import Element, ElementState, FileState, Plugin, Run, TrendValue
from dqm.store import elements, files, plugins, runs
from dqm.views import masks
from dqm.views.elements import (
    NO_SUMS,
    NOT_THE_SAME,
    Window,
    does_without,
    no_window,
    recounted,
    recounted_trends,
    trends_without,
    window_of,
    window_trends,
)
from dqm.views.live import run_state
from dqm.views.mask_changes import strangers_words, unknown
from dqm.views.plot_list import rest_words
from dqm.views.recounts import Recount, can_recount
from dqm.views.site import Site
from dqm.views.verdicts import NOTEWORTHY, ORDER, amount, beyond, limits_words, named_amount, state_of, trend_words
from plots.base import Plot
from plots.discovery import Broken, Found, Registry

LATEST = "latest"
NOT_IN_WINDOW = "the last minutes alone are not counted anew"
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
class Without:
    """How a plot stands to the channels that are left out."""

    masked: bool
    words: str
    """Why it is not masked; of a masked one what is special."""
    mark: str = ""
    """Changes when it was counted anew."""
    coming: bool = False
    """Whether it is being counted anew."""


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
    behind: bool = False
    """Whether it says which packets are behind a bin of it."""
    at_once: bool = False
    """Whether it follows a mask at once, from its sums."""
    without: Without | None = None
    """How it stands to the mask of the page; None where nothing is left out."""


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
    window_s: float = 0.0
    """Length of the window that is kept of runs [s]; 0: none."""
    in_window: bool = False
    """Whether all that is shown is of the window."""
    window: tuple[float, float] | None = None
    """From when to when the window is [s since 1970]; None when there is none (any more)."""
    mask: Mask = NOTHING
    """The channels that are left out."""
    mask_said: str = ""
    """What is wrong with the mask that was asked for."""
    mask_key: str = ""
    """As it was asked for."""


def run_page(site: Site, key: str, now: float | None = None, in_window: bool = False, mask: str = "") -> RunPage | None:
    """The page of a run (``latest``: of the newest), or of its window; None when there is no such run.

    With `mask` (an address) without the channels of that mask, where this can be told.
    """
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
        window = window_of(site, tx, run) if in_window else None
    chosen = (masks.find(site, mask) if mask else None) or NOTHING
    without: dict[str, Without] = {}
    if chosen:
        without, masked = _masked(site, run, found, window, in_window, chosen)
    if in_window:
        found = {plot: _in_window(site, run, element, window) for plot, element in found.items()}
    if chosen:
        found |= {plot: replace(found[plot], trends=trends) for plot, trends in masked.items()}
    newest = latest is not None and latest.id == run.id
    share = share_of_files(run, unread)
    tiles = [_tile(element, registry, known, run, share, without.get(plot)) for plot, element in found.items()]
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
        window_s=site.settings.ingest.window_s,
        in_window=in_window,
        window=(window.since, window.until) if window else None,
        mask=chosen,
        mask_said=_said_of(site, run, found, mask, chosen),
        mask_key=mask,
    )


def _said_of(site: Site, run: Run, found: Mapping[str, Element], address: str, mask: Mask) -> str:
    if address and not mask:
        return f"{masks.unknown_words(address)} Nothing is left out."
    strangers = unknown(site, run, found, mask) if mask else NOTHING
    return strangers_words(strangers) if strangers else ""


def _counted_anew(site: Site, element: Element, again: Recount, done: bool) -> Without:
    """How a plot stands to a mask that its sums cannot follow."""
    found = site.registry.plots.get(element.plot)
    if found is not None and does_without(found):
        return Without(False, can_recount(site, element, True) or NOT_THE_SAME)
    made = again.plots.get(element.plot, {})
    growing = f"; {again.growing} more when done" if again.growing else ""
    if done:
        of = "the newest file" if made["kind"] == "figure" else f"{again.files} file{'s' if again.files != 1 else ''}"
        words = f"counted anew from {of}{growing}{'; ' if again.coming else ''}{again.coming}"
        return Without(True, words, again.mark, bool(again.coming))
    why = can_recount(site, element)
    if not why and made.get("why"):
        return Without(False, str(made["why"]))
    return Without(False, why or again.coming or again.cannot or NO_SUMS, coming=bool(again.coming and not why))


def _masked(
    site: Site, run: Run, found: Mapping[str, Element], window: Window | None, in_window: bool, mask: Mask
) -> tuple[dict[str, Without], dict[str, dict[str, TrendValue]]]:
    """How each plot stands to a mask, and the numbers of those that follow it."""
    without: dict[str, Without] = {}
    masked: dict[str, dict[str, TrendValue]] = {}
    again = recounted(site, run, mask, ask=True) if not in_window else Recount(cannot=NOT_IN_WINDOW)
    for plot, element in found.items():
        if in_window and no_window(element, run, window):
            continue  # there is nothing to leave them out of
        trends = trends_without(site, run, element, window, mask) if not in_window or window else None
        without[plot] = Without(True, "")
        if trends is None:
            trends = recounted_trends(site, element, again)
            without[plot] = _counted_anew(site, element, again, trends is not None)
        if trends is not None:
            masked[plot] = trends
    return without, masked


def _in_window(site: Site, run: Run, element: Element, window: Window | None) -> Element:
    """An element with the numbers of the window."""
    return replace(element, trends=window_trends(site, run, element, window) if window else {})


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


def _tile(
    element: Element, registry: Registry, known: Mapping[str, Plugin], run: Run, share: float, without: Without | None
) -> Tile:
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
        behind=can_tell(found),
        at_once=bool(found and does_without(found)),
        without=without,
    )


def can_tell(found: Found | None) -> bool:
    """Whether a plot says which rows are behind its bins: built-in ones that define it."""
    return found is not None and not found.digest and found.plot.rows_behind is not Plot.rows_behind


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


def plot_page(site: Site, key: str, plot: str, in_window: bool = False, mask: str = "") -> PlotPage | RunPage | None:
    """An enlarged plot; the page of its run when the run has no such plot; None when there is no such run."""
    page = run_page(site, key, in_window=in_window, mask=mask)
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
