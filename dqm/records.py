"""What the store hands out: frozen rows, one class per noun. Times are unix seconds (UTC); None is "not known"."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Limits = tuple[float | None, float | None]
Resolution = Literal["file", "hour", "day"]


class FileState(StrEnum):
    """Where a file stands, in the words that pages show."""

    WAITING = "waiting"
    """Seen, not readable yet (empty, locked, truncated): looked at again."""
    GROWING = "growing"
    """Being written; what is final is counted, or shown provisionally."""
    READING = "reading"
    DONE = "done"
    PARTIAL = "partial"
    """Counted as far as it can be read."""
    SAME = "same"
    """The datum, or the very file, is counted under another name."""
    QUARANTINED = "quarantined"
    IGNORED = "ignored"
    """Known and not counted: no plots read this format (yet), or somebody said so (`DataFile.ignored`)."""
    REPLACED = "replaced"
    """Its name now holds something else."""
    GONE = "gone"


FINISHED = (FileState.DONE, FileState.PARTIAL, FileState.GONE)
"""Nothing more is expected of it; what it gave (if it is counted) is merged in its run."""
COUNTED = (*FINISHED, FileState.GROWING, FileState.READING)


DROPPED = "dropped"
"""In the place of the address of a state: a retention rule removed it; its numbers stay."""


class ElementState(StrEnum):
    OK = "ok"
    BROKEN = "broken"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Run:
    """A run: what is known of it, and how far it has been counted."""

    id: int
    key: str
    """What stands in a URL: the run number, or a start time where there is no number."""
    number: int | None
    detector: str | None
    category: str
    tags: tuple[str, ...]
    comment: str
    start: float | None
    end: float | None
    certification: str
    files: int
    """Files that are counted, growing ones too."""
    growing: int
    unread: int
    """Files of the run that are known but not (wholly) counted: waiting, quarantined, partial."""
    packets: int
    quality: str | None
    """Worst verdict over its elements: good, suspect, bad, unknown; None when nothing has limits."""
    updated: float
    """When data last came into it: the last change of a file that is counted, by the clock of the ingest."""
    closed: bool
    version: int


@dataclass(frozen=True, slots=True)
class DataFile:
    """A row of the ledger: one file under one name."""

    id: int
    path: str
    root: str
    format: str
    version: str | None
    run_id: int | None
    run_key: str | None
    subrun: int | None
    start: float | None
    end: float | None
    rows: int | None
    rows_done: int
    size: int
    mtime_ns: int
    inode: str
    head: str | None
    identity: str | None
    state: FileState
    reason: str
    faults: tuple[str, ...]
    provisional: bool
    counted: bool
    geometry: str | None
    same_as: int | None
    first_seen: float
    changed: float
    """When it was last seen to change."""
    done: float | None
    attempts: int
    next_look: float | None
    ignored: str = ""
    """Who ignores it, and why; empty when nobody does."""
    ignored_content: str = ""
    """By which it is told whether it has changed since."""

    @property
    def lag_s(self) -> float | None:
        """Seconds from its last change to the end of counting."""
        return None if self.done is None else max(self.done - self.mtime_ns / 1e9, 0.0)


@dataclass(frozen=True, slots=True)
class TrendValue:
    """A number of an element with what is needed to judge and show it (as plots.base.Trend, without the plot)."""

    value: float | int | None
    unit: str
    range: Limits = (0, None)
    warn: Limits = (None, None)
    alarm: Limits = (None, None)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "unit": self.unit,
            "range": list(self.range),
            "warn": list(self.warn),
            "alarm": list(self.alarm),
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrendValue:
        limits = {name: (data[name][0], data[name][1]) for name in ("range", "warn", "alarm")}
        return cls(data["value"], data["unit"], reason=data.get("reason", ""), **limits)


@dataclass(frozen=True, slots=True)
class Part:
    """The state of one plot of one file: content addresses of a base and of what was added since."""

    file_id: int
    plot: str
    plot_version: int
    geometry: str | None
    rows_done: int
    cursor: dict[str, Any] | None
    """Where counting goes on (formats.Cursor as JSON); None when the file is done."""
    complete: bool
    base: str | None
    deltas: tuple[str, ...]
    state: ElementState
    reason: str
    traceback: str
    provisional: bool = False
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Element:
    """One plot of one run."""

    run_id: int
    run_key: str
    plot: str
    plot_version: int
    geometry: str | None
    version: int
    """Goes up by one with each commit that changes what is shown."""
    base: str | None
    """Content address of the merged states of all files of the run that are done; or DROPPED."""
    mergeable: bool
    rows: int
    state: ElementState
    reason: str
    traceback: str
    provisional: bool
    trends: dict[str, TrendValue]
    updated: float


@dataclass(frozen=True, slots=True)
class TrendName:
    """A number that can be followed."""

    id: int
    plot: str
    name: str
    unit: str
    range: Limits
    warn: Limits
    alarm: Limits

    @property
    def key(self) -> str:
        return f"{self.plot}.{self.name}"


@dataclass(slots=True)  # thousands in a plot: to make a frozen one takes five times as long
class TrendPoint:
    """A number of one file, at the start of the file."""

    time: float
    value: float | None
    run_key: str
    file_id: int
    end: float | None = None
    reason: str = ""


@dataclass(slots=True)  # thousands in a plot: to make a frozen one takes five times as long
class Rollup:
    """The numbers of the files that began in one hour or day (UTC)."""

    seconds: int
    time: float
    """Its start."""
    count: int
    """Files that gave a value."""
    unknown: int
    """Files that gave none."""
    summed: int
    total: float | None
    """Of `summed` values."""
    low: float | None
    high: float | None
    first: float
    last: float
    """Starts of the first and of the last file."""
    kept: int = 0
    """How many of the files have no points of their own any more."""

    @property
    def mean(self) -> float | None:
        """None where no file gave a value; else between the lowest and the highest."""
        if self.low is None or self.high is None:
            return None
        if not self.summed or self.total is None:
            return self.high
        return min(max(self.total / self.summed, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Series:
    """A trend in a range of time: points of files, or hours or days where these are too many or dropped."""

    resolution: Resolution
    points: list[TrendPoint]
    rollups: list[Rollup]
    files: int
    """How many files are in it."""
    unknown: int
    """How many of them gave no value."""
    kept: int = 0
    """How many of them have no points of their own any more, by a retention rule."""
    kept_until: float | None = None
    """The start of the last of those."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How many days things of runs of a category and certification are kept ("" fits all; None: not said, 0: for ever)."""

    category: str = ""
    certification: str = ""
    points_days: int | None = None
    states_days: int | None = None
    figures_days: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """That something changed: never the thing itself."""

    seq: int
    time: float
    topic: str
    """``run``, ``element``, ``file``, ``plots`` or ``ingest``."""
    key: str
    """Run key, ``run key/Plot``, file id ..."""
    version: int = 0


