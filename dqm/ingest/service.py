"""The watch: hints and scans become rows of the ledger, due rows are taken, newest first. `step` does what is due."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from dqm import logs
from dqm.formats.names import parse_name
from dqm.ingest.backoff import Backoff
from dqm.ingest.executors import Away, Executor, Inline, WorkerTrouble
from dqm.ingest.flights import Flight, Flights
from dqm.ingest.hints import Hints
from dqm.ingest.merging import StatesDropped
from dqm.ingest.oneshot import Sources
from dqm.ingest.pulse import Pulse
from dqm.ingest.roots import Roots, Sighting, gone
from dqm.ingest.take import Taker
from dqm.ingest.upkeep import keep_small
from dqm.ingest.work import Bench
from dqm.records import FINISHED, DataFile, FileState, Plugin, Watcher
from dqm.settings import Settings
from dqm.store import Store, StoreProblem, elements, files, parts, plugins, runs, slices, watchers
from plots.base import HostTrouble, MergeablePlot, Plot

log = logging.getLogger("larboard.watch")

BEAT_S = 2.0
BEATS_IN_A_LEASE = 6
PLUGINS_S = 1.0
NOTED_AT_ONCE = 200
GROWING_REST = 3.0
"""A growing file rests so many times as long as its last look took."""
HOUSEKEEPING_S = 60.0
LONGEST_WAIT_S = 600.0
"""No file waits longer than that for its next look, but by a clock that was set back."""
FORGET_WATCHER_S = 24 * 3600.0
TROUBLE_S = 5.0
NO_ROOTS = "no data roots are set: name them in larboard.toml, [ingest] roots = [...]"


class LostLead(StoreProblem):
    """Another process leads: nothing that was worked out before it took over may be written."""


class Shelf(Protocol):
    """Where plots come from (plots.discovery.Shelf)."""

    registry: Any

    def look(self) -> bool: ...


@dataclass
class _Pace:
    """How fast files are taken, for the expected end of a backlog."""

    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=50))

    def left(self, queue: int, side_by_side: int) -> float | None:
        if not self.seconds or not queue:
            return None
        return queue * sum(self.seconds) / len(self.seconds) / side_by_side


class Watch:
    """The ingest of one process. `run` until told to stop; `step` and `reconcile` are its parts."""

    def __init__(
        self, store: Store, settings: Settings, sources: Sources, shelf: Shelf, now: Callable[[], float] = time.time,
        executor: Executor | None = None,
    ):  # fmt: skip
        self.store = store
        self.settings = settings
        self.shelf = shelf
        self.now = now
        self.roots = Roots([path.absolute() for path in settings.ingest.roots], settings.ingest.patterns)
        self.hints = Hints()
        self.executor = executor or Inline(Bench(sources, self._plots))
        self.taker = Taker(store, settings, self._plots, sources.find, now)
        self.flights = Flights(self.executor, self._limit_s, self.hints.news.set)
        self.taker.commits.fence = self._still_lead
        self.backoff = Backoff(store, now)
        self.taker.resting = self.backoff.resting
        self.taker.commits.disturbed = self.flights.disturb
        # not only host and process: containers may have the same of both
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self.pulse = Pulse(store, settings, self.name, now)
        self.started = now()
        self.leads = False
        self.problems: list[str] = []
        self._watch_problems: list[str] = []
        self._closed: set[str] = set()
        self._rests_until: dict[str, float] = {}
        self._in_vain: set[tuple[str, int]] = set()
        self._pace = _Pace()
        self._state = "starting"
        self._next = {"beat": 0.0, "scan": 0.0, "plugins": 0.0, "housekeeping": 0.0}
        self._last = 0.0
        self._unlikely_s: float | None = None
        self._fill = True
        self._listed = False
        """Whether the ledger has the plots as they are here, since this process leads."""
        self._trouble = ""

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Until `stop`: whatever goes wrong is said, and tried again."""
        try:
            while not stop.is_set():
                try:
                    busy = self.step()
                    self._recovered()
                    if not busy:
                        self._rest(stop)
                except StoreProblem as error:
                    self._say_trouble(str(error))
                    stop.wait(TROUBLE_S)
                    continue
                except Exception as error:  # the watch must outlive what nobody thought of
                    if type(error).__name__ not in self._trouble:
                        log.exception("unexpected")
                    self._say_trouble(f"unexpected: {type(error).__name__}: {error}")
                    stop.wait(TROUBLE_S)
                    continue
        finally:
            self.flights.drop_all()
            self.hints.close()
            self._leave()

    def first_look(self) -> list[str]:
        """What is wrong with the data roots, before anything is read."""
        if not self.roots.directories:
            return [NO_ROOTS]
        return self.roots.scan().problems

    def step(self) -> bool:
        """Does what is due; True when there may be more to do at once."""
        if self.now() < self._last - 1:  # the clock was set back: what was due is due now
            self._next = dict.fromkeys(self._next, 0.0)
            self._unlikely_s = 0.0
        self._last = self.now()
        self._beat_if_due()
        if not self.leads:
            self.flights.drop_all()
            return False
        if self._unlikely_s is not None:
            self._look_at_what_waits(self._unlikely_s)
        self._look_for_plugins()
        self._absorb(self.hints.take())
        if self.now() >= self._next["scan"]:
            self.reconcile()
        busy = self._go_on()
        if self.now() >= self._next["housekeeping"]:
            self._keep_house()
        return busy

    def _look_at_what_waits(self, later_than_s: float) -> None:
        """What was to be looked at later than that by a clock that has been set back since is looked at now."""
        with self.taker.commits.begin() as tx:
            files.look_now(tx, self.now(), self.now() + later_than_s)
        self._unlikely_s = None

    def _rest(self, stop: threading.Event) -> None:
        """Waits for a hint, for the next file that is due, or for the next beat."""
        if not self.leads:
            stop.wait(1.0)
            return
        with self.store.read() as tx:
            due = files.next_due(tx, self.flights.ids) if self._can_give else None
        until = min(t for t in (due, *self._next.values()) if t is not None)
        self._state = "waiting for files"
        wait = min(max(until - self.now(), 0.02), 1.0)
        # an event of ours and a stop must both end the wait: stop is looked at every second at the latest
        self.hints.news.wait(wait)

    # -- files ----------------------------------------------------------------------------------------------------

    def reconcile(self) -> None:
        """Compares the roots with the ledger: the truth, whatever was hinted."""
        settings = self.settings.ingest
        polled = settings.watch == "poll" or (settings.watch == "auto" and bool(self.roots.on_network()))
        self._watch_problems = [] if settings.watch == "poll" else self.hints.watch(list(self.roots.directories))
        every = settings.poll_s if polled or self._watch_problems else settings.reconcile_s
        began, seen = self.now(), self.roots.scan()
        self.problems = [*seen.problems, *self._watch_problems]
        if not self.roots.directories:
            self.problems.append(NO_ROOTS)
        self.pulse.scanned(seen, began, every, self.problems)
        with self.store.read() as tx:
            known = files.marks(tx)
        self._note(
            [
                s
                for path, s in seen.files.items()
                if known.get(path, (0, -1, -1, ""))[1:3] != (s.size, s.mtime_ns) or known[path][3] == FileState.GONE
            ]
        )
        self._note_gone([path for path in gone(known, seen) if known[path][3] != FileState.GONE])
        # a missing root may come back any moment
        self._next["scan"] = self.now() + (min(every, 5.0) if seen.problems else every)

    def _absorb(self, hinted: Mapping[str, bool]) -> None:
        found, missing = [], []
        for path, closed in hinted.items():
            sighting = self.roots.look_at(path)
            if sighting is not None:
                found.append(sighting)
                if closed:
                    self._closed.add(path)
            elif Path(path).is_dir():
                # a directory came, with whatever is in it already
                self._next["scan"] = 0.0
            elif self.roots.wants(os.path.basename(path)):  # noqa: PTH119
                missing.append(path)
        self._note(found)
        with self.store.read() as tx:
            self_known = [path for path in missing if (row := files.at(tx, path)) and row.state is not FileState.GONE]
        self._note_gone([path for path in self_known if not Path(path).exists()])

    def _note(self, sightings: Iterable[Sighting]) -> None:
        """Puts what was seen in the ledger, to be looked at; some hundred at once, with signs of life between."""
        waiting = list(sightings)
        for start in range(0, len(waiting), NOTED_AT_ONCE):
            self._note_some(waiting[start : start + NOTED_AT_ONCE])
            if len(waiting) > NOTED_AT_ONCE:
                self._beat_if_due()

    def _note_some(self, sightings: list[Sighting]) -> None:
        now, new = self.now(), []
        with self.taker.commits.begin() as tx:
            for sighting in sightings:
                row = files.at(tx, sighting.path)
                if row is None:
                    given = (sighting.path, sighting.root, sighting.size, sighting.mtime_ns, sighting.inode, now)
                    new.append((files.add(tx, *given, parse_name(sighting.path).run), sighting.path))
                    continue
                changed = (row.size, row.mtime_ns) != (sighting.size, sighting.mtime_ns)
                if not changed and sighting.path not in self._closed and row.state is not FileState.GONE:
                    continue
                values: dict[str, Any] = {"size": sighting.size, "mtime_ns": sighting.mtime_ns, "inode": sighting.inode}
                if row.state is FileState.GONE:
                    values["state"] = FileState.DONE if row.counted else FileState.WAITING
                    values["reason"] = "; ".join(row.faults) if row.counted else ""
                if changed:
                    values |= {"changed": now, "attempts": 0}
                # a file that grows all the time must not keep the others waiting: it gets a share of the time
                rests = row.state is FileState.GROWING and sighting.path not in self._closed
                look = max(now, self._rests_until.get(sighting.path, now)) if rests else now
                files.update(tx, row.id, **values, next_look=look)
        for file_id, path in new:
            with logs.about_new(file_id, now):
                log.info("seen: %s", path)

    def _note_gone(self, paths: Iterable[str]) -> None:
        """Files that went away: what was counted of them stays, for the data were taken."""
        for path in paths:
            with self.taker.commits.begin() as tx:
                row = files.at(tx, path)
                if row is None:
                    continue
                self.flights.disturb(row.id)
                if row.counted and row.state not in FINISHED and row.head is None:
                    # too short to be known again: if it was renamed it is counted under its new name, and must not be twice
                    self.taker.commits.uncount(tx, row)
                    row = replace(row, counted=False)
                files.update(tx, row.id, state=FileState.GONE, next_look=None)
                stays = row.counted or self.taker.commits.stays(tx, row)
                reason = "is no longer there" + ("; what was counted of it stays" if stays else "")
                files.update(tx, row.id, reason=reason)
                if row.counted and row.state not in FINISHED and row.run_id is not None:
                    for part in parts.of_file(tx, row.id).values():
                        parts.save(tx, replace(part, complete=not row.provisional))
                    self.taker.commits.rebuild(tx, row.run_id, only_added=True)
                    for other in files.same_as(tx, row.id):  # perhaps its other name, under which it is whole
                        self.flights.disturb(other.id)
                        files.update(tx, other.id, next_look=self.now())

    def _go_on(self) -> bool:
        """Takes in what workers have finished, and gives them more; True when there was something to do."""
        busy = False
        for flight in self.flights.landed_tasks():
            self._drive(flight, self.flights.take_in)
            busy = True
        while self._can_give and self._start_one():
            busy = True
            if not self.flights.in_air:  # done inline: hints and signs of life come before the next file
                break
        return busy

    @property
    def _can_give(self) -> bool:
        """Whether a task would find a worker: while nobody can do any, no file is begun."""
        return self.flights.have_room and not self.executor.problem

    def _start_one(self) -> bool:
        """Gives the newest of the files that are due or half done to a worker; with none due, one that lacks a plot."""
        due = None
        if not self.flights.many:
            with self.store.read() as tx:
                due = next(iter(files.due(tx, self.now(), 1, self.flights.ids)), None)
        ready = self.flights.newest_ready()
        if ready is not None and (due is None or ready.file.mtime_ns >= due.mtime_ns):
            self._give(ready)
            return True
        if due is not None:
            self._take(due, due.path in self._closed)
            return True
        return not self.flights.many and self._fill_up()

    def _take(self, file: DataFile, closed: bool) -> None:
        self._state = f"reading {file.path.rpartition('/')[2]}"
        self._closed.discard(file.path)
        self._give(self.flights.add(file, self.taker.take(file, closed), closed))

    def _give(self, flight: Flight) -> None:
        """Gives the next task of a file to a worker; where that does it at once the file goes on, while there is time."""
        self._drive(flight, self.flights.give)
        while flight.future is not None and flight.future.done() and self._may_go_on():
            self._drive(flight, self.flights.take_in)
            if flight.task is not None:
                self._drive(flight, self.flights.give)

    def _drive(self, flight: Flight, how: Callable[[Flight], bool]) -> None:
        """Lets a file go on by a step, with its id in what is logged."""
        with logs.about(flight.file):
            self._drive_on(flight, how)

    def _drive_on(self, flight: Flight, how: Callable[[Flight], bool]) -> None:
        """Whatever befalls a file is written down, and the file is over."""
        try:
            over = how(flight)
        except StoreProblem:
            if flight.closed:
                self._closed.add(flight.file.path)
            raise
        except WorkerTrouble as error:
            self.taker.trouble(flight.file, error)
        except HostTrouble as error:
            self.taker.trouble(flight.file, Away(str(error)))
        except Exception as error:
            log.exception("%s", flight.file.path)
            self.taker.give_up(flight.file, error)
        else:
            if not over:
                return
        self._rests_until[flight.file.path] = self.now() + GROWING_REST * flight.seconds
        self._pace.seconds.append(flight.seconds)
        self._tell(flight.file, flight.seconds)

    def _limit_s(self) -> float:
        """How long a task may take: what a worker may be silent, and what plug-ins may take before they are stopped."""
        isolated = sum(bool(found.digest) for found in self.shelf.registry.plots.values())
        limits = self.settings.plots
        patience = self.settings.ingest.hang_s + self.settings.ingest.commit_s
        return patience + isolated * (limits.block_s + limits.start_s)

    def _may_go_on(self) -> bool:
        """Whether there is time for another task at once: where tasks are done inline, signs of life come between."""
        return self.now() < self._next["beat"]

    def _tell(self, before: DataFile, seconds: float) -> None:
        """A line of the log when a file came to another state."""
        with self.store.read() as tx:
            after = files.by_id(tx, before.id)
        if after is None or (after.state, after.reason) == (before.state, before.reason):
            return
        self._fill = self._fill or after.state in FINISHED
        name = after.path.rpartition("/")[2]
        rows = f", {after.rows_done:,} packets" if after.counted else ""
        with logs.about(after):
            log.info(
                "%s: %s%s%s (%.2f s)", name, after.state, rows, f": {after.reason}" if after.reason else "", seconds
            )

    def _fill_up(self) -> bool:
        """With nothing else to do: a file that some plot has not seen, newest first."""
        if not self._fill:
            return False
        resting = self.backoff.resting()
        for name, plot in self._plots().items():
            if name in resting:
                continue
            with self.store.read() as tx:
                some = parts.lacking(tx, name, plot.version, 50 + len(self._in_vain))
                lacking = [i for i in some if (name, i) not in self._in_vain and i not in self.flights.ids]
                file = files.by_id(tx, lacking[0]) if lacking else None
            if file is not None:
                # if it cannot be read now it must not be tried without end; the next housekeeping tries it again
                self._in_vain.add((name, file.id))
                self._take(file, True)
                return True
        self._fill = False  # until a plot changes, a file is done, or the house is kept
        return False

    # -- plots ----------------------------------------------------------------------------------------------------

    def _plots(self) -> dict[str, type[Plot]]:
        return {name: found.plot for name, found in self.shelf.registry.plots.items()}

    def _look_for_plugins(self) -> None:
        if self.now() < self._next["plugins"]:
            return
        self._next["plugins"] = self.now() + PLUGINS_S
        self._wake()
        before = self._plots()
        if not self.shelf.look() and self._listed:
            return
        registry = self.shelf.registry
        listed = [
            Plugin(f.name, f.source, f.plot.title, "", "", digest=f.digest, version=f.plot.version)
            for f in registry.plots.values()
        ]
        listed += [Plugin(b.name, b.source, "", b.reason, b.traceback) for b in registry.broken]
        mended = [name for name, plot in self._plots().items() if name in before and before[name] is not plot]
        with self.taker.commits.begin() as tx:
            known = {plugin.name for plugin in plugins.listed(tx) if not plugin.broken}
            mended = list({*mended, *plugins.found(tx, listed)})
            # one that could not be imported for a while has lost its rest, too: nobody else would bring back its files
            back = [name for name in self._plots() if name not in known and name not in mended]
            for name in (*mended, *back):
                parts.forget_broken(tx, name)
        if mended:  # what the old ones have counted of files under way must not be mixed with the new
            self.flights.drop_all()
        for name in (*mended, *back):
            self._show_again(name)
        self.taker.commits.merge_put_off()
        self._listed = True
        self._in_vain.clear()
        self._fill = True
        log.info("%d plots, %d broken", len(registry.plots), len(registry.broken))

    def _wake(self) -> None:
        """Plug-ins that have rested after a limit are tried again, with what they missed."""
        if not (over := self.backoff.over()):
            return
        with self.taker.commits.begin() as tx:
            self.backoff.wake(tx, over)
        for name in over:
            self._show_again(name)
            log.info("%s is tried again", name)
        self._in_vain.clear()
        self._fill = True

    def _show_again(self, plot: str) -> None:
        """What a plot that was mended could not merge is merged now; files that it failed on follow by themselves."""
        with self.store.read() as tx:
            broken = elements.broken_runs(tx, plot)
        for run_id in broken:
            try:
                with self.taker.commits.begin() as tx:
                    self.taker.commits.rebuild(tx, run_id)
            except StatesDropped:
                log.warning("%s of a closed run cannot be merged again: its files must be read again", plot)

    # -- signs of life --------------------------------------------------------------------------------------------

    def _beat_if_due(self) -> None:
        now = self.now()
        if now < self._next["beat"]:
            return
        with self.store.begin() as tx:
            led = self.leads
            # the hosts of a PostgreSQL have clocks of their own
            self.leads = watchers.lead(
                tx, self.name, now if self.store.is_sqlite else None, self.settings.ingest.lease_s
            )
            queue = files.queue(tx, now)
            left = self._pace.left(queue, max(1, len(self.flights.ids)))
            state = self._state if self.leads else "standing by: another ingest leads"
            watchers.beat(
                tx,
                Watcher(
                    self.name, socket.gethostname(), os.getpid(), self.started, now, self.leads, state, queue, left,
                    (*self.problems, *filter(None, [self.executor.problem])),
                ),
            )  # fmt: skip
        if self.leads and not led:
            self._next["scan"] = self._next["plugins"] = 0.0
            self._unlikely_s = LONGEST_WAIT_S
            self._listed = False
        self._next["beat"] = now + min(BEAT_S, self.settings.ingest.lease_s / BEATS_IN_A_LEASE)
        if self.leads:
            self.pulse.beat(left)

    def _still_lead(self, tx: Any) -> None:
        if not watchers.holds(tx, self.name):
            self.leads = False
            raise LostLead("another ingest took over while this one was busy; what was read since is dropped")

    def _leave(self) -> None:
        try:
            with self.store.begin() as tx:
                watchers.gone(tx, self.name)
        except StoreProblem as error:
            log.warning("%s", error)

    def _say_trouble(self, text: str) -> None:
        if text != self._trouble:
            log.error("%s; trying again every %g s", text, TROUBLE_S)
            self._trouble = text

    def _recovered(self) -> None:
        if self._trouble:
            log.info("it works again")
            self._trouble = ""

    # -- housekeeping ---------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        """Closes runs, drops what they need no more, forgets old notices, collects states that nothing names."""
        now = self.now()
        self._next["housekeeping"] = now + HOUSEKEEPING_S
        self._rests_until = {path: until for path, until in self._rests_until.items() if until > now}
        self._in_vain.clear()
        self._fill = True
        waits: set[int] = set()
        if self.taker.commits.put_off:
            self.taker.commits.merge_put_off()
            with self.store.read() as tx:
                waits = {run_id for run_id, _ in parts.put_off(tx)}
        mergeable = [name for name, plot in self._plots().items() if issubclass(plot, MergeablePlot)]
        with self.taker.commits.begin() as tx:
            busy = {file.run_id for file in files.some(tx, self.flights.ids)}
            latest = runs.latest(tx)
            for run in runs.open_ones(tx):
                if run.id in busy | waits or files.any_waiting(tx, run.id):
                    continue
                quiet = now - (runs.worked_at(tx, run.id) or run.updated) > self.settings.ingest.close_run_s
                if quiet and not run.growing and latest is not None and run.id != latest.id:
                    parts.drop_states(tx, run.id, mergeable)
                    slices.drop(tx, run.id)
                    runs.close(tx, run.id)
            watchers.prune(tx, now - FORGET_WATCHER_S)
        keep_small(self.store, self.settings.retention, self.taker.commits.begin, now)
