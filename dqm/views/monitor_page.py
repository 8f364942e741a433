"""The monitor itself: what waits, how late it is, how fast it goes, what fails, and whether its own house is in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dqm.records import Facts, FileState, Plugin, Pulse, Watcher, WebWorker
from dqm.store import files, lags, plugins, pulses, runs, watchers, web_workers
from dqm.store.runs import Search
from dqm.views.alarm_list import AlarmList, alarm_list
from dqm.views.file_page import STATES
from dqm.views.live import SILENT_S
from dqm.views.plot_list import rest_words
from dqm.views.presence import WEB_SILENT_S
from dqm.views.site import Site

SERIES_S = 1800.0
BAR_S = 60.0
RATE_S = 120.0
"""The speed of now is that of so long."""
NEWEST_FAILURES = 12


@dataclass(frozen=True)
class Speed:
    """What was counted in a stretch of time, per second; None where nobody measured."""

    time: float
    files_min: float | None = None
    packets_s: float | None = None
    mb_s: float | None = None
    queue: int | None = None


@dataclass(frozen=True)
class Failure:
    """Files that are not (wholly) counted for one reason."""

    state: str
    word: str
    shape: str
    reason: str
    files: int


@dataclass(frozen=True)
class Cost:
    """What a plug-in costs."""

    name: str
    title: str
    us_per_packet: float | None
    share: float | None
    failures: int
    last_failure: str
    broken: str
    rests: str
    """Why it is given no file for now; empty when it is."""


@dataclass(frozen=True)
class QueueLine:
    """Files in one state."""

    state: str
    word: str
    shape: str
    files: int


@dataclass(frozen=True)
class Monitor:
    """Everything that the page shows, at one moment."""

    now: float
    alarms: AlarmList
    watchers: tuple[Watcher, ...]
    """Ingest processes that live, the leader first."""
    last_beat: float | None
    facts: Facts | None
    """As the leader last saw itself."""
    fresh: bool
    """Whether that was just now."""
    pulse: Pulse | None
    speed: Speed
    """Of now."""
    series: tuple[Speed, ...]
    queue: tuple[QueueLine, ...]
    failures: tuple[Failure, ...]
    costs: tuple[Cost, ...]
    workers: tuple[WebWorker, ...]
    contact: str
    runs: int

    @property
    def started(self) -> bool:
        """Whether an ingest has ever run on this database."""
        return self.facts is not None or bool(self.watchers) or self.last_beat is not None

    @property
    def streams(self) -> int:
        return sum(worker.streams for worker in self.workers)


def monitor(site: Site, now: float | None = None) -> Monitor:
    """The monitor as it is now. Raises StoreProblem."""
    now = time.time() if now is None else now
    known = alarm_list(site, now)
    with site.store.read() as tx:
        heard = watchers.alive(tx, 0)
        newest = pulses.newest(tx)
        samples = pulses.series(tx, now - SERIES_S - BAR_S)
        tally = files.tally(tx)
        failed = lags.failures(tx, NEWEST_FAILURES)
        listed = plugins.listed(tx)
        web = web_workers.alive(tx, now - WEB_SILENT_S)
        known_runs = runs.count(tx, Search())
    facts = newest.facts if newest else None
    every = site.settings.health.pulse_s
    return Monitor(
        now=now,
        alarms=known,
        watchers=tuple(watcher for watcher in heard if now - watcher.beat <= SILENT_S),
        last_beat=max((watcher.beat for watcher in heard), default=newest.time if newest else None),
        facts=facts,
        fresh=facts is not None and now - facts.time <= max(3 * every, SILENT_S),
        pulse=newest,
        speed=speed_now(samples, now),
        series=tuple(bars(samples, now)),
        queue=tuple(_lines(tally)),
        failures=tuple(_failure(*one) for one in failed),
        costs=tuple(_costs(listed)),
        workers=tuple(web),
        contact=site.settings.web.contact,
        runs=known_runs,
    )


def speed_now(samples: Sequence[Pulse], now: float) -> Speed:
    """The speed of the last two minutes."""
    recent = [sample for sample in samples if sample.time >= now - RATE_S]
    return _speed(recent[0], recent[-1]) if len(recent) > 1 else Speed(now)


def bars(samples: Sequence[Pulse], now: float) -> list[Speed]:
    """One speed for each of the last minutes, the oldest first; unknown where nobody measured."""
    made = []
    steps = [(before, after) for before, after in pairwise(samples) if after.time - before.time < 3 * BAR_S]
    for n in range(int(SERIES_S / BAR_S)):
        end = now - SERIES_S + BAR_S * (n + 1)
        inside = [step for step in steps if end - BAR_S < step[1].time <= end]
        made.append(_speed(inside[0][0], inside[-1][1]) if inside else Speed(end))
    return made


def _speed(before: Pulse, after: Pulse) -> Speed:
    seconds = max(after.time - before.time, 1e-3)

    def rate(name: str) -> float:
        return max(getattr(after, name) - getattr(before, name), 0) / seconds

    return Speed(after.time, 60 * rate("files"), rate("packets"), rate("bytes") / 1e6, after.queue)


def _lines(tally: dict[str, int]) -> list[QueueLine]:
    return [
        QueueLine(state.value, word.word, word.shape, tally.get(state.value, 0))
        for state, word in STATES.items()
        if tally.get(state.value) or state in (FileState.WAITING, FileState.QUARANTINED, FileState.DONE)
    ]


def _failure(state: str, reason: str, number: int) -> Failure:
    word = STATES[FileState(state)]
    return Failure(state, word.word, word.shape, reason, number)


def _costs(listed: Sequence[Plugin]) -> list[Cost]:
    """Broken ones first, then by the time they take."""
    total = sum(plugin.seconds for plugin in listed)
    ordered = sorted(listed, key=lambda plugin: (not plugin.broken, -plugin.seconds, plugin.name))
    return [
        Cost(
            plugin.name,
            plugin.title or plugin.name,
            plugin.us_per_packet,
            plugin.seconds / total if total and plugin.packets else None,
            plugin.failures,
            plugin.last_failure,
            plugin.broken,
            rest_words(plugin),
        )
        for plugin in ordered
    ]