REST_S = (60.0, 120.0, 300.0, 900.0, 3600.0)
"""How long a plug-in rests that went over a limit: the first time, the second in a row, ..."""
GIVE_UP = len(REST_S) + 1
"""So many times in a row over a limit, and a plug-in stays stopped until its file changes or somebody retries it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What some seconds of a file added to the plots: the newest of a run together are its window."""

    file_id: int
    since: float
    """First and last second of its packets [s since 1970]."""
    until: float
    plots: dict[str, tuple[int, str | None]]
    """Version and geometry id of each plot that is in it."""
    address: str
    """Where the increments are, in one state."""
    id: int = 0


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plot as ingest found it, with what it has cost."""

    name: str
    source: str
    title: str
    broken: str
    traceback: str
    blocks: int = 0
    packets: int = 0
    seconds: float = 0.0
    failures: int = 0
    last_failure: str = ""
    found: float = 0.0
    digest: str = ""
    """Changes with its content; empty for built-in plots."""
    version: int = 0
    """That of its numbers; 0 where nobody noted it."""
    edited: float | None = None
    """When its content changed first since it has this version: what was counted before is of the older content."""
    stops: int = 0
    """How often in a row it went over a limit."""
    until: float | None = None
    """When it is tried again, while it rests."""

    @property
    def rests(self) -> bool:
        """Whether it is given no file, because it went over a limit."""
        return self.until is not None or self.stops >= GIVE_UP

    @property
    def us_per_packet(self) -> float | None:
        return self.seconds / self.packets * 1e6 if self.packets else None


@dataclass(frozen=True, slots=True)
class Watcher:
    """An ingest process and how it is."""

    name: str
    host: str
    pid: int
    started: float
    beat: float
    leader: bool
    state: str
    """What it is doing, in words."""
    queue: int
    """Files that wait to be counted."""
    backlog_s: float | None
    """Expected time until the queue is empty."""
    problems: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Account:
    """A person, as far as he may do something here."""

    id: int
    name: str
    role: str
    subsystems: tuple[str, ...]
    """Of an expert: what he is an expert of; ``*`` is everything."""
    password: str | None = field(repr=False)
    """Hashed; None for somebody who signs in elsewhere."""
    identity: str | None
    disabled: bool
    created: float
    seen: float | None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in."""

    hash: str = field(repr=False)
    account_id: int
    way: str
    """How it signed in: password, openid."""
    address: str
    agent: str
    begun: float
    used: float


