"""One file from the ledger through all plots, as far as it can be read now. What is counted commits with its cursor.

`Taker.take` decides and writes; what touches the file itself is a task that it yields, done by a worker anywhere. Files
are taken side by side, each a generator, all of them in one thread: between two yields nothing else happens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dqm.formats.hdf5 import one_line
from dqm.formats.names import parse_name
from dqm.formats.reader import Cursor
from dqm.ingest import passes
from dqm.ingest.belonging import Belonging, belonging
from dqm.ingest.commit import CannotRecount, Committer, Overruled, check_row
from dqm.ingest.drafts import Counted
from dqm.ingest.executors.base import Away, WorkerTrouble
from dqm.ingest.leave_out import leave_out
from dqm.ingest.merging import StatesDropped, floats_in, has_floats
from dqm.ingest.outcomes import GROWING_LOOK_S, done, is_abandoned, still
from dqm.ingest.slices import slice_s
from dqm.ingest.work import Changed, Count, Examine, Look, Refusal
from dqm.records import FINISHED, DataFile, ElementState, FileState
from dqm.results import plain
from dqm.settings import Settings
from dqm.store import Store, files, geometries, parts, runs, trends
from dqm.store.states import MissingState
from plots.base import Plot

log = logging.getLogger("larboard.watch")

OLD_S = 60.0
"""A file that was last changed so long ago is stable, though it was seen only now."""
RANK = {"packets": 2, "raw": 1}
"""Of two forms of one datum the higher one is counted."""
LEFT = (FileState.QUARANTINED, FileState.IGNORED)
"""Nothing is counted of a file that came to this, nor what was counted before it was sent through all again."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
TWIN_S = 1.0
"""A file waits so long for another form of its datum that is being counted."""
AGAIN_S = 0.2
AWAY_S = 5.0
DEADLY_TRIES = 5
"""A file over which so many workers died, or hung, one after the other, is left alone."""

Task = Examine | Count
Steps = Generator[Task, Any, None]


