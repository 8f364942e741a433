"""The ledger of files as people read it: what each file is, where it stands, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from dqm.formats.hdf5 import shown as printable
from dqm.records import DataFile, FileState, Watcher
from dqm.store import audit, files, parts, pulses, runs, watchers
from dqm.views.asked import Asked, Order
from dqm.views.run_list import PAGE, Rows, span
from dqm.views.site import Site
from dqm.views.words import number

COLUMNS = tuple(files.SORTABLE)
ALIVE_S = 60


@dataclass(frozen=True)
class Word:
    """How a state of a file is said: its word, the shape beside it, and what it means."""

    word: str
    shape: str
    means: str


STATES = {
    FileState.GROWING: Word("GROWING", "ring", "being written; what is final is counted"),
    FileState.READING: Word("READING", "ring", "being counted now"),
    FileState.WAITING: Word("WAITING", "dots", "seen, not readable yet: looked at again"),
    FileState.QUARANTINED: Word("QUARANTINED", "bad", "cannot be read: nothing of it is counted"),
    FileState.PARTIAL: Word("PARTIAL", "suspect", "counted as far as it can be read"),
    FileState.DONE: Word("DONE", "good", "counted, every row"),
    FileState.SAME: Word("SAME DATA", "nodata", "its data are counted under another name"),
    FileState.IGNORED: Word(
        "IGNORED", "nodata", "known and not counted: no plot reads its kind, or somebody ignores it"
    ),
    FileState.REPLACED: Word("REPLACED", "lost", "its name holds another file now"),
    FileState.GONE: Word("GONE", "lost", "no longer there; what was counted of it stays"),
}
"""In the order in which a shifter wants to see them."""
HISTORY = (FileState.REPLACED, FileState.GONE)
NOT_AGAIN = {
    FileState.REPLACED: "Its name holds another file now: there is nothing to read.",
    FileState.GONE: "It is no longer there.",
    FileState.READING: "It is being read now.",
    FileState.GROWING: "It is being written: it is read as it grows, and anew when it is closed.",
}
NOT_IGNORED = {
    FileState.REPLACED: "Its name holds another file now: this one is history.",
    FileState.READING: "It is being read now.",
}


@dataclass(frozen=True)
class Wanted:
    """Files that somebody asks for; `problems` are sentences about what was not understood."""

    words: str = ""
    state: str = ""
    run: str = ""
    order: Order = ()
    problems: tuple[str, ...] = ()

    @property
    def filtered(self) -> bool:
        return bool(self.words or self.state or self.run)

    @property
    def history(self) -> bool:
        """Whether rows that are history are asked for: only by their state."""
        return self.state in HISTORY


@dataclass(frozen=True)
class Count:
    """How many files are in a state."""

    state: str
    word: str
    shape: str
    means: str
    files: int


@dataclass(frozen=True)
class Detail:
    """A file with all that is known of it."""

    file: DataFile
    name: str
    word: Word
    reason: str
    facts: list[tuple[str, str]]
    times: list[tuple[str, float]]
    same_as: tuple[int, str] | None
    """(id, name) of the file under whose name the data are counted."""
    refusal: str
    """Why it cannot be read again; empty when it can."""
    confirmation: str
    """What reading it again will touch, in words."""
    changes: list[tuple[float, str, str]]
    """(time, who, what) of the audit trail, newest first."""
    can: list[str]
    """What can be done with it: retry, ignore, release."""
    leaving: str
    """What ignoring or releasing it will do, in words."""


@dataclass(frozen=True)
class Progress:
    """What ingest does now, in words; `alive` is False when nobody has heard of one."""

    alive: bool
    text: str
    problems: tuple[str, ...] = ()


def wanted(query: Mapping[str, str]) -> Wanted:
    """What a query such as ``search=parity&state=quarantined&run=50017&order=-size`` asks for."""
    asked = Asked(query)
    state = asked.one_of("state", tuple(state.value for state in STATES), "state of a file")
    return Wanted(asked.text("search"), state, asked.text("run"), asked.order("order", COLUMNS), tuple(asked.problems))


def file_rows(site: Site, asked: Wanted, start: int = 0, end: int = 100, order: Order = ()) -> Rows:
    """Rows `start` to `end` of the files that fit, newest first unless `order` says otherwise."""
    fits = (asked.words, asked.state, asked.run)
    limit = min(max(end - start, 0), PAGE)
    with site.store.read() as tx:
        found, fit = files.page(tx, *fits, order or asked.order, max(start, 0), limit, asked.history)
    return Rows([_row(file) for file in found], fit)


def _row(file: DataFile) -> dict[str, Any]:
    word = STATES[file.state]
    return {
        "id": str(file.id),
        "path": name_of(file.path),
        "full": printable(file.path, 2000),
        "run": file.run_key or "",
        "state": file.state.value,
        "word": word.word,
        "shape": word.shape,
        "reason": reason_of(file),
        "format": format_of(file),
        "rows": rows_of(file, short=True),
        "rows_exact": f"{rows_of(file)} rows",
        "share": share_of(file),
        "start": file.start,
        "size": size(file.size),
        "done": "–" if file.lag_s is None else span(file.lag_s),
        "changed": file.changed,
        "can": acts_on(file),
    }


def acts_on(file: DataFile) -> list[str]:
    """What can be done with a file: retry, ignore, release."""
    can = {
        "retry": not file.ignored and file.state not in NOT_AGAIN,
        "ignore": not file.ignored and file.state not in NOT_IGNORED,
        "release": bool(file.ignored) or file.state is FileState.QUARANTINED,
    }
    return [act for act, possible in can.items() if possible]


def name_of(path: str) -> str:
    """The last part of a path, as text that any page can show (a name on a disk may hold bytes that are no text)."""
    name = PurePath(path).name
    return printable(name.encode("utf-8", "replace").decode(), 300)


def reason_of(file: DataFile) -> str:
    """Why it stands where it stands; what its state means where the ledger says nothing."""
    texts = [file.reason, *file.faults] if file.reason else file.faults
    said = "; ".join(dict.fromkeys(part for text in texts for part in text.split("; ")))
    meaning = STATES[file.state].means
    text = said or (meaning if file.state is not FileState.DONE else "")
    return f"{text} (provisional)".strip() if file.provisional else text


def format_of(file: DataFile) -> str:
    return f"{file.format} {file.version}" if file.version else file.format


def rows_of(file: DataFile, short: bool = False) -> str:
    """``12,345``, or ``1,200 of 12,345`` as long as not all are counted; `short`: ``12.3 k``."""
    said = number if short else "{:,}".format
    if file.rows is None:
        return said(file.rows_done) if file.rows_done else "–"
    return said(file.rows) if file.rows_done >= file.rows else f"{said(file.rows_done)} of {said(file.rows)}"


def share_of(file: DataFile) -> float | None:
    """What part of a file that is being counted is done; None when that is no question."""
    moving = file.state in (FileState.GROWING, FileState.READING)
    return min(file.rows_done / file.rows, 1.0) if moving and file.rows else None


def size(n_bytes: int) -> str:
    """``12.4 MB``; below 1,000 bytes in full."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= 0.9995 * factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes} B"


