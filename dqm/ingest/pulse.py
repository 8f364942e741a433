"""The pulse of the ingest: its leader measures itself every some seconds, and raises and ends the alarms of the monitor.

`Pulse.beat` is called with each sign of life and does something when it is due. What it measures goes into the store, where
the Health page, `/metrics` and the board find it; nothing here may stop the ingest.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dqm.checks.alarms import Key, follow, judge
from dqm.ingest.roots import Seen
from dqm.records import (
    Alarm,
    BacklogFacts,
    DatabaseFacts,
    DiskFacts,
    Facts,
    FileState,
    PlaceFacts,
    Plugin,
    RootFacts,
    ScanFacts,
)
from dqm.records import Pulse as Sample
from dqm.settings import Settings
from dqm.store import Store, StoreProblem, alarms, files, lags, plugins, pulses, vitals, watchers
from dqm.store.lags import Look

log = logging.getLogger("larboard.pulse")

RECENT_S = 3600.0
"""What is said about clocks is said of files that came within so long."""
LIVE_S = 600.0
"""A file that was seen so soon after it was written came live, not as a copy."""
BACKLOG_FROM = 20
"""So many files at once are a backlog, with progress and time left."""
BACKLOG_ENDS = 3
BEFORE_S = 300.0
"""The queue of now is compared with that of so long ago."""
PLACES = 40
ENTRIES_AT_ONCE = 4000
"""Of the states and the cache so many files are measured in one beat: the ingest must not wait for it."""
STATES_AT_ONCE = 100
FAILED_S = 300.0
"""A plug-in that failed so lately does not run, as far as anybody can say."""
TREND_S = 3600.0
"""How fast a disk fills is not said from less than this."""
NOT_COUNTING = (FileState.QUARANTINED, FileState.IGNORED, FileState.SAME, FileState.GONE, FileState.GROWING)


@dataclass
class _Waiting:
    """Files of one place that wait."""

    files: int = 0
    oldest: float | None = None

    def add(self, changed: float) -> None:
        self.files += 1
        self.oldest = changed if self.oldest is None else min(self.oldest, changed)


class Pulse:
    """Measures, keeps and judges, for the process that leads."""

    def __init__(self, store: Store, settings: Settings, name: str, now: Callable[[], float] = time.time):
        self.store = store
        self.settings = settings
        self.name = name
        self.now = now
        self._roots = [str(root.absolute()) for root in settings.ingest.roots]
        self._next = 0.0
        self._last: float | None = None
        self._scan = ScanFacts(None, 0.0, 0, settings.ingest.reconcile_s)
        self._problems: tuple[str, ...] = ()
        self._root_problems: dict[str, str] = {}
        self._backlog: tuple[float, int] | None = None
        self._lags: dict[tuple[int, float], float] = {}
        self._final: dict[tuple[int, float], float] = {}
        self._pending: Mapping[Key, float] = {}
        self._write_s: float | None = None
        self._checked = 0
        self._failures: dict[str, tuple[int, float]] = {}
        self._missing: set[str] = set()
        self._round: set[str] = set()
        self._of_the_round: set[str] = set()
        self._used = _Used(
            ({"states": Path(directory)} if (directory := getattr(store.states, "directory", None)) else {})
            | {"cache": settings.data.directory / "cache"}
        )

    # -- what the watch tells ---------------------------------------------------------------------------------------

    def scanned(self, seen: Seen, began: float, every_s: float, problems: list[str]) -> None:
        """All roots were searched, beginning at `began`; `problems` are those of the watch too."""
        now = self.now()
        self._scan = ScanFacts(now, max(now - began, 0.0), len(seen.files), every_s)
        searched = set(seen.searched)
        self._root_problems = {
            root: next((text for text in seen.problems if root in text), f"data root {root} cannot be searched")
            for root in self._roots
            if root not in searched
        }
        for directory in seen.unsearched:
            root = next((root for root in self._roots if Path(directory).is_relative_to(root)), directory)
            words = next((text for text in seen.problems if directory in text), f"{directory} cannot be read")
            self._root_problems.setdefault(root, words)
        known = set(self._root_problems.values())
        self._problems = tuple(text for text in problems if text not in known)

    def beat(self, left_s: float | None = None) -> None:
        """Measures when it is due. Never raises but StoreProblem."""
        now = self.now()
        every = self.settings.health.pulse_s
        if self._last is not None and self._last <= now < self._next:
            return
        self._last, self._next = now, now + every
        try:
            self._measure(now, left_s)
        except StoreProblem:
            raise
        except Exception:  # the ingest goes on, whatever is wrong with its mirror
            log.exception("the pulse could not be taken")

    # -- measuring --------------------------------------------------------------------------------------------------

    def _measure(self, now: float, left_s: float | None) -> None:
        facts, before = self._facts(now, left_s)
        begun = time.monotonic()
        with self.store.begin() as tx:
            if not watchers.holds(tx, self.name):
                return
            self._tell_gap(tx, before, now)
            pulses.save(tx, self._sample(tx, facts))
            self._follow(tx, facts)
        self._write_s = time.monotonic() - begun

    def _facts(self, now: float, left_s: float | None) -> tuple[Facts, Sample | None]:
        found = vitals.measure(self.store)
        with self.store.read() as tx:
            newest = {root: lags.newest(tx, root) for root in self._roots}
            due = lags.due(tx, now)
            tally = files.tally(tx)
            before = pulses.newest(tx)
            series = pulses.series(tx, now - RECENT_S)
            first = pulses.first(tx)
            listed = plugins.listed(tx)
            ahead = max((watcher.beat - now for watcher in watchers.alive(tx, now)), default=0.0)
            backlog = self._backlog_of(tx, len(due), before, series, now, left_s)
            named = lags.named_states(tx, STATES_AT_ONCE), lags.named_states(tx, STATES_AT_ONCE, self._checked)
        self._check_states(*named)
        used = self._used.step() | ({"states": found.states} if found.states is not None else {})
        facts = Facts(
            time=now,
            by=self.name,
            host=socket.gethostname(),
            scan=self._scan,
            files=tally,
            queue=len(due),
            queue_before=next((one.queue for one in series if one.time >= now - BEFORE_S), None),
            left_s=backlog.left_s if backlog else left_s,
            places=tuple(self._places(newest, due, now)),
            roots=tuple(_root(root, self._root_problems.get(root, ""), newest[root], now) for root in self._roots),
            disks=tuple(self._disks(now, first)),
            used=used | ({"database": found.size} if found.size is not None else {}),
            database=DatabaseFacts(found.engine, found.size, found.schema, self._write_s, found.ahead_s),
            stopped=tuple(self._stopped(listed, now)),
            missing_states=tuple(sorted(self._missing)),
            problems=self._problems,
            beats_ahead_s=max(ahead, 0.0),
            backlog=backlog,
        )
        return facts, before

    def _sample(self, tx: Any, facts: Facts) -> Sample:
        sums = pulses.totals(tx)
        counted = [place.lag_s for place in facts.places if not place.directory and place.lag_s is not None]
        return Sample(
            time=facts.time,
            by=self.name,
            queue=facts.queue,
            lag_s=max(counted, default=None),
            files=sums.get("files", 0),
            packets=sums.get("packets", 0),
            bytes=sums.get("bytes", 0),
            write_s=self._write_s,
            free={disk.path: disk.free for disk in facts.disks if not disk.problem},
            facts=facts,
        )

    # -- lag --------------------------------------------------------------------------------------------------------

    def _places(
        self, newest: Mapping[str, list[Look]], due: list[tuple[str, str, float]], now: float
    ) -> Iterator[PlaceFacts]:
        """Each root, and its directories that were written last."""
        self._lags = {(look.id, look.changed): self._lag(look, now) for looks in newest.values() for look in looks}
        self._final = {key: lag for key, lag in self._final.items() if key in self._lags}
        waiting: dict[tuple[str, str], _Waiting] = {}
        for root, path, changed in due:
            for directory in ("", path.rpartition("/")[0]):
                waiting.setdefault((root, directory), _Waiting()).add(changed)
        for root, looks in newest.items():
            inside: dict[str, list[Look]] = {"": looks}
            for look in looks:
                inside.setdefault(look.path.rpartition("/")[0], []).append(look)
            for directory, here in list(inside.items())[: PLACES + 1]:
                yield self._place(root, directory, here, waiting.get((root, directory), _Waiting()))

    def _place(self, root: str, directory: str, looks: list[Look], waiting: _Waiting) -> PlaceFacts:
        judged = [look for look in looks if self._lags[look.id, look.changed] >= 0]
        newest = judged[0] if judged else None
        return PlaceFacts(
            root=root,
            directory=directory,
            lag_s=self._lags[newest.id, newest.changed] if newest else None,
            counting=newest is not None and newest.done is None,
            files=len(looks),
            waiting=waiting.files,
            oldest_waiting=waiting.oldest,
        )

    def _lag(self, look: Look, now: float) -> float:
        """From the last change to the end of counting, or so far; below 0 where it says nothing about the ingest.

        It is known once for all when a file is counted: that somebody asks for it to be read again does not make it late.
        """
        key = look.id, look.changed
        if look.done is not None:
            return self._final.setdefault(key, max(look.done - look.changed, 0.0))
        if key in self._final:
            return self._final[key]
        if look.state in NOT_COUNTING or look.next_look is None or look.next_look > now:
            return -1.0
        return max(now - (look.changed if not look.attempts else look.next_look), 0.0)

    def _backlog_of(
        self, tx: Any, queue: int, before: Sample | None, series: list[Sample], now: float, left_s: float | None
    ) -> BacklogFacts | None:
        """Progress of many files at once: those that waited at its beginning, and those that came since."""
        was = before.facts.backlog if before and before.facts else None
        if self._backlog is None and was is not None and was.began <= now:
            self._backlog = (was.began, was.files - lags.arrived(tx, was.began))  # of the leader before
        if self._backlog is None and queue >= BACKLOG_FROM:
            self._backlog = (now, queue)
        if self._backlog is not None and queue <= BACKLOG_ENDS:
            self._backlog = None
        if self._backlog is None:
            return None
        began, at_first = self._backlog
        total = max(at_first + lags.arrived(tx, began), queue)
        done = total - queue
        if was is None or was.began != began or before is None or now <= before.time:
            return BacklogFacts(began, total, done, left_s)
        since = next((one for one in series if one.time >= max(began, now - BEFORE_S)), None)
        if since is None or now - since.time < 2 * self.settings.health.pulse_s:
            return BacklogFacts(began, total, done, left_s)
        worked = lags.arrived(tx, since.time) + since.queue - queue
        rate = worked / (now - since.time)
        return BacklogFacts(began, total, done, queue / rate if rate > 0 else None)

    def _stopped(self, listed: list[Plugin], now: float) -> Iterator[tuple[str, str]]:
        """Plug-ins that do not load, and those that failed or went over a limit lately."""
        first = not self._failures
        for plugin in listed:
            if plugin.broken:
                yield plugin.name, plugin.broken
                continue
            if plugin.rests:
                times = "once" if plugin.stops == 1 else f"{plugin.stops:,} times in a row"
                yield plugin.name, f"{plugin.name} went over a limit {times} and is given no file for now"
                continue
            before, when = self._failures.get(plugin.name, (plugin.failures if first else 0, -FAILED_S))
            when = now if plugin.failures > before else when
            self._failures[plugin.name] = plugin.failures, when
            if 0 <= now - when < FAILED_S:
                yield (
                    plugin.name,
                    f"{plugin.name} failed ({plugin.failures:,} times so far), last: {plugin.last_failure}",
                )

    # -- disks and states -------------------------------------------------------------------------------------------

    def _disks(self, now: float, first: Sample | None) -> Iterator[DiskFacts]:
        places = [(root, "data root") for root in self._roots]
        places.append((str(self.settings.data.directory.absolute()), "data directory"))
        file = vitals.file_of(self.store)
        if file is not None and not file.is_relative_to(self.settings.data.directory.absolute()):
            places.append((str(file.parent.absolute()), "database"))
        for path, what in dict(reversed(places)).items():
            try:
                usage = shutil.disk_usage(path)
            except OSError as error:
                yield DiskFacts(path, what, 0, 0, None, error.strerror or str(error))
                continue
            yield DiskFacts(path, what, usage.total, usage.free, _days_left(path, usage.free, now, first))

    def _check_states(self, newest: list[tuple[str, str]], others: list[tuple[str, str]]) -> None:
        """Looks for the states of the newest runs, and goes round all others some at a time."""
        self._round |= self._not_there(others)
        if len(others) < STATES_AT_ONCE:
            self._of_the_round, self._round, self._checked = self._round, set(), 0
        else:
            self._checked += STATES_AT_ONCE
        fresh = {name for name, _ in newest}
        self._missing = self._not_there(newest) | ((self._of_the_round | self._round) - fresh)

    def _not_there(self, named: list[tuple[str, str]]) -> set[str]:
        missing = self.store.states.missing({address for _, address in named})
        return {name for name, address in named if address in missing}

    # -- alarms -----------------------------------------------------------------------------------------------------

    def _follow(self, tx: Any, facts: Facts) -> None:
        limits = self.settings.health
        open_now = alarms.open_ones(tx)
        keys = {(alarm.kind, alarm.subject) for alarm in open_now}
        found = follow(open_now, self._pending, judge(facts, limits, keys), limits, facts.time)
        self._pending = found.pending
        for alarm in found.opened:
            alarms.raise_(tx, alarm)
            log.warning("ALARM %s: %s", alarm.kind, alarm.reason)
        for alarm in found.seen:
            alarms.seen(tx, alarm.id, alarm.seen, alarm.reason, alarm.severity)
        for alarm in found.ended:
            alarms.end(tx, alarm.id, facts.time)
            log.info("over: %s: %s", alarm.kind, alarm.reason)

    def _tell_gap(self, tx: Any, before: Sample | None, now: float) -> None:
        """That nobody led for a while could not be written down then: it is now, for the history."""
        limit = self.settings.health.leader_s
        if before is None or not limit or now - before.time <= max(limit, 3 * self.settings.health.pulse_s):
            return
        if any(alarm.kind == "leader" for alarm in alarms.open_ones(tx)):
            return
        reason = "nobody read files; what came meanwhile is read now"
        gap = Alarm(0, "leader", "", "bad", reason, before.time, now)
        alarms.raise_(tx, replace(gap, ended=now))


def _root(root: str, problem: str, looks: list[Look], now: float) -> RootFacts:
    """What the files that came lately say about clocks."""
    fresh = [look for look in looks if 0 <= now - look.changed < RECENT_S]
    future = max((look.mtime - look.changed for look in fresh), default=0.0)
    live = (
        look for look in fresh if look.counted and look.end is not None and abs(look.first_seen - look.mtime) < LIVE_S
    )
    newest = next(live, None)
    off = 0.0 if newest is None or newest.end is None else newest.end - newest.mtime
    return RootFacts(root, problem, max(future, 0.0), off)


def _days_left(path: str, free: int, now: float, first: Sample | None) -> float | None:
    """Until a disk is full when it fills as it did since the first sample that is kept."""
    if first is None or now - first.time < TREND_S or path not in first.free:
        return None
    per_s = (first.free[path] - free) / (now - first.time)
    return free / per_s / 86400 if per_s > 0 else None


class _Used:
    """Bytes below directories, a piece at a time: there may be a hundred thousand files."""

    def __init__(self, directories: Mapping[str, Path]):
        self._directories = dict(directories)
        self._known: dict[str, int] = {}
        self._walk: Iterator[tuple[str, int]] | None = None
        self._sums: dict[str, int] = {}

    def step(self) -> dict[str, int]:
        """Goes on measuring, and gives what was measured to the end."""
        if self._walk is None:
            self._walk, self._sums = self._entries(), dict.fromkeys(self._directories, 0)
        for _, (name, size) in zip(range(ENTRIES_AT_ONCE), self._walk, strict=False):
            self._sums[name] += size
            if size < 0:  # the end
                self._sums[name] += 1
                self._known, self._walk = self._sums, None
                break
        return dict(self._known)

    def _entries(self) -> Iterator[tuple[str, int]]:
        for name, directory in self._directories.items():
            for folder, _, inside in os.walk(directory):
                for file in inside:
                    try:
                        yield name, os.lstat(os.path.join(folder, file)).st_size  # noqa: PTH118
                    except OSError:
                        continue  # it went away meanwhile
        yield next(iter(self._directories)), -1
