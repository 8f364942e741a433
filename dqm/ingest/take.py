"""One file from the ledger through all plots, as far as it can be read now. What is counted commits with its cursor."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dqm.detector import Match
from dqm.formats import Reader, UnreadableFile, open_file
from dqm.formats.hdf5 import one_line
from dqm.formats.identity import head_of, identity_of
from dqm.formats.reader import Cursor
from dqm.formats.scan import Scan
from dqm.ingest.belonging import belonging
from dqm.ingest.commit import CannotRecount, Committer, Counted
from dqm.ingest.engine import feed, prepare
from dqm.ingest.merging import StatesDropped
from dqm.ingest.oneshot import Sources
from dqm.records import FINISHED, DataFile, ElementState, FileState, Part
from dqm.results import plain
from dqm.settings import Settings
from dqm.store import Store, files, geometries, parts, runs, trends
from plots.base import Increment, MergeablePlot, Plot, load_figure

OLD_S = 60.0
"""A file that was last changed so long ago is stable, though it was seen only now."""
RANK = {"packets": 2, "raw": 1}
"""Of two forms of one datum the higher one is counted."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
GROWING_LOOK_S = 5.0


@dataclass
class Taker:
    """Takes files. `plots` gives the plots of now; `alive` is called about every second of a long file."""

    store: Store
    sources: Sources
    settings: Settings
    plots: Callable[[], Mapping[str, type[Plot]]]
    now: Callable[[], float] = time.time
    alive: Callable[[], None] = lambda: None
    resting: Callable[[], Container[str]] = frozenset
    """Names of plots that are given no file now."""

    def __post_init__(self) -> None:
        self._match = Match(None, "")
        self.commits = Committer(self.store, self.now, self.sources.find)

    def take(self, file: DataFile, closed: bool = False) -> None:
        """Counts what is new in a file; `closed` says that its writer was seen to close it. Never raises for the file."""
        try:
            with _open(Path(file.path)) as reader:
                self._look(file, reader, closed)
        except UnreadableFile as error:
            self._cannot(file, error)
        except StatesDropped:
            self._recount_run(file)

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

    def _look(self, file: DataFile, reader: Reader, closed: bool) -> None:
        settled = self._settled(file)
        if reader.closed_by_writer and not (settled or closed):
            self._again(
                file, FileState.WAITING if not file.counted else file.state, "is still changing", self._settle_s
            )
            return
        head = head_of(reader)
        identity = identity_of(reader) if reader.closed_by_writer else None
        if file.state in FINISHED and identity is not None and identity == file.identity:
            if not file.rows_done or self._lacks_plots(file):
                self._count(file, reader, head, identity, final=True)
            else:
                self._again(file, file.state, "; ".join(file.faults), None)  # touched, not changed
            return
        if (
            file.state in FINISHED
            and file.identity is None
            and not reader.closed_by_writer
            and self._as_it_was(file, reader)
        ):
            self._count(file, reader, head, None, final=True)  # never closed, and as long as it was
            return
        if self._rewritten(file, reader, head):
            self._replace(file)
            return
        if self._is_counted_elsewhere(file, reader, head, identity):
            return
        self._count(file, reader, head, identity, final=settled and reader.closed_by_writer)

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

    def _rewritten(self, file: DataFile, reader: Reader, head: str | None) -> bool:
        """Whether the name holds other content than what was counted under it."""
        if file.head is not None and head is not None and head != file.head:
            return True
        if not file.counted or file.provisional:
            return False
        lengths = self._lengths(file, reader)
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
            files.add(tx, file.path, file.root, file.size, file.mtime_ns, file.inode, self.now())
            if file.run_id is not None and file.counted:
                self.commits.rebuild(tx, file.run_id, self.plots())

    def _is_counted_elsewhere(self, file: DataFile, reader: Reader, head: str | None, identity: str | None) -> bool:
        """Settles which of several forms or copies of one datum is counted; True when it is not this one (now)."""
        if head is None:
            return False
        with self.store.read() as tx:
            rivals = [twin for twin in files.twins(tx, file.id, head) if twin.counted]
        for twin in rivals:
            if identity is not None and twin.identity == identity:
                if not Path(twin.path).exists():
                    self._moved(file, twin)
                else:
                    self._same(
                        file, twin, head, reader, f"is the same file as {Path(twin.path).name}, which is counted"
                    )
                return True
            mine, other = RANK.get(reader.kind.format, 0), RANK.get(twin.format, 0)
            if mine > other and reader.closed_by_writer:
                continue  # counted beside the scenes; when it is whole it takes the place
            if mine == other and file.counted and file.id < twin.id:
                continue  # both were counted before they could be told to be one: the other gives way
            if mine == other and reader.closed_by_writer and twin.state in FINISHED and self._goes_beyond(reader, twin):
                continue  # what is counted is only the beginning of this one; when it is whole it takes the place
            what = "a form" if mine != other else "a copy or the beginning"
            self._same(file, twin, head, reader, f"is {what} of the datum in {Path(twin.path).name}, which is counted")
            return True
        return False

    def _goes_beyond(self, reader: Reader, twin: DataFile) -> bool:
        """Whether a file holds more than what was counted of its twin."""
        lengths = self._lengths(twin, reader)
        return lengths is not None and twin.format == reader.kind.format and lengths[0] > lengths[1]

    def _as_it_was(self, file: DataFile, reader: Reader) -> bool:
        lengths = self._lengths(file, reader)
        return lengths is not None and lengths[0] == lengths[1]

    def _lengths(self, counted: DataFile, reader: Reader) -> tuple[int, int] | None:
        """(rows that are there, rows that were read of `counted`); messages for raw files. None when nothing was read."""
        with self.store.read() as tx:
            progress = files.progress(tx, counted.id)
        if progress is None:
            return None
        before = Cursor.from_json(progress["cursor"])
        if reader.kind.format == "raw":
            return reader.messages, before.message  # type: ignore[attr-defined]
        return reader.rows or 0, before.row

    def _same(self, file: DataFile, twin: DataFile, head: str, reader: Reader, reason: str) -> None:
        with self.commits.begin() as tx:
            values = {"format": reader.kind.format, "version": reader.kind.version, "run_id": twin.run_id, "head": head}
            look = None if reader.closed_by_writer else self.now() + GROWING_LOOK_S * 6
            files.update(
                tx, file.id, state=FileState.SAME, reason=reason, same_as=twin.id, counted=False, next_look=look,
                rows=reader.rows, start=twin.start, end=twin.end, **values,
            )  # fmt: skip
            if file.counted and file.run_id is not None:
                parts.forget(tx, file.id)
                trends.forget(tx, file.id)
                self.commits.rebuild(tx, file.run_id, self.plots())

    def _moved(self, file: DataFile, twin: DataFile) -> None:
        """The same file under a new name: the row that is counted goes with it."""
        with self.commits.begin() as tx:
            files.retire(tx, file.id, FileState.REPLACED, f"was {twin.path} before, and is counted as that")
            state = FileState.DONE if twin.state is FileState.GONE else twin.state
            values = {"path": file.path, "root": file.root, "mtime_ns": file.mtime_ns, "inode": file.inode}
            reason = "; ".join(twin.faults)
            files.update(tx, twin.id, **values, size=file.size, state=state, reason=reason, next_look=None)

    # -- what is in it --------------------------------------------------------------------------------------------

    def _count(self, file: DataFile, reader: Reader, head: str | None, identity: str | None, final: bool) -> None:
        file = self._enter(file, reader, head)
        work = self._plan(file, reader)
        # a growing file is finished in one commit: while plots stand at different rows they only catch up,
        # the file's own pass last, and the next look finds them all in one group
        behind = file.state not in FINISHED and len(work) > 1
        for cursor, chosen, scans in sorted(work, key=lambda item: item[2]):
            self._pass(file, reader, cursor, chosen, scans, identity if final else None, may_end=not behind)
        if not work:
            self._again(file, file.state, file.reason, None)

    def _enter(self, file: DataFile, reader: Reader, head: str | None) -> DataFile:
        """Run, geometry and head of the file in the ledger; what was provisional is forgotten once the file is closed."""
        self._match = match = self.sources.match(reader)
        reader.detector = match.detector
        found = belonging(reader, file.root, self.settings.runs, file.start or _first_unix(reader))
        geometry = match.detector.name if match.detector else None
        with self.commits.begin() as tx:
            # a file stays in its run while something of it is counted there, though its time may be known better now
            stays = file.run_id is not None and found.number is None and bool(parts.of_file(tx, file.id))
            run_id = file.run_id if stays else runs.ensure(tx, found.key, found.number, found.category, found.tags)
            assert run_id is not None
            if match.detector is not None:
                self.commits.detectors[match.detector.geometry_id] = match.detector
                geometries.note(tx, match.detector.geometry_id, match.detector.name, str(match.directory or ""))
            closed = file.provisional and not reader.provisional
            asked = file.state not in FINISHED and files.progress(tx, file.id) is None
            started_anew = bool(parts.of_file(tx, file.id)) and (closed or asked or geometry != file.geometry)
            if started_anew:
                parts.forget(tx, file.id)
            regrown = file.state in FINISHED and files.progress(tx, file.id) is not None
            files.update(
                tx, file.id, format=reader.kind.format, version=reader.kind.version, run_id=run_id, subrun=found.subrun,
                head=head, geometry=geometry, provisional=reader.provisional,
                **({"rows_done": 0, "progress": None} if started_anew else {}),
            )  # fmt: skip
            entered = files.by_id(tx, file.id)
            if started_anew:
                self.commits.rebuild(tx, run_id, self.plots())
        assert entered is not None
        if regrown and not self._only_plots_lack(entered, reader):
            self.commits.withdraw(entered, self.plots())
            entered = replace(entered, state=FileState.READING)
        return entered

    def _only_plots_lack(self, file: DataFile, reader: Reader) -> bool:
        """Whether a finished file is as it was, and only some plots have not seen it."""
        return file.identity is not None and reader.closed_by_writer and identity_of(reader) == file.identity

    def _plan(self, file: DataFile, reader: Reader) -> list[tuple[Cursor, list[type[Plot]], bool]]:
        """Passes over the file: (where to begin, plots, whether it is the pass that scans the file itself)."""
        with self.store.read() as tx:
            have = parts.of_file(tx, file.id)
            progress = files.progress(tx, file.id)
        here = Cursor.from_json(progress["cursor"]) if progress else Cursor()
        finished = file.state in FINISHED
        geometry = reader.detector.geometry_id if reader.detector else None
        groups: dict[int, tuple[Cursor, list[type[Plot]]]] = {} if finished else {here.row: (here, [])}
        resting = self.resting()
        for name, plot in self.plots().items():
            if name in resting:
                continue
            part = have.get(name)
            fresh = part is None or not _goes_on(part, plot, geometry)
            if not fresh and part is not None and ((finished and part.complete) or part.state is not ElementState.OK):
                continue
            cursor = Cursor() if fresh or part is None or part.cursor is None else Cursor.from_json(part.cursor)
            groups.setdefault(cursor.row, (cursor, []))[1].append(plot)
        return [(cursor, chosen, not finished and row == here.row) for row, (cursor, chosen) in sorted(groups.items())]

    def _pass(
        self,
        file: DataFile,
        reader: Reader,
        start: Cursor,
        chosen: list[type[Plot]],
        scans: bool,
        identity: str | None,
        may_end: bool = True,
    ) -> None:
        """Reads from `start` to the end once, for all `chosen` plots."""
        counting = Counted(file, reader, prepare(chosen, reader), self._scan(file) if scans else None)
        self._restore(counting)
        saved, told = self.now(), self.now()
        for packets in reader.blocks(start):
            if counting.scan is not None:
                counting.scan.feed(packets)
            feed(counting.elements, packets)
            now = self.now()
            if now - saved >= self.settings.ingest.commit_s:
                self.commits.save(counting, self._still(counting, FileState.READING, now))
                saved = self.now()
            if now - told >= 1:
                self.alive()
                told = now
        abandoned = may_end and self._abandoned(file, reader, start)
        whole = (may_end and (identity is not None and not reader.stopped and reader.closed_by_writer)) or abandoned
        nothing = reader.cursor.row == start.row and all(
            element.name in counting.before for element in counting.elements
        )
        if nothing and not whole and file.rows_done and file.state not in FINISHED:
            if values := self._still(counting, FileState.GROWING, self.now()):
                with self.commits.begin() as tx:  # nobody need draw anything anew
                    files.update(tx, file.id, **values)
            return
        outcome = (
            self._done(counting, identity, abandoned) if whole else self._still(counting, FileState.GROWING, self.now())
        )
        self.commits.save(counting, outcome, complete=whole)

    def _abandoned(self, file: DataFile, reader: Reader, start: Cursor) -> bool:
        """Whether a file that was never closed has been still for so long that nothing more is expected of it."""
        still = self.now() - file.changed > self.settings.ingest.patience_s and reader.cursor.row == start.row
        return still and not reader.closed_by_writer and not reader.provisional and file.state not in FINISHED

    def _scan(self, file: DataFile) -> Scan:
        with self.store.read() as tx:
            progress = files.progress(tx, file.id)
        if not progress:
            return Scan()
        latest = {int(group): tick for group, tick in progress["scan"]["_latest"].items()}
        return Scan(**progress["scan"] | {"_latest": latest})

    def _restore(self, counting: Counted) -> None:
        """Puts the states of an earlier look in the elements that go on from them."""
        with self.store.read() as tx:
            have = parts.of_file(tx, counting.file.id)
        detector = counting.reader.detector
        geometry = detector.geometry_id if detector else None
        for element in counting.elements:
            part = have.get(element.name)
            if part is None or not _goes_on(part, element.plot, geometry) or part.cursor is None:
                if element.state is not None:
                    element.increment = Increment()
                continue
            counting.before[element.name] = part
            if isinstance(element.made, MergeablePlot):
                element.state = self.commits.merger.of_part(element.made, part, detector)
                element.increment = Increment()
            elif part.base is not None:
                import orjson

                element.figure = load_figure(orjson.loads(self.store.states.get(part.base)))

    # -- where it stands afterwards -------------------------------------------------------------------------------

    def _still(self, counting: Counted, state: FileState, now: float) -> dict[str, Any]:
        """What the ledger says of a file that is not at its end."""
        file, reader = counting.file, counting.reader
        if file.state in FINISHED or counting.scan is None:  # plots that lag behind do not move the file itself
            return {}
        quiet = file.attempts + 1 if counting.reader.cursor.row == file.rows_done else 0
        look = self._settle_s if reader.closed_by_writer else GROWING_LOOK_S * min(1 + quiet, 12)
        reason = "is being written"
        if reader.provisional:
            reason = "is being written without SWMR: shown provisionally, counted anew when it is closed"
        values = {"state": state, "reason": reason if state is FileState.GROWING else "", "next_look": now + look}
        return values | {"attempts": quiet, "progress": _progress(counting), "faults": reader.faults}

    def _done(self, counting: Counted, identity: str | None, abandoned: bool) -> dict[str, Any]:
        """What the ledger says of a file that is read to its end."""
        file, reader, scan = counting.file, counting.reader, counting.scan
        if scan is None:  # only plots that had not seen it
            return {"next_look": None}
        faults = [*reader.faults, *scan.faults]
        if self._match.detector is None and (scan.valid_data or self.sources.name != "auto"):
            faults.append(self._match.reason)
        if abandoned:
            faults.insert(0, "its writer never closed it, and it does not grow: counted as far as it goes")
        state = FileState.PARTIAL if reader.partial or abandoned else FileState.DONE
        return {
            "state": state,
            "reason": "; ".join(faults),
            "faults": faults,
            "identity": identity,
            "rows": scan.rows,
            "next_look": None,
            "attempts": 0,
            "done": file.done or self.now(),
            "progress": _progress(counting),
        }

    def _cannot(self, file: DataFile, error: UnreadableFile) -> None:
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
        with self.commits.begin() as tx:
            files.update(tx, file.id, state=state, reason=reason, next_look=look, attempts=file.attempts + 1)

    def give_up(self, file: DataFile, error: BaseException) -> None:
        """The last resort: nothing that is in a file may stop the next one."""
        reason = f"cannot be read: {type(error).__name__}: {one_line(error)}"
        with self.commits.begin() as tx:
            state = file.state if file.counted else FileState.QUARANTINED
            look = self.now() + RETRY_S[-1] if file.counted and file.state not in FINISHED else None
            files.update(
                tx,
                file.id,
                state=state,
                reason=plain(reason),
                faults=[plain(reason)],
                next_look=look,
            )


def _open(path: Path) -> Reader:
    """The file; when its writer has it open without SWMR, as it is at this moment."""
    try:
        return open_file(path)
    except UnreadableFile as error:
        if error.state != "growing":
            raise
        return open_file(path, provisional=True)


def _goes_on(part: Part, plot: type[Plot], geometry: str | None) -> bool:
    """Whether a part can be added to: of this version, and of this geometry."""
    return part.plot_version == plot.version and part.geometry == geometry


def _first_unix(reader: Reader) -> float | None:
    """The first timestamp in the content, for names that do not say when the file began."""
    if reader.name.run is not None or reader.name.start is not None:
        return None
    scan = Scan()
    for packets in reader.blocks():
        scan.feed(packets)
        break
    return None if scan.first_unix is None else float(scan.first_unix)


def _progress(counting: Counted) -> dict[str, Any] | None:
    if counting.scan is None:
        return None
    return {"cursor": counting.reader.cursor.to_json(), "scan": asdict(counting.scan)}