@dataclass
class Taker:
    """Takes files. `plots` gives the plots of now, `find` the detector of a geometry id."""

    store: Store
    settings: Settings
    plots: Callable[[], Mapping[str, type[Plot]]]
    find: Callable[[str, str, str], Any]
    now: Callable[[], float] = time.time
    resting: Callable[[], Container[str]] = frozenset
    """Names of plots that are given no file now."""

    def __post_init__(self) -> None:
        self.commits = Committer(self.store, self.now, self.find, self.plots)
        self.commits.due = self.due
        self.commits.window_s = self.settings.ingest.window_s
        self._heads: dict[int, str] = {}
        """First rows of the files that are being taken."""
        self._seen: dict[int, tuple[int, int, float]] = {}
        """Size, time and last change of the files that are being taken, as they were when that began."""
        self._deaths: dict[int, int] = {}
        """How often in a row no worker gave an answer about a file."""
        self._noted: set[str | None] = set()
        """Geometries that the database knows."""
        self._not_had: dict[int, set[str]] = {}
        """Plots that the workers did not have when a file was counted: it is finished without them, they follow."""

    def take(self, file: DataFile, closed: bool = False) -> Steps:
        """Counts what is new in a file; `closed` says that its writer was seen to close it. Never raises for the file."""
        self._seen[file.id] = _stamp(file)
        try:
            yield from self._take(file, closed)
        except StatesDropped:
            self._recount_run(file)
        except Overruled:
            log.info("somebody asked for something else meanwhile: what was counted in this look is dropped")
        finally:
            self._heads.pop(file.id, None)
            self._seen.pop(file.id, None)

    def _take(self, file: DataFile, closed: bool) -> Steps:
        if file.ignored:
            leave_out(self.commits, file)
            return
        look = yield Examine(file.path, timed=file.start is None)
        self._deaths.pop(file.id, None)
        file = self._now(file)
        if isinstance(look, Refusal):
            self._cannot(file, look)
        elif look.head is not None and look.head in self._heads.values():
            # two forms of one datum are never counted at the same time: which of them counts is settled one by one
            self._wait(file, file.reason, TWIN_S)
        else:
            if look.head is not None:
                self._heads[file.id] = look.head
            yield from self._look(file, look, closed)

    def _now(self, file: DataFile) -> DataFile:
        """The row as it is now: while a worker was busy it may have been touched."""
        with self.store.read() as tx:
            found = files.by_id(tx, file.id)
        assert found is not None
        return found

    def _recount_run(self, file: DataFile) -> None:
        """What the file needs of its run was dropped when the run was closed: all of it is counted anew, if it can be."""
        with self.store.read() as tx:  # the run may have been found only in this look
            entered = files.by_id(tx, file.id)
            have = parts.of_file(tx, file.id)
        assert entered is not None
        assert entered.run_id is not None
        try:
            self.commits.recount_run(entered.run_id)
        except CannotRecount as error:
            done = [part.rows_done for part in have.values() if part.complete]
            state = FileState.DONE if done else FileState.SAME
            with self.commits.begin() as tx:
                files.update(
                    tx, file.id, state=state, counted=bool(done), rows_done=max(done, default=0), reason=str(error),
                    next_look=None,
                )  # fmt: skip

    # -- what it is -----------------------------------------------------------------------------------------------

    def _look(self, file: DataFile, look: Look, closed: bool) -> Steps:
        settled = self._settled(file)
        if look.closed and not (settled or closed):
            state = file.state if file.counted else FileState.WAITING
            self._again(file, state, "is still changing", self._settle_s)
        elif file.state in FINISHED and look.identity is not None and look.identity == file.identity:
            if not file.rows_done or self._lacks_plots(file):
                yield from self._count(file, look, final=True)
            else:
                self._again(file, file.state, "; ".join(file.faults), None)  # touched, not changed
        elif file.state in FINISHED and file.identity is None and not look.closed and self._as_it_was(file, look):
            yield from self._count(file, look, final=True)  # never closed, and as long as it was
        elif self._rewritten(file, look):
            self._replace(file)
        elif not self._is_counted_elsewhere(file, look):
            yield from self._count(file, look, final=settled and look.closed)

    @property
    def _settle_s(self) -> float:
        return self.settings.ingest.settle_s

    def _settled(self, file: DataFile) -> bool:
        now = self.now()
        return now - file.changed >= self._settle_s or now - file.mtime_ns / 1e9 >= OLD_S

    def _lacks_plots(self, file: DataFile) -> bool:
        with self.store.read() as tx:
            have = parts.of_file(tx, file.id)
        resting = self.resting()
        return any(
            name not in have or have[name].plot_version != plot.version or not have[name].complete
            for name, plot in self.plots().items()
            if name not in resting
        )

    def _rewritten(self, file: DataFile, look: Look) -> bool:
        """Whether the name holds other content than what was counted under it."""
        if file.head is not None and look.head is not None and look.head != file.head:
            return True
        if not file.counted or file.provisional:
            return False
        lengths = self._lengths(file, look)
        if lengths is None:
            return file.state in FINISHED
        return lengths[0] < lengths[1] or (file.state in FINISHED and lengths[0] == lengths[1])

    def _replace(self, file: DataFile) -> None:
        """The row becomes history, and what was counted from it is taken back; a new row is due."""
        with self.commits.begin() as tx:
            files.retire(tx, file.id, FileState.REPLACED, "its name holds other content now")
            parts.forget(tx, file.id)
            same = [other for other in files.of_run(tx, file.run_id) if other.same_as == file.id] if file.run_id else []
            for other in same:
                files.recount(tx, other.id, "what it was a form of has gone")
                self.commits.disturbed(other.id)
            seen = (file.path, file.root, file.size, file.mtime_ns, file.inode)
            files.add(tx, *seen, self.now(), parse_name(file.path).run)
            if file.run_id is not None and file.counted:
                self.commits.rebuild(tx, file.run_id)

    def _is_counted_elsewhere(self, file: DataFile, look: Look) -> bool:
        """Settles which of several forms or copies of one datum is counted; True when it is not this one (now)."""
        if look.head is None:
            return False
        with self.store.read() as tx:
            rivals = [twin for twin in files.twins(tx, file.id, look.head) if twin.counted]
        for twin in rivals:
            if look.identity is not None and twin.identity == look.identity:
                if not Path(twin.path).exists():
                    self._moved(file, twin)
                else:
                    self._same(file, twin, look, f"is the same file as {Path(twin.path).name}, which is counted")
                return True
            mine, other = RANK.get(look.format, 0), RANK.get(twin.format, 0)
            if mine > other and look.closed:
                continue  # counted beside the scenes; when it is whole it takes the place
            if mine == other and file.counted and file.id < twin.id:
                continue  # both were counted before they could be told to be one: the other gives way
            if mine == other and look.closed and twin.state in FINISHED and self._takes_the_place(look, twin):
                continue
            what = "a form" if mine != other else "a copy or the beginning"
            self._same(file, twin, look, f"is {what} of the datum in {Path(twin.path).name}, which is counted")
            return True
        return False

    def _takes_the_place(self, look: Look, twin: DataFile) -> bool:
        """Whether a whole file is to be counted for its twin: that was only its beginning, or went away while it grew.

        Of the latter the integers would do. Sums of floats would show in which pieces it was added up.
        """
        lengths = self._lengths(twin, look)
        if lengths is None or twin.format != look.format:
            return False
        return lengths[0] > lengths[1] or (
            lengths[0] == lengths[1]
            and twin.state is FileState.GONE
            and twin.identity is None
            and self._adds_floats(twin)
        )

    def _adds_floats(self, file: DataFile) -> bool:
        with self.store.read() as tx:
            have = parts.of_file(tx, file.id)
        return any(part.base and floats_in(self.store.states.get(part.base)) for part in have.values())

    def _as_it_was(self, file: DataFile, look: Look) -> bool:
        lengths = self._lengths(file, look)
        return lengths is not None and lengths[0] == lengths[1]

    def _lengths(self, counted: DataFile, look: Look) -> tuple[int, int] | None:
        """(rows that are there, rows that were read of `counted`); messages for raw files. None when nothing was read."""
        with self.store.read() as tx:
            progress = files.progress(tx, counted.id)
        if progress is None:
            return None
        before = Cursor.from_json(progress["cursor"])
        return look.length, before.message if look.format == "raw" else before.row

    def _same(self, file: DataFile, twin: DataFile, look: Look, reason: str) -> None:
        with self.commits.begin() as tx:
            self._check(tx, file)
            values = {"format": look.format, "version": look.version, "run_id": twin.run_id, "head": look.head}
            due = None if look.closed else self.now() + GROWING_LOOK_S * 6
            files.update(
                tx, file.id, state=FileState.SAME, reason=reason, same_as=twin.id, counted=False,
                next_look=self.due(tx, file, due),
                rows=look.rows, start=twin.start, end=twin.end, **values,
            )  # fmt: skip
            if file.counted and file.run_id is not None:
                parts.forget(tx, file.id)
                trends.forget(tx, file.id)
                self.commits.rebuild(tx, file.run_id)
            elif not file.counted:
                self.commits.take_back(tx, file)

    def _moved(self, file: DataFile, twin: DataFile) -> None:
        """The same file under a new name: the row that is counted goes with it."""
        with self.commits.begin() as tx:
            files.retire(tx, file.id, FileState.REPLACED, f"was {twin.path} before, and is counted as that")
            state = FileState.DONE if twin.state is FileState.GONE else twin.state
            values = {"path": file.path, "root": file.root, "mtime_ns": file.mtime_ns, "inode": file.inode}
            reason = "; ".join(twin.faults)
            self.commits.disturbed(twin.id)
            files.update(tx, twin.id, **values, size=file.size, state=state, reason=reason, next_look=None)

    # -- what is in it --------------------------------------------------------------------------------------------

    def _count(self, file: DataFile, look: Look, final: bool) -> Steps:
        file = self._enter(file, look)
        still = self.now() - file.changed > self.settings.ingest.patience_s
        last = look.closed or (still and not look.provisional)
        work = self._plan(file, look, last)
        # a growing file is finished in one commit: while plots stand at different rows they only catch up,
        # the file's own pass last, and the next look finds them all in one group
        behind = file.state not in FINISHED and len(work) > 1
        for cursor, chosen, scans in sorted(work, key=lambda item: item[2]):
            if not (yield from self._pass(file, look, cursor, chosen, scans, final, last, may_end=not behind)):
                return
        if not work:
            self._again(file, file.state, file.reason, None)
        self._forget(file)

    def _forget(self, file: DataFile) -> None:
        """Once a file is finished the plots that it lacks follow by themselves."""
        if file.id in self._not_had and self._now(file).state in FINISHED:
            self._not_had.pop(file.id)

    def _enter(self, file: DataFile, look: Look) -> DataFile:
        """Run, geometry and head of the file in the ledger; what was provisional is forgotten once the file is closed."""
        found = belonging(look.path, look.format, file.root, self.settings.runs, file.start or look.first_unix)
        geometry = look.fit.name or None
        if look.fit.geometry in self._noted and _is_entered(file, look, found, geometry):
            return file
        with self.commits.begin() as tx:
            # a file stays in its run while something of it is counted there, though its time may be known better now
            stays = file.run_id is not None and found.number is None and bool(parts.of_file(tx, file.id))
            run_id = file.run_id if stays else runs.ensure(tx, found.key, found.number, found.category, found.tags)
            assert run_id is not None
            if look.fit.geometry is not None:
                geometries.note(tx, look.fit.geometry, look.fit.name, look.fit.directory)
            closed = file.provisional and not look.provisional
            progress = files.progress(tx, file.id)
            asked = file.state not in FINISHED and progress is None
            started_anew = bool(parts.of_file(tx, file.id)) and (closed or asked or geometry != file.geometry)
            if started_anew:
                parts.forget(tx, file.id)
            regrown = file.state in FINISHED and progress is not None
            files.update(
                tx, file.id, format=look.format, version=look.version, run_id=run_id, subrun=found.subrun,
                head=look.head, geometry=geometry, provisional=look.provisional,
                **({"rows_done": 0, "progress": None} if started_anew else {}),
            )  # fmt: skip
            entered = files.by_id(tx, file.id)
            if started_anew:
                self.commits.rebuild(tx, run_id)
        assert entered is not None
        self._noted.add(look.fit.geometry)
        if regrown and not (entered.identity is not None and look.identity == entered.identity):
            self.commits.withdraw(entered)
            entered = replace(entered, state=FileState.READING)
        return entered

    def _plan(self, file: DataFile, look: Look, last: bool) -> list[tuple[Cursor, list[type[Plot]], bool]]:
        """Passes over the file: (where to begin, plots, whether it is the pass that scans the file itself)."""
        with self.store.read() as tx:
            have = parts.of_file(tx, file.id)
            progress = files.progress(tx, file.id)
        here = Cursor.from_json(progress["cursor"]) if progress else Cursor()
        finished = file.state in FINISHED
        groups: dict[int, tuple[Cursor, list[type[Plot]]]] = {} if finished else {here.row: (here, [])}
        resting = self.resting()
        for name, plot in self.plots().items():
            if name in resting or (not finished and name in self._not_had.get(file.id, ())):
                continue
            part = have.get(name)
            fresh = part is None or not passes.goes_on(self.commits, part, plot, look, last)
            if not fresh and part is not None and ((finished and part.complete) or part.state is not ElementState.OK):
                continue
            cursor = Cursor() if fresh or part is None or part.cursor is None else Cursor.from_json(part.cursor)
            groups.setdefault(cursor.row, (cursor, []))[1].append(plot)
        return [(cursor, chosen, not finished and row == here.row) for row, (cursor, chosen) in sorted(groups.items())]

    def _pass(
        self, file: DataFile, look: Look, start: Cursor, chosen: list[type[Plot]], scans: bool, final: bool,
        last: bool, may_end: bool = True,
    ) -> Generator[Task, Any, bool]:  # fmt: skip
        """Reads from `start` to the end once, for all `chosen` plots; False when the file has changed meanwhile."""
        file = self._now(file)
        counting = passes.begin(self.commits, file, look, start, chosen, scans, last)
        if counting.reading.detector is None and look.fit.geometry is not None:
            reason = f"cannot be counted now: geometry {look.fit.name} is not there any more"
            self._cannot(file, Refusal(reason, "growing"))
            return False
        while True:
            tally = yield self._leg(counting)
            if isinstance(tally, Refusal):
                self._cannot(self._now(file), tally)
                return False
            if isinstance(tally, Changed):
                self._wait(self._now(file), file.reason, AGAIN_S)
                return False
            self._deaths.pop(file.id, None)
            if lacked := passes.take_in(counting, tally):
                self._not_had.setdefault(file.id, set()).update(lacked)
            if tally.ended:
                break
            self.commits.save(counting, still(counting, FileState.READING, self.now(), self._settle_s))
            counting.file = file = self._now(file)
        reading = counting.reading
        abandoned = may_end and is_abandoned(counting, start)
        whole = (may_end and final and look.closed and not reading.stopped and reading.closed) or abandoned
        nothing = reading.cursor.row == start.row and all(e.name in counting.before for e in counting.elements)
        if nothing and not whole and file.rows_done and file.state not in FINISHED:
            if values := still(counting, FileState.GROWING, self.now(), self._settle_s):
                with self.commits.begin() as tx:  # nobody need draw anything anew
                    files.update(tx, file.id, **values)
            self.commits.keep_open(counting)
            return True
        values = (
            done(counting, abandoned, self.now(), self.settings.detector.name)
            if whole
            else still(counting, FileState.GROWING, self.now(), self._settle_s)
        )
        self.commits.save(counting, values, complete=whole)
        if not whole:
            self.commits.keep_open(counting)
        return True

    def _leg(self, counting: Counted) -> Count:
        """The task to count on from where the pass is now."""
        works = [e for e in counting.elements if not e.broken and not e.unavailable]
        going = [e for e in works if e.name in counting.before or counting.reading.legs]
        floats = {e.name: e.state.to_arrays() for e in going if e.state is not None and has_floats(e.state)}
        return Count(
            counting.file.path,
            counting.reading.look,
            counting.reading.cursor.to_json(),
            tuple((e.name, e.plot.version) for e in works),
            frozenset(e.name for e in going),
            floats,
            {e.name: e.packed for e in going if e.packed is not None},
            None if counting.scan is None else counting.scan_json,
            self.settings.ingest.commit_s,
            self._window(counting.file),
        )

    def _window(self, file: DataFile) -> tuple[float, float] | None:
        """From when on its rows are in the window of the run, and how long a slice is; None when they cannot be in it."""
        window_s = self.settings.ingest.window_s
        if not window_s or file.run_id is None:
            return None
        with self.store.read() as tx:
            run = runs.by_id(tx, file.run_id)
        begin = (run.end or 0.0) - window_s
        return None if run.closed or file.mtime_ns / 1e9 < begin else (begin, slice_s(window_s))

    # -- where it stands afterwards -------------------------------------------------------------------------------

    def _cannot(self, file: DataFile, error: Refusal) -> None:
        """A file that cannot be read (now): waiting, and in the end quarantine, each with the reason."""
        now = self.now()
        if error.state == "ok":  # nothing is wrong with it, and nothing in it is for us
            self._again(file, FileState.IGNORED, error.reason, None)
            return
        waited = now - file.changed
        wait = RETRY_S[min(file.attempts, len(RETRY_S) - 1)]
        if file.counted:
            self._again(file, file.state, f"cannot be read now: {error.reason}", wait)
        elif error.state == "growing" or waited < self._patience(file, now):
            self._again(file, FileState.WAITING, error.reason, wait)
        else:
            self._again(file, FileState.QUARANTINED, error.reason, None)

    def _patience(self, file: DataFile, now: float) -> float:
        """How long a file may stay unreadable: none at all when it has been lying there for long."""
        patience = self.settings.ingest.patience_s
        return 0 if now - file.mtime_ns / 1e9 > patience else patience

    def _again(self, file: DataFile, state: FileState, reason: str, wait: float | None) -> None:
        look = None if wait is None else self.now() + wait
        self._put(file, state=state, reason=reason, next_look=look, attempts=file.attempts + 1)

    def _wait(self, file: DataFile, reason: str, wait: float) -> None:
        """As it is, and looked at again in a moment: that is no attempt."""
        self._put(file, reason=reason, next_look=self.now() + wait)

    def _put(self, file: DataFile, **values: Any) -> None:
        """Writes the row of a file, unless somebody else changed what it is about."""
        with self.commits.begin() as tx:
            self._check(tx, file)
            files.update(tx, file.id, **values | {"next_look": self.due(tx, file, values["next_look"])})
            if not file.counted and values.get("state") in LEFT:
                self.commits.take_back(tx, file)

    def _check(self, tx: Any, file: DataFile) -> None:
        """Raises Overruled when a file was ignored, or sent through all again, since its row was read."""
        check_row(files.by_id(tx, file.id), file)

    def due(self, tx: Any, file: DataFile, wanted: float | None) -> float | None:
        """When to look at a file next: at once when it was changed while a worker had it, for the worker saw it before."""
        row = files.by_id(tx, file.id)
        touched = row is not None and file.id in self._seen and _stamp(row) != self._seen[file.id]
        return self.now() if touched and wanted is None else wanted

    def trouble(self, file: DataFile, error: WorkerTrouble) -> None:
        """No worker gave an answer: the file waits, ever longer, and goes to quarantine when it is always so."""
        file = self._now(file)
        if file.state is FileState.GONE:
            return
        try:
            self._bear(file, error)
        except Overruled:
            return  # it is due again, as somebody asked

    def _bear(self, file: DataFile, error: WorkerTrouble) -> None:
        if isinstance(error, Away):
            if file.next_look is not None:
                self._wait(file, file.reason if file.counted else str(error), AWAY_S)
            return
        deaths = self._deaths[file.id] = self._deaths.get(file.id, 0) + 1
        if deaths >= DEADLY_TRIES:
            self._deaths.pop(file.id)
            self.give_up(file, error)
            return
        wait = RETRY_S[min(deaths, len(RETRY_S)) - 1]
        if file.state in FINISHED:  # what is counted stays; a plot that has not seen it gets another chance
            if file.next_look is not None:
                self._wait(file, file.reason, wait)
            return
        state = file.state if file.counted else FileState.WAITING
        self._again(file, state, f"{error}; it is tried again", wait)

    def give_up(self, file: DataFile, error: BaseException) -> None:
        """The last resort: nothing that is in a file may stop the next one."""
        file = self._now(file)
        what = "" if isinstance(error, (WorkerTrouble, MissingState)) else f"{type(error).__name__}: "
        reason = plain(f"cannot be read: {what}{one_line(error)}")
        state = file.state if file.counted else FileState.QUARANTINED
        look = self.now() + RETRY_S[-1] if file.counted and file.state not in FINISHED else None
        said: dict[str, Any] = {} if file.state in FINISHED else {"reason": reason, "faults": [reason]}
        with suppress(Overruled):
            try:
                self._put(file, state=state, next_look=look, **said)
            except StatesDropped:
                self._recount_run(file)


def _is_entered(file: DataFile, look: Look, found: Belonging, geometry: str | None) -> bool:
    """Whether a look at a file that grows found what its row says already."""
    row = (file.state, file.counted, file.run_key, file.subrun, file.format, file.version, file.head, file.geometry)
    seen = (FileState.GROWING, True, found.key, found.subrun, look.format, look.version, look.head, geometry)
    return row == seen and file.provisional == look.provisional


def _stamp(file: DataFile) -> tuple[int, int, float]:
    return file.size, file.mtime_ns, file.changed
