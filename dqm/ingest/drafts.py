"""What is to be written of each plot of a pass: the part of the file, and the element of its run with that in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from dqm.checks.values import as_values
from dqm.formats.reader import Cursor
from dqm.formats.scan import Scan
from dqm.ingest.engine import unknown_trends
from dqm.ingest.figures import Figures
from dqm.ingest.merging import Merger, StatesDropped, fits, has_floats
from dqm.ingest.slices import Running, added_by
from dqm.ingest.work import Look
from dqm.records import DataFile, ElementState, Part, Run, TrendValue
from dqm.records import Element as RunElement
from dqm.results import Element
from dqm.store import Store, elements, files, parts, runs
from dqm.store.states import Batch
from plots.base import PLUGIN_ERRORS, Increment, MergeablePlot, State, together

MAX_DELTAS = 16
"""After so many commits that wrote what was added the state is written whole again."""


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
    running: Running | None = None
    """The newest slices of the file."""

    @property
    def scan_json(self) -> dict[str, Any] | None:
        return None if self.scan is None else asdict(self.scan)

    @property
    def fresh(self) -> set[str]:
        """Plots that this pass counts from the first row, of which nothing is saved yet."""
        return {element.name for element in self.elements} - self.before.keys()

    def saved(self, drafts: list[Draft]) -> None:
        """The drafts are committed: the next leg goes on from them."""
        for draft in drafts:
            self.before[draft.part.plot] = draft.part
        for element in self.elements:
            element.increment = element.added = None
            element.blocks = element.packets = 0
            element.seconds = 0.0


@dataclass
class Draft:
    """What is to be written of one plot."""

    part: Part
    element: RunElement
    trends: dict[str, TrendValue]
    merged: list[int]
    """Files that the new base of the run holds besides those that it held before."""


class Writing:
    """The states of one commit, written together; what its leg added is one file for all plots, if anybody wants it."""

    def __init__(self, counting: Counted, store: Store):
        self.batch = Batch(store.states)
        self.added: dict[str, Increment] = added_by(counting.elements)

    @cached_property
    def pack(self) -> str:
        """The address of what was added."""
        return self.batch.put(together(self.added))


class Drafter:
    """Works out what is to be written; nothing is changed in the database, nor in the states."""

    def __init__(self, store: Store, merger: Merger, figures: Figures, now: Callable[[], float]):
        self.store = store
        self.merger = merger
        self.figures = figures
        self.now = now

    def drafts(self, counting: Counted, complete: bool, writing: Writing) -> list[Draft]:
        """One for each plot; `complete` says that the file is at its end."""
        run_id = counting.file.run_id
        assert run_id is not None
        with self.store.read() as tx:
            run = runs.by_id(tx, run_id)
            have = elements.of_run(tx, run_id)
            growing = parts.of_run(tx, run_id, finished=False)
            waiting = parts.of_run(tx, run_id, finished=True, merged=False)
        one = _One(self, counting, complete, run, writing)
        return [
            one.draft(e, have.get(e.name), growing.get(e.name, []), waiting.get(e.name, [])) for e in counting.elements
        ]


@dataclass
class _One:
    """Drafts of one pass."""

    drafter: Drafter
    counting: Counted
    complete: bool
    run: Run
    writing: Writing

    def __post_init__(self) -> None:
        self.store, self.merger = self.drafter.store, self.drafter.merger
        self.file, self.detector = _as_scanned(self.counting), self.counting.reading.detector

    def draft(self, element: Element, before: RunElement | None, growing: list[Part], waiting: list[Part]) -> Draft:
        """`growing` and `waiting` are the parts of files that are not done, and of done ones that are in no base yet."""
        own = _trends_of(element, self.detector)
        part = self._part(element)
        made = RunElement(
            run_id=self.run.id, run_key=self.run.key, plot=element.name, plot_version=element.plot.version,
            geometry=part.geometry, version=before.version if before else 0, base=before.base if before else None,
            mergeable=_merges(element), rows=part.rows_done, state=part.state, reason=part.reason,
            traceback=part.traceback, provisional=part.provisional, trends=own, updated=self.drafter.now(),
        )  # fmt: skip
        if not _merges(element) or element.state is None:
            return Draft(part, _beside(made, before), own, [])
        assert isinstance(element.made, MergeablePlot)
        old = before is not None and (before.plot_version, before.geometry) != (made.plot_version, made.geometry)
        # files without one data packet fit no geometry: they must not decide for the run
        fits_none = before is not None and before.geometry is None and before.plot_version == made.plot_version
        if old and not fits_none and before is not None and before.base is not None and not self._all_have(element):
            return Draft(part, before, own, [])  # the old result stays until the new one is whole
        others = [p for p in growing if p.file_id != self.file.id]
        try:
            address, merged, values = self._merged(
                element.made, made, element.state, [p for p in others if p.base and fits(p, element.made, part.geometry)],
                [p for p in waiting if p.state == "ok" and fits(p, element.made, part.geometry)], part, old,
                own,
            )  # fmt: skip
        except PLUGIN_ERRORS as error:
            if isinstance(error, StatesDropped):
                raise
            element.fail("merging", error)
            part = self._part(element)
            made = replace(made, state=part.state, reason=part.reason, traceback=part.traceback, trends={})
            return Draft(part, made, {}, [])
        provisional = part.provisional or any(other.provisional for other in others)
        return Draft(part, replace(made, base=address, trends=values, provisional=provisional), own, merged)

    def _merged(
        self, plot: MergeablePlot, made: RunElement, own: State, growing: list[Part], waiting: list[Part], part: Part,
        anew: bool, trends: dict[str, TrendValue],
    ) -> tuple[str | None, list[int], dict[str, TrendValue]]:  # fmt: skip
        """The base of the run's element with this file in it when it is complete, which files came in, and the trends of
        the run as it is shown: its base and every file that still grows.
        """
        if self.complete:
            whole, merged = self._base(plot, made, own, waiting, part, anew)
            address: str | None = self.writing.batch.put(whole.to_bytes())
        else:
            address, merged = made.base, []
            before = None if anew else made.base
            if before is None and not growing:
                return address, merged, trends  # the file is the run
            whole = self.merger.base(plot, before, self.detector)
        for other in growing:
            whole.merge(self.merger.of_part(plot, other, self.detector))
        if not self.complete:
            whole.merge(own)
        return address, merged, as_values(plot.read_trends(whole))

    def _all_have(self, element: Element) -> bool:
        """Whether every finished file of the run went through this version of the plot, this file with it.

        A file that it fails on, or that cannot feed it, has been through: it must not keep the old result for ever.
        """
        with self.store.read() as tx:
            finished = set(runs.finished_files(tx, self.run.id)) - {self.file.id}
            seen = parts.of_plot(tx, self.run.id, element.name, finished=True)
        return self.complete and finished <= {
            part.file_id for part in seen if part.plot_version == element.plot.version
        }

    def _base(
        self, plot: MergeablePlot, made: RunElement, own: State, waiting: list[Part], part: Part, anew: bool
    ) -> tuple[State, list[int]]:
        """The base of the run's element, this file added; and which files came in."""
        with self.store.read() as tx:
            again = parts.is_merged(tx, self.file.id, part.plot)
        missing = any(other.file_id != self.file.id for other in waiting)
        if not (anew or again or missing or has_floats(own)):
            return self.merger.base(plot, made.base, self.detector).merge(own), [self.file.id]
        with self.store.read() as tx:
            others = self.merger.mergeable_parts(tx, made.run_id, plot, part.geometry)
        if not (anew or again or missing) and self._is_last(others):
            return self.merger.base(plot, made.base, self.detector).merge(own), [self.file.id]
        state = plot.start(self.detector)
        placed = False
        for other in others:
            if other.file_id == self.file.id:
                continue
            if not placed and self._comes_before(other):
                state.merge(own)
                placed = True
            state.merge(self.merger.of_part(plot, other, self.detector))
        if not placed:
            state.merge(own)
        return state, [self.file.id, *(other.file_id for other in others)]

    def _is_last(self, others: list[Part]) -> bool:
        return not any(self._comes_before(part) for part in others if part.file_id != self.file.id)

    def _comes_before(self, part: Part) -> bool:
        with self.store.read() as tx:
            other = files.by_id(tx, part.file_id)
        assert other
        return (self.file.start or 0.0, self.file.id) < (other.start or 0.0, other.id)

    def _part(self, element: Element) -> Part:
        """The row of this plot of this file, its state put with what is written."""
        reading, file = self.counting.reading, self.counting.file
        state, reason = ElementState.OK, ""
        base: str | None = None
        deltas: tuple[str, ...] = ()
        if not element.broken and not element.unavailable:
            base, deltas = self._keep(element, self.counting.before.get(element.name))
        if element.broken:
            state, reason = ElementState.BROKEN, f"{element.broken} (in {file.path.rpartition('/')[2]})"
        elif element.unavailable:
            state, reason = ElementState.UNAVAILABLE, element.unavailable
        return Part(
            file.id, element.name, element.plot.version,
            reading.look.fit.geometry, reading.cursor.row, reading.cursor.to_json(),
            self.complete or state is ElementState.BROKEN, base, deltas, state, reason, element.traceback,
            reading.look.provisional or (not self.complete and _cuts_show(element, reading)),
        )  # fmt: skip

    def _keep(self, element: Element, before: Part | None) -> tuple[str | None, tuple[str, ...]]:
        """Where its state is: whole, or as it was and what the leg added, which is in the file of all plots."""
        if element.state is None:
            return self.drafter.figures.keep(element, self.writing.batch), ()
        if before is not None and before.base and element.increment is not None and not self.complete:
            if not element.blocks:
                return before.base, before.deltas
            if len(before.deltas) < MAX_DELTAS:
                return before.base, (*before.deltas, self.writing.pack)
        return self.writing.batch.put(element.state.to_bytes()), ()


def _beside(made: RunElement, before: RunElement | None) -> RunElement:
    """An element that this file adds no state to: broken shows, unavailable only when no file gives any."""
    if before is not None and made.state is ElementState.UNAVAILABLE:
        # why another version cannot be fed is news, such as another fault of the pedestal file
        other = before.state is ElementState.UNAVAILABLE and before.plot_version != made.plot_version
        return made if other else before
    if before is not None and (before.plot_version, before.geometry) != (made.plot_version, made.geometry):
        made = replace(made, base=None)  # a base of another version or geometry must never be gone on from
    return made if before is None or not made.mergeable or made.state is ElementState.BROKEN else before


def _cuts_show(element: Element, reading: Reading) -> bool:
    """Whether the rows of a plot were cut into blocks by looks, and the bits tell: sums of floats over a file that grows."""
    return not reading.last and element.state is not None and has_floats(element.state)


def _as_scanned(counting: Counted) -> DataFile:
    """The file with the start that this pass found: its row does not have it before the first commit."""
    found = counting.scan.first_unix if counting.scan is not None else None
    return counting.file if found is None else replace(counting.file, start=float(found))


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
