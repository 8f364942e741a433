"""The board: is the detector all right now, what is wrong, since when, and does the monitor itself live?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dqm.records import DataFile, Element, ElementState, FileState, Plugin, Run, TrendName, TrendPoint, Watcher
from dqm.store import elements, files, plugins, runs, trends, watchers
from dqm.views.alarm_list import AlarmList, open_alarms
from dqm.views.live import SILENT_S, run_state
from dqm.views.plot_list import rest_words
from dqm.views.run_page import Unread, share_of_files, unread_of
from dqm.views.site import Site
from dqm.views.verdicts import NOTEWORTHY, ORDER, Value, amount, beyond, has_limits, named_amount, state_of, trend_words
from plots.discovery import Registry

RATE_PLOTS = ("IoGroupRate", "PacketRate")
"""The figure on the board: the first of these that the run has."""
BEHIND_S = 60.0
"""With more work than this before it the ingest does not keep up."""
FILES = 60
"""How many of the newest files of a run are looked at for "since when"."""


@dataclass(frozen=True)
class Line:
    """One thing that is judged."""

    state: str
    """bad, suspect, broken, unknown, nodata, good; empty without limits."""
    plot: str
    title: str
    words: str
    since: float | None = None
    """Start of the first of the newest files that are all as bad."""
    files: int = 0
    """How many these are."""
    whole_run: bool = False
    """All that was looked at is as bad: it may have begun earlier."""


@dataclass(frozen=True)
class Ingest:
    """Whether the monitor itself lives."""

    state: str
    """good, suspect (it has problems) or broken (nobody reads files)."""
    words: str
    last_beat: float | None
    watchers: tuple[Watcher, ...]
    """Those that live."""
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """Everything that the board shows, at one moment."""

    now: float
    run: Run | None
    run_state: str
    unread: Unread
    share: float
    stale: bool
    """The newest data are too old to be judged by."""
    lines: tuple[Line, ...]
    """Worst first."""
    rate_plot: str | None
    rate_title: str
    rate_version: int
    ingest: Ingest
    waiting: int
    quarantined: int
    last_file: DataFile | None
    contact: str
    alarms: AlarmList
    """What is wrong with the monitor itself."""
    open: bool = False
    """Others reach the site, and nobody has an account."""

    @property
    def doubtful(self) -> bool:
        """Whether what is judged below may be old, or not all: nothing may look good then."""
        return self.stale or bool(self.alarms.blind)

    @property
    def wrong(self) -> tuple[Line, ...]:
        """What a shifter must read."""
        return tuple(line for line in self.lines if line.state in (*NOTEWORTHY, "broken"))

    @property
    def waiting_lines(self) -> tuple[Line, ...]:
        """What is not known: not enough data, or none."""
        return tuple(line for line in self.lines if line.state in ("unknown", "nodata"))

    @property
    def calm(self) -> tuple[Line, ...]:
        """Good, and without limits."""
        return tuple(line for line in self.lines if line.state in ("good", ""))


def board(site: Site, now: float | None = None) -> Board:
    """The board of the newest run."""
    now = time.time() if now is None else now
    registry = site.registry
    with site.store.read() as tx:
        run = runs.latest(tx)
        found = elements.of_run(tx, run.id) if run else {}
        names = {(name.plot, name.name): name for name in trends.names(tx)}
        limited = {name.id for name in names.values() if has_limits(_value(name, None))}
        recent = trends.recent(tx, run.id, FILES, limited) if run else {}
        unread = unread_of(tx, run) if run else Unread(0, 0, 0)
        tally, last = files.tally(tx), files.last_done(tx)
        listed, alive = plugins.listed(tx), watchers.alive(tx, 0)
        alarms = open_alarms(site, tx, now)
    rate = next((plot for plot in RATE_PLOTS if plot in found), None)
    ingest = with_alarms(ingest_health(alive, now), alarms)
    return Board(
        now=now,
        run=run,
        run_state=run_state(run, True, site.settings.web.stale_s, now) if run else "",
        unread=unread,
        share=share_of_files(run, unread) if run else 0.0,
        stale=run is not None and (now - run.updated >= site.settings.web.stale_s or ingest.state == "broken"),
        lines=tuple(lines_of(found, names, recent, listed, registry)),
        rate_plot=rate,
        rate_title=_title(rate, registry) if rate else "",
        rate_version=found[rate].version if rate else 0,
        ingest=ingest,
        waiting=tally.get(FileState.WAITING, 0),
        quarantined=tally.get(FileState.QUARANTINED, 0),
        last_file=last,
        contact=site.settings.web.contact,
        alarms=alarms,
        open=site.auth.is_open(),
    )


def lines_of(
    found: Mapping[str, Element],
    names: Mapping[tuple[str, str], TrendName],
    recent: Mapping[tuple[str, str], Sequence[TrendPoint]],
    listed: Sequence[Plugin],
    registry: Registry,
) -> list[Line]:
    """Every element judged, and every plug-in that is broken; worst first."""
    lines = []
    for plot, element in found.items():
        known = plot in registry.plots or any(plugin.name == plot for plugin in listed)
        if known:
            judged = {name.name: (name, recent.get(key, ())) for key, name in names.items() if key[0] == plot}
            lines += element_lines(element, _title(plot, registry), judged)
    lines += [
        Line("broken", plugin.name, plugin.title or plugin.name, plugin.broken) for plugin in listed if plugin.broken
    ]
    here = {line.plot for line in lines if line.state == "broken"}
    rests = {plugin.name: plugin for plugin in listed if plugin.rests and not plugin.broken}
    lines = [
        replace(line, words=f"{line.words}; {rest_words(rests[line.plot])}")
        if line.state == "broken" and line.plot in rests
        else line
        for line in lines
    ]
    lines += [
        Line("broken", name, plugin.title or name, rest_words(plugin))
        for name, plugin in rests.items()
        if name not in here
    ]
    lines += [
        Line("broken", broken.name, broken.name, broken.reason) for broken in registry.broken if broken.name not in here
    ]
    return sorted(lines, key=lambda line: (ORDER[line.state], line.title))


def element_lines(
    element: Element, title: str, judged: Mapping[str, tuple[TrendName, Sequence[TrendPoint]]]
) -> list[Line]:
    """One line for each number of an element that is outside its limits; else one for the element."""
    if element.state is ElementState.BROKEN:
        return [Line("broken", element.plot, title, element.reason)]
    if element.state is ElementState.UNAVAILABLE:
        return [Line("nodata", element.plot, title, element.reason)]
    limited = [(name, points) for name, points in judged.values() if has_limits(_value(name, None))]
    lines = [_line(element.plot, title, name, points, len(limited) > 1) for name, points in limited]
    wrong = [line for line in lines if line.state in NOTEWORTHY]
    if wrong or not lines:
        return wrong or [Line("", element.plot, title, "no limits are set")]
    return [min(lines, key=lambda line: ORDER[line.state])]


def _line(plot: str, title: str, name: TrendName, points: Sequence[TrendPoint], several: bool) -> Line:
    """The verdict on the newest file that has a value, and since when it is so."""
    known = [point for point in points if point.value is not None]
    if not known:
        reason = points[0].reason if points else ""
        return Line("unknown", plot, title, reason or "not enough data to decide")
    newest = _value(name, known[0])
    state = state_of(newest)
    as_bad = _as_bad(name, known, state)
    label = trend_words(name.name, name.unit)
    said = named_amount(label, newest.value, name.unit) if several else amount(newest.value, name.unit)
    return Line(
        state=state,
        plot=plot,
        title=title,
        words=f"{said}, {beyond(newest)}",
        since=as_bad[-1].time,
        files=len(as_bad),
        whole_run=len(as_bad) == len(known),
    )


def _as_bad(name: TrendName, newest_first: Sequence[TrendPoint], state: str) -> list[TrendPoint]:
    """The newest points in a row whose verdict is `state` or worse."""
    row = []
    for point in newest_first:
        if ORDER[state_of(_value(name, point))] > ORDER[state]:
            break
        row.append(point)
    return row


def _value(name: TrendName, point: TrendPoint | None) -> Value:
    return Value(point.value if point else None, name.unit, name.warn, name.alarm, point.reason if point else "")


def _title(plot: str, registry: Registry) -> str:
    found = registry.plots.get(plot)
    return found.plot.title if found else plot


def ingest_health(known: Sequence[Watcher], now: float) -> Ingest:
    """Whether files are read: loud when nobody reports, and when one that does has problems."""
    alive = tuple(watcher for watcher in known if now - watcher.beat <= SILENT_S)
    last = max((watcher.beat for watcher in known), default=None)
    if not alive:
        words = "No ingest process has reported yet" if last is None else "No ingest process has reported"
        return Ingest("broken", words, last, (), ())
    problems = tuple(f"{problem}" for watcher in alive for problem in watcher.problems)
    leader = replace(alive[0], problems=())
    if not leader.leader:
        problems += ("no ingest leads: the one that did has gone, another takes over within 15 s",)
    if (leader.backlog_s or 0) > BEHIND_S:
        problems += (f"it does not keep up: {leader.queue:,} files wait to be counted",)
    return Ingest("suspect" if problems else "good", leader.state or "running", last, alive, problems)


def with_alarms(ingest: Ingest, alarms: AlarmList) -> Ingest:
    """Nothing is good about an ingest with an open alarm; what an alarm says is not said twice."""
    said = {alarm.reason for alarm in alarms.open}
    problems = tuple(problem for problem in ingest.problems if problem not in said)
    state = "suspect" if ingest.state == "good" and alarms.open else ingest.state
    return replace(ingest, state=state, problems=problems)