def counts(site: Site) -> list[Count]:
    """How many files are in each state that occurs, in the order of `STATES`; history is counted by its states alone."""
    with site.store.read() as tx:
        found = files.tally(tx)
        found |= {state.value: files.count(tx, state=state, history=True) for state in HISTORY}
    return [
        Count(state.value, word.word, word.shape, word.means, found[state.value])
        for state, word in STATES.items()
        if found.get(state.value)
    ]


def detail(site: Site, file_id: str) -> Detail | None:
    """All that is known of a file; None when there is no file of this id."""
    with site.store.read() as tx:
        file = files.by_id(tx, int(file_id)) if file_id.isdecimal() and len(file_id) < 10 else None
        if file is None:
            return None
        twin = files.by_id(tx, file.same_as) if file.same_as is not None else None
        n_plots = len(parts.of_file(tx, file.id))
        run = runs.get(tx, file.run_key) if file.run_key else None
        changes = audit.of(tx, subject(file.id), limit=10)
    return Detail(
        file,
        name_of(file.path),
        STATES[file.state],
        reason_of(file),
        _facts(file),
        [(name, time) for name, time in _times(file) if time is not None],
        (twin.id, name_of(twin.path)) if twin else None,
        "It is ignored: release it, then it is read again." if file.ignored else NOT_AGAIN.get(file.state, ""),
        _confirmation(file, n_plots, run.files if run else 0, progress(site).alive),
        [(change["time"], change["actor"], _said(change)) for change in changes],
        acts_on(file),
        _leaving(file),
    )