@dataclass(frozen=True, slots=True)
class Token:
    """What a program shows instead of a password; the token itself is known to its owner alone."""

    id: int
    account_id: int
    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None
    used: float | None
    revoked: float | None


@dataclass(frozen=True, slots=True)
class Handshake:
    """A browser that is away at the OpenID provider, and what must come back with it."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    target: str
    begun: float


@dataclass(frozen=True, slots=True)
class Noted:
    """A row of the audit trail."""

    id: int
    time: float
    actor: str
    action: str
    subject: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong with the monitor itself. Open as long as it has not ended."""

    id: int
    """0 as long as nobody has written it down: the web found it by itself."""
    kind: str
    subject: str
    """What it is about: a data root, a directory, a plug-in; empty where there is only one."""
    severity: str
    """``bad`` or ``suspect``."""
    reason: str
    since: float
    seen: float
    """When it was last found to be so."""
    acknowledged_by: str | None = None
    acknowledged_at: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class ScanFacts:
    """The last search of all data roots."""

    time: float | None
    seconds: float
    files: int
    every_s: float


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """A data root, or a directory in it: how far behind its files are."""

    root: str
    directory: str
    """Empty for the whole root."""
    lag_s: float | None
    """From the last change of the newest file to the end of counting; None before the first file."""
    counting: bool
    """The newest file waits still: its lag grows."""
    files: int
    waiting: int
    oldest_waiting: float | None
    """Since when the file that waits longest waits."""


@dataclass(frozen=True, slots=True)
class RootFacts:
    """A data root itself."""

    path: str
    problem: str
    """Why it cannot be searched; empty when it can."""
    future_s: float
    """How far the times of its new files are ahead of the clock of the ingest host."""
    data_off_s: float
    """How far the data of its newest file are from the time the file was written."""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """Where files are kept."""

    path: str
    what: str
    total: int
    free: int
    days_left: float | None
    """Until it is full, as it goes; None: it does not fill, or not known yet."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database as the leader finds it."""

    engine: str
    size: int | None
    schema: str
    write_s: float | None
    """How long the last write of the pulse took."""
    ahead_s: float
    """Its clock against that of the ingest host."""


@dataclass(frozen=True, slots=True)
class BacklogFacts:
    """Many files at once, worked off newest first."""

    began: float
    files: int
    done: int
    left_s: float | None

    @property
    def left(self) -> int:
        return max(self.files - self.done, 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """How the ingest is, as its leader saw itself at one moment."""

    time: float
    by: str
    host: str
    scan: ScanFacts
    files: dict[str, int]
    """By state."""
    queue: int
    queue_before: int | None
    """Some minutes ago."""
    left_s: float | None
    places: tuple[PlaceFacts, ...]
    roots: tuple[RootFacts, ...]
    disks: tuple[DiskFacts, ...]
    used: dict[str, int]
    """Bytes of states, cache and database; what was not measured yet is not there."""
    database: DatabaseFacts
    stopped: tuple[tuple[str, str], ...]
    """Plug-ins that do not run, with the reason."""
    missing_states: tuple[str, ...]
    """Plots of runs (``run/Plot``) whose states are not there."""
    problems: tuple[str, ...]
    """What else the watch complains about."""
    beats_ahead_s: float
    """How far the clock of another ingest host is ahead."""
    backlog: BacklogFacts | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """From what `dataclasses.asdict` gave."""
        return cls(
            **data
            | {
                "scan": ScanFacts(**data["scan"]),
                "places": tuple(PlaceFacts(**place) for place in data["places"]),
                "roots": tuple(RootFacts(**root) for root in data["roots"]),
                "disks": tuple(DiskFacts(**disk) for disk in data["disks"]),
                "database": DatabaseFacts(**data["database"]),
                "stopped": tuple((name, reason) for name, reason in data["stopped"]),
                "missing_states": tuple(data["missing_states"]),
                "problems": tuple(data["problems"]),
                "backlog": BacklogFacts(**data["backlog"]) if data["backlog"] else None,
            }
        )


@dataclass(frozen=True, slots=True)
class Pulse:
    """A sample of the ingest; the counters only go up."""

    time: float
    by: str
    queue: int
    lag_s: float | None
    files: int
    packets: int
    bytes: int
    write_s: float | None
    free: dict[str, int]
    facts: Facts | None = None
    """Of the newest one only."""


@dataclass(frozen=True, slots=True)
class WebWorker:
    """A process of the site."""

    name: str
    host: str
    pid: int
    started: float
    beat: float
    streams: int
    most: int
    """So many streams may be open."""
