"""A pass over a file: what its plots go on from, and what workers add to it."""

from __future__ import annotations

from dqm.formats.reader import Cursor, join_faults
from dqm.ingest.commit import Committer
from dqm.ingest.drafts import Counted, Reading
from dqm.ingest.merging import floats_in
from dqm.ingest.work import Look, Tally, scan_of, take_over
from dqm.records import DataFile, Part
from dqm.results import Element
from dqm.store import files, parts
from plots.base import PLUGIN_ERRORS, MergeablePlot, Plot


def begin(
    commits: Committer, file: DataFile, look: Look, start: Cursor, chosen: list[type[Plot]], scans: bool, last: bool
) -> Counted:  # fmt: skip
    """A pass over the file, with the states of earlier looks in the elements that go on from them."""
    with commits.store.read() as tx:
        have = parts.of_file(tx, file.id)
        progress = files.progress(tx, file.id) or {}
        detector = commits.known_detector(tx, look.fit.geometry)
    reading = Reading(look, detector, start, last)
    if scans:  # what was damaged in rows that are read and saved
        reading.damaged, reading.faults = bool(progress.get("damaged")), list(progress.get("faults", ()))
    counting = Counted(file, reading, [], scan_of(progress.get("scan", {})) if scans else None)
    counting.running = commits.open.take_running(file.id)
    going = {
        plot.__name__: part
        for plot in chosen
        if (part := have.get(plot.__name__)) and part.cursor is not None and goes_on(commits, part, plot, look, last)
    }
    if commits.store.states.missing({a for part in going.values() for a in (part.base, *part.deltas) if a}):
        commits.open.drop(file.id)  # what is at hand must not hide that it is lost
    for plot in chosen:
        element = Element(plot)
        counting.elements.append(element)
        part = going.get(element.name)
        try:
            element.made = made = plot()
            if isinstance(made, MergeablePlot) and part is None:
                element.state = made.start(detector)
        except PLUGIN_ERRORS as error:
            element.fail("at the start", error)
            continue
        if part is None:
            continue
        counting.before[element.name] = part
        if isinstance(made, MergeablePlot):
            kept = commits.open.take(file.id, part)
            element.state = commits.merger.of_part(made, part, detector) if kept is None else kept
        elif part.base is not None:
            element.packed = commits.figures.of(plot, part.base)
    return counting


def goes_on(commits: Committer, part: Part, plot: type[Plot], look: Look, last: bool) -> bool:
    """Whether a part can be added to: of this version and this geometry, and not cut where no single pass would cut it.

    Sums of floats show in their last bits where a look ended: over a file that grew they are counted anew at the end.
    """
    if part.plot_version != plot.version or part.geometry != look.fit.geometry:
        return False
    if not commits.figures.may_go_on(plot, part.base) and not part.complete:
        return _has_all(part, look)  # it stays as it is until there is more, and then begins anew
    if not last or look.provisional:
        return True
    if part.provisional or part.cursor is None or part.base is None:
        return not part.provisional
    there = Cursor.from_json(part.cursor)
    read = there.message if look.format == "raw" else there.row
    return not 0 < read < look.length or not floats_in(commits.store.states.get(part.base))


def take_in(counting: Counted, tally: Tally) -> set[str]:
    """Adds what a worker counted to the pass; names of the plots that the worker did not have."""
    reading = counting.reading
    reading.cursor = Cursor.from_json(tally.cursor)
    reading.closed, reading.stopped = tally.closed, tally.stopped
    reading.damaged = reading.damaged or tally.damaged
    reading.faults = join_faults(reading.faults, tally.faults)
    reading.legs += 1
    reading.span = tally.span
    if counting.scan is not None and tally.scan is not None:
        counting.scan = scan_of(tally.scan)
    portions = {portion.plot: portion for portion in tally.portions}
    lacked = {e.name for e in counting.elements if not (e.name in portions or e.broken or e.unavailable)}
    # what a worker did not have (it changed this very moment) is left out of this pass
    counting.elements = [e for e in counting.elements if e.name in portions or e.broken or e.unavailable]
    for element in counting.elements:
        if element.name in portions:
            try:
                take_over(element, portions[element.name], reading.detector)
            except PLUGIN_ERRORS as error:
                element.fail("adding what was counted", error)
    return lacked


def _has_all(part: Part, look: Look) -> bool:
    """Whether nothing is new for a part."""
    if part.cursor is None:
        return False
    there = Cursor.from_json(part.cursor)
    return (there.message if look.format == "raw" else there.row) >= look.length