def _said(change: dict[str, Any]) -> str:
    reason = (change["after"] or {}).get("reason") if isinstance(change["after"], dict) else None
    return f"{change['action']} ({reason})" if reason else change["action"]


def _leaving(file: DataFile) -> str:
    if file.ignored:
        return "Released, it is read from the first row and counted again. Its copies give way to it."
    counted = (
        f"Its {file.rows_done:,} rows are taken out of run {file.run_key}. " if file.counted and file.run_key else ""
    )
    still = "Released, it is read again at once. " if file.state is FileState.QUARANTINED else ""
    stays = "Ignored, it is left alone until somebody releases it; a copy of it is counted in its place."
    return f"{counted}{still}{stays} The file itself is not changed."


def _facts(file: DataFile) -> list[tuple[str, str]]:
    return [
        ("Path", printable(file.path.encode("utf-8", "replace").decode(), 2000)),
        ("Format", format_of(file)),
        ("Rows", rows_of(file)),
        ("Size", f"{size(file.size)} ({file.size:,} bytes)"),
        ("Subrun", "–" if file.subrun is None else str(file.subrun)),
        ("Geometry", file.geometry or "–"),
        ("Lag", "–" if file.lag_s is None else f"{span(file.lag_s)} from its last change to the end of counting"),
        ("Looked at", f"{file.attempts} time{'' if file.attempts == 1 else 's'} without success")
        if file.attempts
        else ("Looked at", "without trouble"),
    ]


def _times(file: DataFile) -> list[tuple[str, float | None]]:
    return [
        ("Start", file.start),
        ("End", file.end),
        ("First seen", file.first_seen),
        ("Last change seen", file.changed),
        ("Counted", file.done),
        ("Next look", file.next_look),
    ]


def _confirmation(file: DataFile, n_plots: int, n_files: int, alive: bool) -> str:
    counted = f"Its {file.rows_done:,} rows are taken out of" if file.rows_done else "It is counted into"
    plots = f"{n_plots} plots" if n_plots else "the plots"
    others = f" The other {n_files - 1:,} files of the run stay as they are." if n_files > 1 else ""
    where = f"{plots} of run {file.run_key}" if file.run_key else plots
    again = " and counted anew" if file.rows_done else ""
    when = "" if alive else " Ingest is not running: it will be read as soon as it runs."
    safe = "The file itself is not changed, and nothing is lost."
    return f"{counted} {where}{again}, from the first row.{others} {safe}{when}"


def subject(file_id: int) -> str:
    """What the audit trail calls a file."""
    return f"file {file_id}"


def progress(site: Site, now: float | None = None) -> Progress:
    """What ingest does now: files in the queue and the time left, or that nobody counts."""
    now = datetime.now(UTC).timestamp() if now is None else now
    with site.store.read() as tx:
        alive = watchers.alive(tx, now - ALIVE_S)
        pulse = pulses.newest(tx)
    if not alive:
        return Progress(False, "Ingest is not running: new files are not seen. Start it with: larboard watch")
    problems = tuple(dict.fromkeys(problem for watcher in alive for problem in watcher.problems))
    facts = pulse.facts if pulse else None
    measured = facts.left_s if facts and now - facts.time <= ALIVE_S else None
    return Progress(True, _queue(alive, measured), problems)


def _queue(alive: list[Watcher], measured_s: float | None) -> str:
    """What waits and for how long: by the speed that was measured, or as long as nobody has by what files took."""
    waiting = sum(watcher.queue for watcher in alive)
    if not waiting:
        return "No file waits to be counted."
    files_wait = "1 file waits" if waiting == 1 else f"{waiting:,} files wait"
    guessed = max((watcher.backlog_s for watcher in alive if watcher.backlog_s is not None), default=None)
    left = guessed if measured_s is None else measured_s
    return f"{files_wait} to be counted" + (f", about {span(left)} left." if left is not None else ".")
