"""One transaction for what was counted: states, trends, elements of the run, cursor, and the notice of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dqm.checks.range_check import judge, worst
from dqm.checks.values import as_values
from dqm.ingest import backoff
from dqm.ingest.drafts import Counted, Draft, Drafter, Writing
from dqm.ingest.figures import Figures
from dqm.ingest.merging import Merger, StatesDropped, fits
from dqm.ingest.open_files import OpenFiles
from dqm.ingest.slices import Cut, cut, slice_s
from dqm.records import COUNTED, DataFile, ElementState, FileState, Slice
from dqm.records import Element as RunElement
from dqm.results import plain
from dqm.store import Store, StoreProblem, elements, files, geometries, parts, plugins, pulses, runs, slices, trends
from plots.base import PLUGIN_ERRORS, HostTrouble, MergeablePlot, Plot, Stopped

log = logging.getLogger("larboard.watch")

TRIES = 3


class Overruled(Exception):
    """Somebody ignored the file, or sent it through all again, while it was counted: what was counted is dropped."""


def check_row(now: DataFile | None, before: DataFile) -> None:
    """Raises Overruled when a row is not what the count of its file began with."""
    if now is None or any(getattr(now, name) != getattr(before, name) for name in DECISIVE):
        raise Overruled(before.path)


DECISIVE = ("state", "counted", "ignored", "rows_done", "run_id")
"""Columns of a file that only its own count changes, and what people ask for."""


class CannotRecount(Exception):
    """A closed run cannot be counted anew: files that it was counted from are gone."""


class Committer:
    """Writes what was counted. States are written first; the transaction only names them."""

    def __init__(
        self, store: Store, now: Callable[[], float], find_detector: Callable[[str, str, str], Any],
        plots: Callable[[], Mapping[str, type[Plot]]],
    ):  # fmt: skip
        self.fence: Callable[[Any], None] = lambda tx: None
        """Raises when this process may not write any more."""
        self.disturbed: Callable[[int], None] = lambda file_id: None
        """Told of every file whose counts are taken away or sent through all again, for it may be under way."""
        self.due: Callable[[Any, DataFile, float | None], float | None] = lambda tx, file, wanted: wanted
        """When a file that was counted is to be looked at next, in the transaction that says so."""
        self.store = store
        self.now = now
        self.plots = plots
        self.window_s = 0.0
        """Length of the window of a run [s]; 0: none is kept."""
        self.merger = Merger(store)
        self.figures = Figures(store)
        self.open = OpenFiles()
        self._drafter = Drafter(store, self.merger, self.figures, now)
        self.find_detector = find_detector
        """(geometry id, name, directory) -> detector or None."""
        self.put_off = False
        """Whether an element waits to be merged anew since its plug-in was ended just then."""
        self._detectors: dict[str, Any] = {}

    @contextmanager
    def begin(self) -> Iterator[Any]:
        """A transaction that writes, for the one process that leads."""
        try:
            with self.store.begin() as tx:
                self.fence(tx)
                yield tx
        except HostTrouble as error:
            raise StoreProblem(f"runs cannot be merged: {error}") from None

    def save(self, counting: Counted, outcome: dict[str, Any], complete: bool = False) -> None:
        """Commits a pass as far as it is; `outcome` are columns of the file, `complete` says that it is at its end."""
        writing = Writing(counting, self.store)
        cuts = self._cut(counting, writing)
        for attempt in range(TRIES):
            drafts = self._drafter.drafts(counting, complete, writing)
            writing.batch.write()
            try:
                self._write(counting, drafts, cuts, outcome, complete)
                break
            except elements.Overtaken:
                if attempt == TRIES - 1:
                    raise
        counting.saved(drafts)
        counting.running = cuts.running

    def keep_open(self, counting: Counted) -> None:
        """The pass is over and saved: the next look finds its states here, if they are what the database names then."""
        kept = [(counting.before[e.name], e.state) for e in counting.elements if e.state is not None]
        self.open.keep(counting.file.id, kept, counting.running)

    def _cut(self, counting: Counted, writing: Writing) -> Cut:
        """What the last leg added to the window of the run; nothing when it has none, or is not in it."""
        file, reading = counting.file, counting.reading
        running, counting.running = counting.running, None
        assert file.run_id is not None
        if not self.window_s or reading.span is None or not writing.added:
            return Cut()
        with self.store.read() as tx:
            run = runs.by_id(tx, file.run_id)
            there = slices.of_file(tx, file.id)
        oldest = max(run.end or 0.0, reading.span[1]) - self.window_s
        if run.closed or reading.span[0] < oldest - slice_s(self.window_s):
            return Cut()
        plots = {
            e.name: (e.plot.version, reading.look.fit.geometry) for e in counting.elements if e.name in writing.added
        }
        made = Slice(file.id, *reading.span, plots, writing.pack)
        if counting.fresh:  # what stands there of these plots goes
            running = None
        return cut(made, writing.added, running, there, self.window_s, writing.batch)

    # -- the transaction ------------------------------------------------------------------------------------------

    def _write(
        self, counting: Counted, drafts: list[Draft], cuts: Cut, outcome: dict[str, Any], complete: bool
    ) -> None:
        file, scan = counting.file, counting.scan
        assert file.run_id is not None
        with self.begin() as tx:
            check_row(files.by_id(tx, file.id), file)
            if "next_look" in outcome:
                outcome = outcome | {"next_look": self.due(tx, file, outcome["next_look"])}
            # one that is counted may have twins too: it was counted before it had the rows by which it is known
            beaten = _beaten(tx, file) if complete else []
            waits = not complete and not file.counted and bool(_beaten(tx, file))
            whole = [twin for twin in beaten if twin.state is FileState.DONE]
            if whole and outcome.get("state") is FileState.PARTIAL:
                self._stand_back(tx, counting, whole[0], outcome)
                return
            if scan is not None:
                times = {"start": scan.first_unix, "end": scan.last_unix} if scan.first_unix is not None else {}
                values = {"rows_done": scan.rows, "counted": not waits, **times, **outcome}
                files.update(tx, file.id, **values)
                whole_file = {"files": 1, "bytes": file.size} if complete else {}
                pulses.count(tx, packets=max(scan.rows - file.rows_done, 0), **whole_file)
            elif outcome:
                files.update(tx, file.id, **outcome)
            for twin in beaten:
                name = file.path.rpartition("/")[2]
                reason = f"is a form of the datum in {name}, which is counted"
                files.update(
                    tx, twin.id, state=FileState.SAME, reason=reason, same_as=file.id, counted=False, next_look=None
                )
                trends.forget(tx, twin.id)
                parts.forget(tx, twin.id)
                self.disturbed(twin.id)
            if complete and scan is not None:
                runs.reopen(
                    tx, file.run_id
                )  # of a closed run too: the states of its files are wanted again for a while
            now = files.by_id(tx, file.id)
            assert now is not None
            self._write_drafts(tx, counting, now, drafts, visible=not waits)
            if counting.fresh:
                slices.forget(tx, file.id, counting.fresh)
            if cuts.made:
                slices.save(tx, cuts.made, in_place_of=cuts.replaced)
                newest = max(runs.by_id(tx, file.run_id).end or 0.0, *(piece.until for piece in cuts.made))
                slices.drop(tx, file.run_id, newest - self.window_s)
            if not waits and now.start is not None:
                followed = {draft.part.plot: draft.trends for draft in drafts}
                trends.save_all(tx, now.id, file.run_id, now.start, now.end, followed)
            if beaten:
                self._rebuild(tx, file.run_id)
            self._judge(tx, file.run_id)
        counting.file = now

    def _stand_back(self, tx: Any, counting: Counted, twin: DataFile, outcome: dict[str, Any]) -> None:
        """A damaged file does not take the place of a whole one of the same datum."""
        name = twin.path.rpartition("/")[2]
        reason = f"is damaged ({outcome['reason']}); its datum is counted from {name}, which is whole"
        values = outcome | {"state": FileState.SAME, "reason": reason, "same_as": twin.id, "counted": False}
        files.update(tx, counting.file.id, **values)
        parts.forget(tx, counting.file.id)
        if counting.file.counted and counting.file.run_id is not None:
            trends.forget(tx, counting.file.id)
            self.rebuild(tx, counting.file.run_id)

    def _write_drafts(self, tx: Any, counting: Counted, file: DataFile, drafts: list[Draft], visible: bool) -> None:
        before, costs = counting.before, {element.name: element for element in counting.elements}
        parts.save_all(
            tx, [replace(d.part, merged=file.id in d.merged or before.get(d.part.plot, d.part).merged) for d in drafts]
        )
        spent = []
        for draft in drafts:
            part, cost = draft.part, costs[draft.part.plot]
            known = before.get(part.plot)
            anew = known is None or known.state is not ElementState.BROKEN
            failure = cost.broken if part.state is ElementState.BROKEN and anew else ""
            spent.append(plugins.Spent(part.plot, cost.blocks, cost.packets, cost.seconds, failure))
            if anew:
                backoff.note(tx, cost, part, self.now())
            if visible and draft.merged:
                parts.mark_merged(tx, draft.merged, part.plot, True)
        plugins.cost_all(tx, spent)
        if visible:
            assert file.run_id is not None
            rows = parts.rows_of_run(tx, file.run_id)
            counted = [
                replace(draft.element, rows=rows.get(_counted_as(draft.element), 0))  # 0: it is not counted, or broken
                for draft in drafts
            ]
            elements.save_all(tx, counted)

    # -- anew -----------------------------------------------------------------------------------------------------

    def withdraw(self, file: DataFile) -> None:
        """A file that was done grows again: its part leaves the base of the run until it is done anew."""
        with self.begin() as tx:
            files.update(tx, file.id, state=FileState.READING, identity=None)
            for part in parts.of_file(tx, file.id).values():
                parts.save(tx, replace(part, complete=False, merged=False))
            if file.run_id is not None:
                self._rebuild(tx, file.run_id)

    def uncount(self, tx: Any, file: DataFile) -> None:
        """Nothing of a file is counted any more; it is read from its first row if it comes back."""
        files.update(tx, file.id, counted=False, rows_done=0, progress=None)
        parts.forget(tx, file.id)
        trends.forget(tx, file.id)
        if file.run_id is not None:
            self.rebuild(tx, file.run_id)

    def take_back(self, tx: Any, file: DataFile) -> None:
        """A file that was counted until it was sent through all again, and is not to be counted now, leaves its run.

        Its copies, and other forms of its datum, may be counted in its place.
        """
        if not parts.of_file(tx, file.id):
            return
        self.uncount(tx, file)
        for other in files.same_as(tx, file.id):
            files.recount(tx, other.id, "the file that its data were counted from has gone")
            self.disturbed(other.id)

    def stays(self, tx: Any, file: DataFile) -> bool:
        """A file that went away before it could be read again stays counted as it was; False when it was not.

        Nor does it when another form of its datum is counted by now.
        """
        done = [part for part in parts.of_file(tx, file.id).values() if part.complete]
        if not done or (file.head and any(twin.counted for twin in files.twins(tx, file.id, file.head))):
            return False
        files.update(tx, file.id, counted=True, rows_done=max(part.rows_done for part in done))
        if file.run_id is not None and any(part.base for part in done):  # else the run is closed, and as it was
            self.rebuild(tx, file.run_id)
        return True

    def rebuild(self, tx: Any, run_id: int, only_added: bool = False, only: Collection[str] | None = None) -> None:
        """Merges the elements of a run (`only` some plots) anew from the states of its files, in the transaction that took
        some away.

        Raises StatesDropped when they are not there any more: then the run must be counted anew (`recount_run`).
        """
        self._rebuild(tx, run_id, only_added, only)
        self._judge(tx, run_id)

    def _judge(self, tx: Any, run_id: int) -> None:
        """Counts files and packets of the run again, and says how good it is by what its plots say."""
        found = [judge(trend) for element in elements.of_run(tx, run_id).values() for trend in element.trends.values()]
        runs.recount(tx, run_id, worst(verdict for verdict in found if verdict), self.now())

    def _rebuild(self, tx: Any, run_id: int, only_added: bool = False, only: Collection[str] | None = None) -> None:
        plots = self.plots()
        for element in elements.of_run(tx, run_id).values():
            plot = plots.get(element.plot)
            if not element.mergeable or (only is not None and element.plot not in only):
                continue
            if plot is None or plot.version != element.plot_version:
                self._put_off(tx, element, only_added)
                continue
            try:
                self._rebuild_one(tx, element, plot, only_added)
            except (StatesDropped, StoreProblem, elements.Overtaken):
                raise
            except Stopped:
                self._put_off(tx, element, only_added)
                self.put_off = True
            except PLUGIN_ERRORS as error:
                parts.mark_merged(tx, runs.finished_files(tx, run_id), element.plot, False)
                text = " ".join(plain(str(error)).split())
                broken = replace(element, base=None, state=ElementState.BROKEN, reason=f"merging: {text}", trends={})
                elements.save(tx, replace(broken, updated=self.now()))

    def _put_off(self, tx: Any, element: RunElement, only_added: bool) -> None:
        """An element whose plug-in is not there now is merged anew when it is back: none of its files counts as merged."""
        if only_added:  # what is merged stays as it is, what came has no mark yet
            return
        finished = [
            part
            for part in parts.of_plot(tx, element.run_id, element.plot, finished=True)
            if (part.state, part.plot_version, part.geometry) == ("ok", element.plot_version, element.geometry)
        ]
        if any(part.merged and part.base is None for part in finished):
            raise StatesDropped(element.plot)
        parts.mark_merged(tx, [part.file_id for part in finished], element.plot, False)
        rows = parts.rows(tx, element.run_id, element.plot, element.plot_version, element.geometry)
        waits = replace(element, rows=rows, updated=self.now())
        elements.save(tx, waits if finished else replace(waits, base=None, trends={}))

    def merge_put_off(self) -> None:
        """Merges what had to wait for its plug-in."""
        self.put_off = False
        plots = self.plots()
        with self.store.read() as tx:
            waiting: dict[int, set[str]] = {}
            for run_id, plot in parts.put_off(tx):
                if plot in plots:
                    waiting.setdefault(run_id, set()).add(plot)
        for run_id, some in sorted(waiting.items()):
            try:
                with self.begin() as tx:
                    self.rebuild(tx, run_id, only=some)
            except StoreProblem:
                self.put_off = True
                raise
            except StatesDropped:
                try:
                    self.recount_run(run_id)
                except CannotRecount as why:
                    log.warning("run with the id %d: %s", run_id, why)

    def _rebuild_one(self, tx: Any, element: RunElement, plot: type[Plot], only_added: bool) -> None:
        made = plot()
        assert isinstance(made, MergeablePlot)
        detector = self.detector(tx, element.geometry)
        whole = self.merger.mergeable_parts(tx, element.run_id, made, element.geometry)
        growing = [
            part
            for part in parts.of_plot(tx, element.run_id, element.plot, finished=False)
            if fits(part, made, element.geometry)
        ]
        if only_added and any(part.merged and part.base is None for part in whole):
            state = self.merger.base(made, element.base, detector)  # of a closed run: what was merged stays
            for part in whole:
                if not part.merged:
                    state.merge(self.merger.of_part(made, part, detector))
        else:
            state = self.merger.rebuilt(made, whole, detector)
        base = self.merger.keep(state) if whole else None
        for part in growing:
            if part.base:
                state.merge(self.merger.of_part(made, part, detector))
        values = as_values(made.read_trends(state))  # nothing is marked before all that may fail
        parts.mark_merged(tx, [part.file_id for part in whole], element.plot, True)
        rows = parts.rows(tx, element.run_id, element.plot, element.plot_version, element.geometry)
        provisional = any(part.provisional for part in growing)
        well = (whole or growing) and not parts.any_broken(tx, element.run_id, element.plot)
        state_now = {"state": ElementState.OK, "reason": "", "traceback": ""} if well else {}
        shown = replace(element, base=base, rows=rows, trends=values, provisional=provisional, **state_now)  # type: ignore[arg-type]
        elements.save(tx, replace(shown, updated=self.now()))

    def recount_run(self, run_id: int) -> None:
        """Sends all files of a run through all plots again: what each gave was dropped when the run was closed.

        Raises CannotRecount, and changes nothing, when some of them are not there any more.
        """
        with self.begin() as tx:
            counted = [file for file in files.of_run(tx, run_id) if file.counted]
            lost = [file for file in counted if not os.path.exists(file.path) and self._is_dropped(tx, file)]  # noqa: PTH110
            if lost:
                raise CannotRecount(
                    f"{len(lost)} files of its run are gone: what was counted of the run stays as it was"
                )
            for file in counted:
                if file.state is not FileState.GONE:
                    parts.forget(tx, file.id)
                    trends.forget(tx, file.id)
                    files.recount(tx, file.id, "its run is counted anew")
                    self.disturbed(file.id)
            runs.forget_elements(tx, run_id)
            runs.reopen(tx, run_id)
            runs.recount(tx, run_id)

    def _is_dropped(self, tx: Any, file: DataFile) -> bool:
        return any(part.merged and part.base is None for part in parts.of_file(tx, file.id).values())

    def detector(self, tx: Any, geometry: str | None) -> Any:
        """The detector of a geometry id, None for none; raises StatesDropped for one that is not there any more."""
        found = self.known_detector(tx, geometry)
        if found is None and geometry is not None:
            raise StatesDropped(f"geometry {geometry} is not there any more")
        return found

    def known_detector(self, tx: Any, geometry: str | None) -> Any:
        """The detector of a geometry id: one that was met here, or one that lies where it did; None when it is gone."""
        if geometry is None:
            return None
        if self._detectors.get(geometry) is None:
            name, directory = geometries.get(tx, geometry) or ("", "")
            self._detectors[geometry] = self.find_detector(geometry, name, directory)
        return self._detectors[geometry]


def _counted_as(element: RunElement) -> tuple[str, int, str | None]:
    return element.plot, element.plot_version, element.geometry


def _beaten(tx: Any, file: DataFile) -> list[DataFile]:
    """Other forms of the same datum that are counted and give way to this one."""
    if file.head is None:
        return []
    return [twin for twin in files.twins(tx, file.id, file.head) if twin.counted and twin.state in COUNTED]
