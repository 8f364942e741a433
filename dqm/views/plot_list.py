"""What plots there are, for lists, pages and documents."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from dqm.auth.roles import Actor
from dqm.records import REST_S, Limits, Plugin
from dqm.store import Store, audit, parts, plugins
from dqm.views.site import Site
from dqm.views.words import number
from plots.base import PLUGIN_ERRORS, HostTrouble, MergeablePlot, Trend
from plots.discovery import Broken, Found, Registry


@dataclass(frozen=True)
class Description:
    name: str
    title: str
    level: str
    kind: str
    """``mergeable``, ``simple`` or ``predecessor``."""
    version: int
    source: str
    fields: tuple[str, ...]
    trends: dict[str, str]
    """Name -> unit."""

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class PlotList:
    """All plots in the order of their discovery, and the broken plug-ins."""

    plots: list[Description]
    broken: list[Broken]

    def to_json(self) -> dict:
        broken = [{"name": plugin.name, "source": plugin.source, "reason": plugin.reason} for plugin in self.broken]
        return {"plots": [plot.to_json() for plot in self.plots], "broken": broken}


def plot_list(registry: Registry) -> PlotList:
    """What `registry` found, described."""
    return PlotList([describe(found) for found in registry.plots.values()], registry.broken)


def describe(found: Found) -> Description:
    """The description of a plot; its trends are those of an empty state (none when that raises: the test says so)."""
    plot = found.plot
    trends = {name: trend.unit for name, trend in _trends(found).items()}
    kind = "mergeable" if issubclass(plot, MergeablePlot) else "predecessor" if plot.private_memory else "simple"
    return Description(found.name, plot.title, plot.level, kind, plot.version, found.source, tuple(plot.fields), trends)


def _trends(found: Found) -> dict[str, Trend]:
    """The trends of an empty state; none while this machine cannot call the plug-in."""
    try:
        return _told_trends(found)
    except HostTrouble:
        return {}


@functools.lru_cache(maxsize=512)
def _told_trends(found: Found) -> dict[str, Trend]:
    """Asked once of each class: a page must not run plug-ins at each look."""
    try:
        made = found.plot()
        return made.read_trends(made.start()) if isinstance(made, MergeablePlot) else {}
    except PLUGIN_ERRORS:  # a plug-in that fails on empty input is still listed
        return {}


@dataclass(frozen=True)
class TrendRow:
    """A trend of a plot, with its limits in words."""

    name: str
    unit: str
    limits: str


@dataclass(frozen=True)
class Entry:
    """A plot of this host with what ingest knows of it."""

    plot: Description
    group: str
    origin: str
    """built-in, a path, or a package."""
    kind: str
    """How it adds up, in words."""
    trends: tuple[TrendRow, ...]
    us_per_packet: float | None
    share: float | None
    """Part of the time that all plots took."""
    packets: int
    failures: int
    last_failure: str
    rest: str
    """That it rests after it went over a limit, and until when; empty when it does not."""
    edited: str
    """That its numbers are of more than one text of it; empty when they are not."""
    difference: str
    """What ingest and this host do not agree about; empty when they do."""


@dataclass(frozen=True)
class Fault:
    """A plug-in that cannot be used, and where: in ingest, on this host, or both."""

    name: str
    source: str
    reason: str
    traceback: str
    where: str


@dataclass(frozen=True)
class PlotPage:
    """What the page of plots shows."""

    faults: list[Fault]
    entries: list[Entry]
    missing: list[Plugin]
    """Counted by ingest, unknown here: nothing of them can be drawn."""
    counted: bool
    """Whether an ingest has ever looked for plots."""
    paths: tuple[Path, ...]
    """The directories of the settings."""

    @property
    def notes(self) -> list[str]:
        """Differences that concern the whole page, as sentences."""
        if not self.counted:
            return ["No ingest has run on this database yet: nothing is counted, and times come with the first file."]
        lacking = [entry.plot.name for entry in self.entries if entry.difference]
        missing = [plugin.name for plugin in self.missing]
        notes = [f"Not counted, since ingest has not found them: {', '.join(lacking)}."] if lacking else []
        if missing:
            notes.append(f"Counted, but not installed on this web host, which cannot draw them: {', '.join(missing)}.")
        return notes


def plot_page(site: Site) -> PlotPage:
    """What this host found and what ingest found, side by side; what failed most stands first."""
    with site.store.read() as tx:
        known = plugins.listed(tx)
    registry = site.registry
    good = {plugin.name: plugin for plugin in known if not plugin.broken}
    total = sum(plugin.seconds for plugin in good.values())
    entries = [_entry(found, good.get(name), total, bool(known)) for name, found in registry.plots.items()]
    entries.sort(key=lambda entry: -entry.failures)
    here = {*registry.plots, *(plugin.name for plugin in registry.broken)}
    missing = [plugin for name, plugin in good.items() if name not in here]
    return PlotPage(_faults(registry, known), entries, missing, bool(known), tuple(site.settings.plots.paths))


def _entry(found: Found, plugin: Plugin | None, total: float, counted: bool) -> Entry:
    difference = "ingest has not found it: it is not counted" if counted and plugin is None else ""
    return Entry(
        describe(found),
        found.plot.group,
        found.source,
        "all files of a run together" if issubclass(found.plot, MergeablePlot) else "newest file only",
        tuple(TrendRow(name, trend.unit, limits(trend)) for name, trend in _trends(found).items()),
        plugin.us_per_packet if plugin else None,
        plugin.seconds / total if plugin and total else None,
        plugin.packets if plugin else 0,
        plugin.failures if plugin else 0,
        plugin.last_failure if plugin else "",
        rest_words(plugin) if plugin else "",
        edited_words(plugin) if plugin else "",
        difference,
    )


def edited_words(plugin: Plugin) -> str:
    """What the numbers of a plug-in are that was changed while its version stayed; empty when it was not."""
    if plugin.edited is None or not plugin.packets:
        return ""
    return (
        f"its file was changed at {datetime.fromtimestamp(plugin.edited, UTC):%Y-%m-%d %H:%M} UTC and its version stayed "
        f"{plugin.version}: what was counted before is kept as it is. Raise `version` to have every file counted by the "
        "new text"
    )


def rest_words(plugin: Plugin) -> str:
    """``stopped: ...; it is tried again at 13:05 UTC``; empty for a plug-in that does not rest."""
    if not plugin.rests:
        return ""
    times = "once" if plugin.stops <= 1 else f"{plugin.stops} times in a row"
    if plugin.until is None:
        then = f"it stays stopped until its file changes or `larboard plots retry {plugin.name}`"
    else:
        then = f"it is tried again at {datetime.fromtimestamp(plugin.until, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"stopped {times} for going over a limit; {then}"


def resting(site: Site) -> dict[str, str]:
    """The plots that rest, by name, each with its words."""
    with site.store.read() as tx:
        return {plugin.name: rest_words(plugin) for plugin in plugins.listed(tx) if plugin.rests and not plugin.broken}


class NotResting(Exception):
    """There is nothing to retry; the message says why."""


def retry_plot(store: Store, actor: Actor, name: str, now: float) -> str:
    """Lets a plot that rests try again, with every file that it was stopped on; says when. Raises NotResting, NotAllowed."""
    actor.require("expert")
    with store.begin() as tx:
        plugin = next((it for it in plugins.listed(tx) if it.name == name and not it.broken), None)
        left_out = plugins.rest(tx, name).on
        if plugin is None or not (plugin.rests or left_out):
            raise NotResting(f"{name} does not rest" if plugin else f"ingest knows no plot {name}")
        # every process that ran it leaves it alone for its first rest
        begun = None if plugin.until is None else plugin.until - REST_S[max(plugin.stops, 1) - 1]
        until = now if begun is None else max(now, begun + REST_S[0])
        plugins.set_rest(tx, name, plugins.Rest(0, until))
        parts.forget_broken(tx, name)
        audit.note(tx, actor.name, "retry plot", f"plot/{name}", {"stops": plugin.stops}, {"until": until})
    return f"{name} is tried again {'now' if until == now else f'at {datetime.fromtimestamp(until, UTC):%H:%M:%S} UTC'}"


def _faults(registry: Registry, known: list[Plugin]) -> list[Fault]:
    here = {(plugin.name, plugin.source): plugin for plugin in registry.broken}
    there = {(plugin.name, plugin.source): plugin for plugin in known if plugin.broken}
    both = [
        Fault(
            broken.name,
            broken.source,
            broken.reason,
            broken.traceback,
            "here and in ingest" if key in there else "on this web host",
        )
        for key, broken in here.items()
    ]
    ingest = [
        Fault(plugin.name, plugin.source, plugin.broken, plugin.traceback, "in ingest")
        for key, plugin in there.items()
        if key not in here
    ]
    return both + ingest


def limits(trend: Trend) -> str:
    """``suspect above 200 k, bad above 2 M``; empty without limits."""
    return ", ".join(
        f"{word} {said}" for word, side in (("suspect", trend.warn), ("bad", trend.alarm)) if (said := _side(side))
    )


def _side(side: Limits) -> str:
    low, high = side
    said = [f"below {number(low)}"] if low is not None else []
    said += [f"above {number(high)}"] if high is not None else []
    return " or ".join(said)
