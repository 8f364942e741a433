"""One transaction for what was counted: states, trends, elements of the run, cursor, and the notice of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from dqm.checks.range_check import judge, worst
from dqm.checks.values import as_values
from dqm.formats.reader import Cursor
from dqm.formats.scan import Scan
from dqm.ingest import backoff
from dqm.ingest.engine import unknown_trends
from dqm.ingest.merging import Merger, StatesDropped, fits, has_floats
from dqm.ingest.slices import cut, slice_s
from dqm.ingest.work import Look
from dqm.records import COUNTED, DataFile, ElementState, FileState, Part, Run, Slice, TrendValue
from dqm.records import Element as RunElement
from dqm.results import Element, plain
from dqm.store import Store, StoreProblem, elements, files, geometries, parts, plugins, pulses, runs, slices, trends
from dqm.store.states import address_of
from plots.base import MEMORY, PLUGIN_ERRORS, HostTrouble, Increment, MergeablePlot, Plot, State, Stopped

log = logging.getLogger("larboard.watch")

DELTA_SHARE = 0.25
"""An increment that is larger than this share of its state is not worth keeping by itself."""
DELTA_FROM_BYTES = 1 << 20
MAX_DELTAS = 16
TRIES = 3
MOST_WRITTEN = 10_000


@dataclass
class Reading:
    """How far a file was read, and what was seen of it, by whichever workers did it."""

    look: Look
    detector: Any
    cursor: Cursor
    last: bool = True
    """Whether nothing more is expected of the file: it is closed, or has been still for long."""
    closed: bool = True
    stopped: bool = False
    damaged: bool = False
    faults: list[str] = field(default_factory=list)
    legs: int = 0
    span: tuple[float, float] | None = None
    """First and last second of the packets of the last leg [s since 1970]."""


@dataclass
class Counted:
    """A pass over a file under way."""

    file: DataFile
    reading: Reading
    elements: list[Element]
    scan: Scan | None
    before: dict[str, Part] = field(default_factory=dict)
    """What was saved of each plot so far."""

    @property
    def scan_json(self) -> dict[str, Any] | None:
        return None if self.scan is None else asdict(self.scan)


@dataclass
class _Draft:
    """What is to be written of one plot."""

    part: Part
    element: RunElement
    trends: dict[str, TrendValue]
    merged: list[int]
    """Files that the new base of the run holds besides those that it held before."""


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
        self.find_detector = find_detector
        """(geometry id, name, directory) -> detector or None."""
        self.put_off = False
        """Whether an element waits to be merged anew since its plug-in was ended just then."""
        self._detectors: dict[str, Any] = {}
        self._written: dict[str, None] = {}
        """Addresses of figures with objects in them, the newest last."""

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
        piece = self._slice(counting)
        for attempt in range(TRIES):
            drafts = self._drafts(counting, complete)
            try:
                self._write(counting, drafts, piece, outcome, complete)
                break
            except elements.Overtaken:
                if attempt == TRIES - 1:
                    raise
        for draft in drafts:
            counting.before[draft.part.plot] = draft.part
        for element in counting.elements:
            if element.state is not None:
                element.increment = Increment()
            element.added = None
            element.blocks = element.packets = 0
            element.seconds = 0.0

    def _slice(self, counting: Counted) -> Slice | None:
        """What the last leg added to the window of the run, written; None when it has none, or is not in it."""
        file, reading = counting.file, counting.reading
        assert file.run_id is not None
        if not self.window_s or reading.span is None:
            return None
        with self.store.read() as tx:
            run = runs.by_id(tx, file.run_id)
            before = slices.newest_of_file(tx, file.id)
        oldest = max(run.end or 0.0, reading.span[1]) - self.window_s
        if run.closed or reading.span[0] < oldest - slice_s(self.window_s):
            return None
        if _fresh(counting):  # what stands there of these plots goes
            before = None
        geometry = reading.look.fit.geometry
        return cut(file.id, reading.span, counting.elements, geometry, before, self.store.states, self.window_s)

    # -- one plot -------------------------------------------------------------------------------------------------

    def _drafts(self, counting: Counted, complete: bool) -> list[_Draft]:
        run_id = counting.file.run_id
        assert run_id is not None
        with self.store.read() as tx:
            run = runs.by_id(tx, run_id)
            have = elements.of_run(tx, run_id)
            growing = parts.of_run(tx, run_id, finished=False)
            waiting = parts.of_run(tx, run_id, finished=True, merged=False)
        return [
            self._draft(
                counting, element, complete, run, have.get(element.name), growing.get(element.name, []),
                waiting.get(element.name, []),
            )
            for element in counting.elements
        ]  # fmt: skip

    def _draft(
        self, counting: Counted, element: Element, complete: bool, run: Run, before: RunElement | None,
        growing: list[Part], waiting: list[Part],
    ) -> _Draft:  # fmt: skip
        """`growing` and `waiting` are the parts of files that are not done, and of done ones that are in no base yet."""
        file, detector = _as_scanned(counting), counting.reading.detector
        own = _trends_of(element, detector)
        part = self._part(counting, element, complete)
        made = RunElement(
            run_id=run.id, run_key=run.key, plot=element.name, plot_version=element.plot.version, geometry=part.geometry,
            version=before.version if before else 0, base=before.base if before else None, mergeable=_merges(element),
            rows=part.rows_done, state=part.state, reason=part.reason, traceback=part.traceback,
            provisional=part.provisional, trends=own, updated=self.now(),
        )  # fmt: skip
        if not _merges(element) or element.state is None:
            return _Draft(part, self._beside(made, before), own, [])
        assert isinstance(element.made, MergeablePlot)
        old = before is not None and (before.plot_version, before.geometry) != (made.plot_version, made.geometry)
        # files without one data packet fit no geometry: they must not decide for the run
        fits_none = before is not None and before.geometry is None and before.plot_version == made.plot_version
        if (
            old
            and not fits_none
            and before is not None
            and before.base is not None
            and not self._all_have(counting, element, complete)
        ):
            return _Draft(part, before, own, [])  # the old result stays until the new one is whole
        try:
            waiting = [p for p in waiting if p.state == "ok" and fits(p, element.made, part.geometry)]
            base, merged = self._base(
                element.made, made, element.state, waiting, part, file, detector, complete, anew=old
            )
            whole = self._whole(element.made, base, element.state, growing, file, detector, complete)
            values = as_values(element.made.read_trends(whole))
        except PLUGIN_ERRORS as error:
            if isinstance(error, StatesDropped):
                raise
            element.fail("merging", error)
            part = self._part(counting, element, complete)
            made = replace(made, state=part.state, reason=part.reason, traceback=part.traceback, trends={})
            return _Draft(part, made, {}, [])
        address = made.base if not complete else self.merger.keep(base)
        provisional = part.provisional or any(other.provisional for other in growing if other.file_id != file.id)
        return _Draft(part, replace(made, base=address, trends=values, provisional=provisional), own, merged)

    def _beside(self, made: RunElement, before: RunElement | None) -> RunElement:
        """An element that this file adds no state to: broken shows, unavailable only when no file gives any."""
        if before is not None and made.state is ElementState.UNAVAILABLE:
            return before
        if before is not None and (before.plot_version, before.geometry) != (made.plot_version, made.geometry):
            made = replace(made, base=None)  # a base of another version or geometry must never be gone on from
        return made if before is None or not made.mergeable or made.state is ElementState.BROKEN else before

    def _all_have(self, counting: Counted, element: Element, complete: bool) -> bool:
        """Whether every finished file of the run went through this version of the plot, this file with it.

        A file that it fails on, or that cannot feed it, has been through: it must not keep the old result for ever.
        """
        run_id = counting.file.run_id or 0
        with self.store.read() as tx:
            finished = set(runs.finished_files(tx, run_id)) - {counting.file.id}
            seen = parts.of_plot(tx, run_id, element.name, finished=True)
        return complete and finished <= {part.file_id for part in seen if part.plot_version == element.plot.version}

    def _base(
        self, plot: MergeablePlot, made: RunElement, own: State, waiting: list[Part], part: Part, file: DataFile,
        detector: Any, complete: bool, anew: bool,
    ) -> tuple[State, list[int]]:  # fmt: skip
        """The base of the run's element, this file added when it is complete; and which files came in."""
        if not complete:
            return self.merger.base(plot, None if anew else made.base, detector), []
        with self.store.read() as tx:
            again = parts.is_merged(tx, file.id, part.plot)
        missing = any(other.file_id != file.id for other in waiting)
        if not (anew or again or missing or has_floats(own)):
            return self.merger.base(plot, made.base, detector).merge(own), [file.id]
        with self.store.read() as tx:
            others = self.merger.mergeable_parts(tx, made.run_id, plot, part.geometry)
        if not (anew or again or missing) and self._is_last(file, others):
            return self.merger.base(plot, made.base, detector).merge(own), [file.id]
        state = plot.start(detector)
        placed = False
        for other in others:
            if other.file_id == file.id:
                continue
            if not placed and self._comes_before(file, other):
                state.merge(own)
                placed = True
            state.merge(self.merger.of_part(plot, other, detector))
        if not placed:
            state.merge(own)
        return state, [file.id, *(other.file_id for other in others)]

    def _is_last(self, file: DataFile, others: list[Part]) -> bool:
        return not any(self._comes_before(file, part) for part in others if part.file_id != file.id)

    def _comes_before(self, file: DataFile, part: Part) -> bool:
        with self.store.read() as tx:
            other = files.by_id(tx, part.file_id)
        assert other
        return (file.start or 0.0, file.id) < (other.start or 0.0, other.id)

    def _whole(
        self, plot: MergeablePlot, base: State, own: State, growing: list[Part], file: DataFile, detector: Any,
        complete: bool,
    ) -> State:  # fmt: skip
        """The run as it is shown: its base and every file that still grows."""
        geometry = detector.geometry_id if detector is not None else None
        whole = plot.start(detector).merge(base)
        for part in growing:
            if part.file_id != file.id and part.base and fits(part, plot, geometry):
                whole.merge(self.merger.of_part(plot, part, detector))
        return whole if complete else whole.merge(own)

    def _part(self, counting: Counted, element: Element, complete: bool) -> Part:
        """The row of this plot of this file, its state written."""
        reading = counting.reading
        before = counting.before.get(element.name)
        state, reason = ElementState.OK, ""
        base: str | None = None
        deltas: tuple[str, ...] = ()
        if not element.broken and not element.unavailable:
            base, deltas = self._keep(element, before, complete)
        if element.broken:
            state, reason = ElementState.BROKEN, f"{element.broken} (in {counting.file.path.rpartition('/')[2]})"
        elif element.unavailable:
            state, reason = ElementState.UNAVAILABLE, element.unavailable
        return Part(
            counting.file.id, element.name, element.plot.version,
            reading.look.fit.geometry, reading.cursor.row, reading.cursor.to_json(),
            complete or state is ElementState.BROKEN, base, deltas, state, reason, element.traceback,
            reading.look.provisional or (not complete and _cuts_show(element, reading)),
        )  # fmt: skip

    def _keep(self, element: Element, before: Part | None, complete: bool) -> tuple[str | None, tuple[str, ...]]:
        """Writes the state: whole, or only what was added where that is much less."""
        if element.state is None:
            return self._keep_figure(element), ()
        if before is not None and before.base and element.increment is not None and not complete:
            size = sum(array.nbytes for array in element.state.to_arrays().values())
            small = size >= DELTA_FROM_BYTES and element.increment.size < DELTA_SHARE * size
            if small and len(before.deltas) < MAX_DELTAS:
                if not element.blocks:
                    return before.base, before.deltas
                return before.base, (*before.deltas, self.store.states.put(element.increment.to_bytes()))
        return self.store.states.put(element.state.to_bytes()), ()

    def _keep_figure(self, element: Element) -> str | None:
        """Writes the figure of a simple plot; one with objects in it is given back only by who saw it written."""
        if element.packed is None:
            return None
        address = self.store.states.put(element.packed)
        if element.plot.private_memory and is_whole(element.packed):
            self._written[address] = None
            while len(self._written) > MOST_WRITTEN:
                del self._written[next(iter(self._written))]
        return address

    def may_go_on(self, plot: type[Plot], base: str | None) -> bool:
        """Whether a plot may be given its figure: one that carries objects must be what this very process had written.

        Whoever can write into the store must not run code here. After a restart such a plot begins its file anew.
        """
        return not plot.private_memory or base is None or base in self._written

    def figure_of(self, plot: type[Plot], base: str) -> bytes:
        """The figure that a simple plot goes on from; without the objects in it where those may not be given to it."""
        content = self.store.states.get(base)
        trusted = self.may_go_on(plot, base) and (not plot.private_memory or address_of(content) == base)
        return content if trusted else _without_memory(content)

    # -- the transaction ------------------------------------------------------------------------------------------

    def _write(
        self, counting: Counted, drafts: list[_Draft], piece: Slice | None, outcome: dict[str, Any], complete: bool
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
            for draft in drafts:
                self._write_draft(tx, counting, now, draft, visible=not waits)
            if fresh := _fresh(counting):
                slices.forget(tx, file.id, fresh)
            if piece is not None:
                slices.save(tx, piece)
                newest = max(runs.by_id(tx, file.run_id).end or 0.0, piece.until)
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

    def _write_draft(self, tx: Any, counting: Counted, file: DataFile, draft: _Draft, visible: bool) -> None:
        part, element = draft.part, draft.element
        parts.save(tx, replace(part, merged=file.id in draft.merged or counting.before.get(part.plot, part).merged))
        cost = next(e for e in counting.elements if e.name == part.plot)
        before = counting.before.get(part.plot)
        anew = before is None or before.state is not ElementState.BROKEN
        failure = cost.broken if part.state is ElementState.BROKEN and anew else ""
        plugins.cost(tx, part.plot, cost.blocks, cost.packets, cost.seconds, failure)
        if anew:
            backoff.note(tx, cost, part, self.now())
        if not visible:
            return
        if draft.merged:
            parts.mark_merged(tx, draft.merged, part.plot, True)
        rows = parts.rows(tx, element.run_id, element.plot, element.plot_version, element.geometry)
        elements.save(tx, replace(element, rows=rows))

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


def _fresh(counting: Counted) -> set[str]:
    """Plots that this pass counts from the first row, of which nothing is saved yet."""
    return {element.name for element in counting.elements} - counting.before.keys()


def _cuts_show(element: Element, reading: Reading) -> bool:
    """Whether the rows of a plot were cut into blocks by looks, and the bits tell: sums of floats over a file that grows."""
    return not reading.last and element.state is not None and has_floats(element.state)


def _as_scanned(counting: Counted) -> DataFile:
    """The file with the start that this pass found: its row does not have it before the first commit."""
    found = counting.scan.first_unix if counting.scan is not None else None
    return counting.file if found is None else replace(counting.file, start=float(found))


def _beaten(tx: Any, file: DataFile) -> list[DataFile]:
    """Other forms of the same datum that are counted and give way to this one."""
    if file.head is None:
        return []
    return [twin for twin in files.twins(tx, file.id, file.head) if twin.counted and twin.state in COUNTED]


def is_whole(figure: bytes) -> bool:
    """Whether the memory in a figure could be saved."""
    try:
        return "lost" not in orjson.loads(figure)["layout"]["meta"][MEMORY]
    except (ValueError, KeyError, TypeError):
        return False


def _without_memory(figure: bytes) -> bytes:
    """A figure that is shown as before, and cannot be gone on from."""
    content = orjson.loads(figure)
    content["layout"]["meta"] = {MEMORY: {"lost": "it was not kept"}}
    return orjson.dumps(content)


def _merges(element: Element) -> bool:
    return issubclass(element.plot, MergeablePlot)


def _trends_of(element: Element, detector: Any) -> dict[str, TrendValue]:
    """The numbers of one file; null with the reason where the plot could not be fed."""
    if element.broken or element.made is None:
        return {}
    if element.unavailable:
        return as_values(unknown_trends(element.made, element.unavailable, detector))
    if not isinstance(element.made, MergeablePlot) or element.state is None:
        return {}
    try:
        return as_values(element.made.read_trends(element.state))
    except PLUGIN_ERRORS as error:
        element.fail("reading its trends", error)
        return {}
