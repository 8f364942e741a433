"""What the API takes and gives, as pydantic models: the OpenAPI document is made of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
)

from dqm.records import (
    Alarm,
    DataFile,
    FileState,
    Limits,
    Notice,
    Rollup,
    Run,
    TrendName,
    TrendPoint,
    TrendValue,
    Watcher,
)
from dqm.views import alarm_list, queries
from dqm.views.asked import moment_of
from dqm.views.mask_changes import CORNERS_MOST
from dqm.views.queries import Followed, Ingest, Judged, Neighbours, News, Order

LARGEST = 2**63 - 1
"""What a database can count to."""
PAGE_MOST = 1000


# what comes in --------------------------------------------------------------------------------------------------------


def _moment_in(value: Any) -> Any:
    # a plus sign that was not quoted arrives as a blank; what is long is no time, and would take long to look through
    text = str(value)
    found = moment_of(re.sub(r"(T.*) (\d\d:?\d\d)$", r"\1+\2", text)) if len(text) <= 64 else None
    if found is None:
        raise ValueError("a date or time such as 2024-07-08 or 2024-07-08T13:30:00Z")
    return found


def _zone_in(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("a time zone such as UTC or America/Chicago") from None
    return value


def _no_control(value: str) -> str:
    if any(ord(character) < 32 and character not in "\n\t" for character in value):
        raise ValueError("text without control characters")
    return value


MomentIn = Annotated[float, BeforeValidator(_moment_in), WithJsonSchema({"type": "string", "format": "date-time"})]
Zone = Annotated[str, AfterValidator(_zone_in)]
Words = Annotated[str, StringConstraints(max_length=200), AfterValidator(_no_control)]
Word = Annotated[
    str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True), AfterValidator(_no_control)
]
Address = Annotated[str, StringConstraints(pattern="^([0-9a-f]{24})?$")]
Centimetres = Annotated[list[float], Field(min_length=3, max_length=CORNERS_MOST)]
Chip = Annotated[str, StringConstraints(max_length=20), AfterValidator(_no_control)]
Seq = Annotated[int, Field(ge=0, le=LARGEST)]


class Asked(BaseModel):
    """A query or a body: a name that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class Listed(Asked):
    """What all lists take."""

    order: str = Field(default="", description="columns, a minus before one that falls: -start,number")
    limit: int = Field(default=100, ge=1, le=PAGE_MOST, description="rows of a page")
    cursor: str = Field(default="", description="`next` of the page before")

    @property
    def columns(self) -> Order:
        """`order` as (column, descending) pairs."""
        return [(name.removeprefix("-"), name.startswith("-")) for name in self.order.split(",") if name]


def _known_order(value: str, known: tuple[str, ...]) -> str:
    if any(name.removeprefix("-") not in known for name in value.split(",") if name):
        raise ValueError(f"columns of {', '.join(known)}, separated by commas, each with or without a minus before it")
    return value


class RunsQuery(Listed):
    search: Words = Field(default="", description="words in key, category, tags, comment and detector")
    category: Word | None = None
    quality: Literal["good", "suspect", "bad", "unknown"] | None = Field(default=None, description="worst verdict")
    since: MomentIn | None = Field(default=None, description="runs that had not ended before")
    until: MomentIn | None = Field(default=None, description="runs that had begun by then")

    @field_validator("order")
    @classmethod
    def _order(cls, value: str) -> str:
        return _known_order(value, queries.RUN_COLUMNS)


class FilesQuery(Listed):
    search: Words = Field(default="", description="words in path, reason and format")
    state: FileState | None = None
    run: Word | None = Field(default=None, description="key of a run")
    history: bool = Field(default=False, description="also names that hold something else now, or nothing")

    @field_validator("order")
    @classmethod
    def _order(cls, value: str) -> str:
        return _known_order(value, queries.FILE_COLUMNS)


class TrendsQuery(Asked):
    name: Word | None = Field(default=None, description="Plot.trend; without it all names are listed")
    start: MomentIn | None = None
    end: MomentIn | None = None
    points: int = Field(default=1000, ge=10, le=20_000, description="at most so many; no highest or lowest is lost")
    resolution: Literal["auto", "file", "hour", "day"] = Field(
        default="auto", description="auto: files, where they are too many or dropped hours or days (UTC)"
    )


class FigureQuery(Asked):
    zone: Zone = Field(default="UTC", description="IANA name of the zone that times are shown in")
    window: bool = Field(default=False, description="only the last minutes of the run ([ingest] window_s)")
    mask: Address = Field(default="", description="address of a mask: without its channels, where that can be told")


class PixelsQuery(Asked):
    value: Literal["rate", "mean", "std"] = Field(default="rate", description="rate [Hz], mean or std [ADC]")
    window: bool = Field(default=False, description="only the last minutes of the run ([ingest] window_s)")


class RowsQuery(Asked):
    where: str = Field(
        default="", max_length=1000, description="io_group:1,dataword:100..110: columns with their ranges"
    )
    pixel: Words = Field(default="", description="io_group-io_channel-chip-channel")
    file: Seq | None = Field(default=None, description="only of this file")
    rows: int = Field(default=100, ge=1, le=10_000, description="at most so many")
    cursor: Words = Field(default="", description="`next` of the answer before")

    @property
    def given(self) -> dict[str, str]:
        """As the query of a page has it."""
        values = {"where": self.where, "pixel": self.pixel, "file": self.file, "rows": self.rows, "after": self.cursor}
        return {name: str(value) for name, value in values.items() if value not in ("", None)}


class EventsQuery(Asked):
    after: Seq | None = Field(default=None, description="number of the last notice that was seen")


class ReasonQuery(Asked):
    reason: Words = Field(default="", description="why, for the audit trail and the page")


class NoQuery(Asked):
    pass


class AreaIn(Asked):
    """A polygon on the anode plane of an io_group."""

    io_group: int = Field(ge=0, le=255)
    z: Centimetres = Field(description="of its corners [cm]")
    y: Centimetres = Field(description="of its corners [cm]")


class MaskEdit(Asked):
    """How a mask is made of another one, or of nothing; what is left out adds nothing."""

    run: Word = Field(
        description="key of the run that it is for: hot pixels and unknown channels are those of this run"
    )
    base: Address = Field(default="", description="address of the mask to begin with")
    pasted: str | None = Field(default=None, description="a disabled-channel JSON as text, to begin with instead")
    leave_out: dict[str, Any] = Field(default_factory=dict, description='{"1-5-42": [7, 8]}: leave these channels out')
    chips: list[Chip] = Field(
        default_factory=list, max_length=1000, description="leave chips (1-5-42) or channels (1-5-42-7) out"
    )
    area: AreaIn | None = Field(default=None, description="leave the pixels of an area out")
    hot: bool = Field(default=False, description="leave the hot pixels of the run out")
    count_again: dict[str, Any] = Field(default_factory=dict, description="take these channels in again, last of all")


class RunChanges(Asked):
    """What an expert may change of a run; what is left out stays."""

    category: Word | None = None
    tags: list[Word] | None = Field(default=None, max_length=50)
    comment: Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_no_control)] | None = None

    @field_validator("category", "tags", "comment", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("a value; leave it out to keep what is there")
        return value

    @property
    def given(self) -> dict[str, Any]:
        changes = self.model_dump(exclude_unset=True)
        if "tags" in changes:
            changes["tags"] = list(dict.fromkeys(changes["tags"]))
        return changes


# what goes out --------------------------------------------------------------------------------------------------------

Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Text = Annotated[str, AfterValidator(lambda text: text.encode("utf-8", "replace").decode())]
Number = int | float | None
Verdicts = Literal["good", "suspect", "bad", "unknown"]


def moment(unix: float | None) -> str | None:
    """ISO 8601 in UTC with a Z; None for what no calendar has."""
    if unix is None:
        return None
    try:
        return datetime.fromtimestamp(unix, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


class Given(BaseModel):
    """An answer has the members that are promised, and no others."""

    model_config = ConfigDict(extra="forbid")


class RunOut(Given):
    """A run and how far it is counted."""

    key: Text
    number: int | None
    detector: Text | None = Field(description="geometry")
    category: Text
    tags: list[Text]
    comment: Text
    start: Moment | None
    end: Moment | None
    certification: Text
    files: int = Field(description="files that are counted, growing ones too")
    growing: int
    unread: int = Field(description="files that are known but not wholly counted")
    packets: int
    quality: Verdicts | None = Field(description="worst verdict; null when nothing has limits")
    updated: Moment | None
    closed: bool
    version: int

    @classmethod
    def of(cls, run: Run) -> RunOut:
        return cls(**_run(run))


def _run(run: Run) -> dict[str, Any]:
    names = set(RunOut.model_fields) - {"start", "end", "updated", "tags"}
    times = {name: moment(getattr(run, name)) for name in ("start", "end", "updated")}
    return {name: getattr(run, name) for name in names} | times | {"tags": list(run.tags)}


class RunsOut(Given):
    runs: list[RunOut]
    total: int
    next: str | None = Field(description="cursor of the next page; null after the last one")


class OneRunOut(RunOut):
    """A run and its neighbours in time."""

    before: Text | None
    after: Text | None

    @classmethod
    def found(cls, found: Neighbours) -> OneRunOut:
        return cls(**_run(found.run), before=found.before, after=found.after)


class RowsOut(Given):
    """The first rows of packets that fit, from the files of a run."""

    run: str
    said: str = Field(description="how far the search got: searched 3 of 20 files")
    files: dict[str, str] = Field(description="name of each file that rows are from, by its number")
    columns: list[str]
    rows: list[list[int]] = Field(description="values in the order of columns")
    problems: list[str] = Field(description="what could not be read")
    next: str | None = Field(description="cursor of the search that goes on; null when all was searched")

    @classmethod
    def of(cls, found: Any) -> RowsOut:
        return cls(
            run=found.run.key, said=found.words, files=found.names, columns=list(found.columns), rows=found.table(),
            problems=found.problems, next=f"{found.next[0]}.{found.next[1]}" if found.next else None,
        )  # fmt: skip


class VerdictOut(Given):
    quality: Verdicts
    reason: Text


class TrendOut(Given):
    """A number with its limits [low, high], each of which may be null, and what the check says of it."""

    value: Number
    unit: Text
    range: Limits
    warn: Limits
    alarm: Limits
    reason: Text = Field(description="why there is no value")
    verdict: VerdictOut | None = Field(description="null without limits")

    @classmethod
    def of(cls, trend: TrendValue, verdict: Any) -> TrendOut:
        said = VerdictOut(quality=verdict.quality.name.lower(), reason=verdict.reason) if verdict else None
        values = {name: getattr(trend, name) for name in ("value", "unit", "range", "warn", "alarm")}
        return cls(**values, reason=trend.reason if trend.value is None else "", verdict=said)


class ElementOut(Given):
    """A plot of a run."""

    plot: Text
    title: Text
    state: Literal["ok", "broken", "unavailable"]
    reason: Text
    quality: Verdicts | None
    version: int = Field(description="goes up with every change of what is shown")
    plot_version: int
    geometry: Text | None
    rows: int
    provisional: bool
    updated: Moment | None
    trends: dict[str, TrendOut]
    figure: str = Field(description="where its figure is")

    @classmethod
    def of(cls, judged: Judged, figure: str) -> ElementOut:
        element = judged.element
        names = ("plot", "reason", "version", "plot_version", "geometry", "rows", "provisional")
        return cls(
            **{name: getattr(element, name) for name in names},
            title=judged.title,
            state=element.state.value,
            quality=judged.quality,  # type: ignore[arg-type]
            updated=moment(element.updated),
            trends={name: TrendOut.of(trend, judged.verdicts.get(name)) for name, trend in element.trends.items()},
            figure=figure,
        )


class ElementsOut(Given):
    run: Text
    elements: list[ElementOut]


class TrendNameOut(Given):
    name: Text
    plot: Text
    trend: Text
    unit: Text
    range: Limits
    warn: Limits
    alarm: Limits

    @classmethod
    def of(cls, name: TrendName) -> TrendNameOut:
        return cls(**_trend(name))


def _trend(name: TrendName) -> dict[str, Any]:
    values = {field: getattr(name, field) for field in ("plot", "unit", "range", "warn", "alarm")}
    return values | {"name": name.key, "trend": name.name}


class TrendNamesOut(Given):
    trends: list[TrendNameOut]


class PointOut(Given):
    """The number of one file, at the start of the file; or of the files that began in a while from `time` to `end`."""

    time: Moment | None
    end: Moment | None
    value: Number = Field(description="of several files the mean")
    low: Number
    high: Number
    files: int
    unknown: int = Field(description="files that gave no value")
    run: Text | None
    file: int | None
    reason: Text

    @classmethod
    def of(cls, point: TrendPoint) -> PointOut:
        return cls(
            time=moment(point.time), end=moment(point.end), value=point.value, low=point.value, high=point.value,
            files=1, unknown=int(point.value is None), run=point.run_key, file=point.file_id, reason=point.reason,
        )  # fmt: skip

    @classmethod
    def of_several(cls, found: Rollup) -> PointOut:
        return cls(
            time=moment(found.time), end=moment(found.time + found.seconds), value=found.mean, low=found.low,
            high=found.high, files=found.count + found.unknown, unknown=found.unknown, run=None, file=None, reason="",
        )  # fmt: skip


class FollowedOut(TrendNameOut):
    """A number over time."""

    resolution: Literal["file", "hour", "day"] = Field(description="what a point is: one file, or hours or days (UTC)")
    points: list[PointOut]
    total: int = Field(description="files in this range")
    thinned: bool = Field(description="whether points are fewer than files")
    dropped: int = Field(description="files whose own points a retention rule dropped: kept in hours or days")

    @classmethod
    def found(cls, found: Followed) -> FollowedOut:
        points = [PointOut.of(point) for point in found.points]
        points += [PointOut.of_several(rollup) for rollup in found.rollups]
        return cls(
            **_trend(found.name), resolution=found.resolution, points=points, total=found.total,
            thinned=found.total > len(points), dropped=found.kept,
        )  # fmt: skip


class FileOut(Given):
    """A row of the ledger: one file under one name."""

    id: int
    path: Text
    root: Text
    format: Text
    version: Text | None
    run: Text | None
    subrun: int | None
    start: Moment | None
    end: Moment | None
    rows: int | None
    rows_done: int
    size: int
    modified: Moment | None
    state: FileState
    reason: Text
    faults: list[Text]
    provisional: bool
    counted: bool
    geometry: Text | None
    same_as: int | None
    first_seen: Moment | None
    changed: Moment | None
    done: Moment | None
    lag_s: float | None
    attempts: int
    next_look: Moment | None
    ignored: Text = Field(description="who ignores it, and why; empty when nobody does")

    @classmethod
    def of(cls, file: DataFile) -> FileOut:
        times: dict[str, Any] = {
            n: moment(getattr(file, n)) for n in ("start", "end", "first_seen", "changed", "done", "next_look")
        }
        other: dict[str, Any] = {
            "run": file.run_key,
            "modified": moment(file.mtime_ns / 1e9),
            "faults": list(file.faults),
        }
        names = set(cls.model_fields) - set(times) - set(other)
        return cls(**{name: getattr(file, name) for name in names}, **times, **other)


class FilesOut(Given):
    files: list[FileOut]
    total: int
    next: str | None = Field(description="cursor of the next page; null after the last one")


class PlotOut(Given):
    """A plot of this host, and what it has cost where files are counted."""

    name: Text
    title: Text
    level: Text
    kind: Literal["mergeable", "simple", "predecessor"]
    version: int
    source: Text
    fields: list[Text]
    trends: dict[str, str] = Field(description="name -> unit")
    packets: int
    us_per_packet: float | None
    failures: int
    last_failure: Text


class BrokenOut(Given):
    name: Text
    source: Text
    reason: Text


class PlotsOut(Given):
    plots: list[PlotOut]
    broken: list[BrokenOut]


class WatcherOut(Given):
    """An ingest process."""

    name: Text
    host: Text
    pid: int
    started: Moment | None
    beat: Moment | None = Field(description="its last sign of life")
    alive: bool
    leader: bool
    state: Text
    queue: int = Field(description="files that wait to be counted")
    backlog_s: float | None
    problems: list[Text]

    @classmethod
    def of(cls, watcher: Watcher, now: float) -> WatcherOut:
        names = ("name", "host", "pid", "leader", "state", "queue", "backlog_s")
        return cls(
            **{name: getattr(watcher, name) for name in names},
            started=moment(watcher.started),
            beat=moment(watcher.beat),
            alive=now - watcher.beat < queries.ALIVE_S,
            problems=list(watcher.problems),
        )


class IngestOut(Given):
    watchers: list[WatcherOut]
    files: dict[str, int] = Field(description="files by state")
    last_done: FileOut | None

    @classmethod
    def found(cls, found: Ingest, now: float) -> IngestOut:
        return cls(
            watchers=[WatcherOut.of(watcher, now) for watcher in found.watchers],
            files=found.files,
            last_done=FileOut.of(found.last_done) if found.last_done else None,
        )


class NoticeOut(Given):
    """That something changed, never the thing itself. `time` is unix seconds, as in the event stream."""

    seq: int
    time: float
    topic: str
    key: Text
    version: int

    @classmethod
    def of(cls, notice: Notice) -> NoticeOut:
        return cls(**{name: getattr(notice, name) for name in cls.model_fields})


class ChangesOut(Given):
    seq: int = Field(description="number of the newest notice: ask with it the next time")
    notices: list[NoticeOut]
    gap: bool = Field(description="some are not kept any more: read everything anew")

    @classmethod
    def found(cls, found: News) -> ChangesOut:
        return cls(seq=found.seq, notices=[NoticeOut.of(notice) for notice in found.notices], gap=found.gap)


class AlarmOut(Given):
    """Something that is wrong with the monitor itself."""

    id: int | None = Field(description="null as long as only the web has seen it: acknowledge it by its kind")
    kind: str
    subject: Text = Field(description="a data root, a directory, a plug-in; empty where there is only one")
    severity: Literal["bad", "suspect"]
    blind: bool = Field(description="while it is open nothing new may reach the pages")
    title: Text
    reason: Text
    advice: Text = Field(description="what to do")
    since: Moment | None
    seen: Moment | None = Field(description="when it was last found to be so")
    acknowledged_by: Text | None
    acknowledged_at: Moment | None
    ended: Moment | None

    @classmethod
    def of(cls, alarm: Alarm) -> AlarmOut:
        kind = alarm_list.kind_of(alarm)
        times: dict[str, Any] = {
            name: moment(getattr(alarm, name)) for name in ("since", "seen", "acknowledged_at", "ended")
        }
        severity: Any = alarm.severity
        return cls(
            id=alarm.id or None,
            kind=alarm.kind,
            subject=alarm.subject,
            severity=severity,
            blind=kind.blind,
            title=kind.title,
            reason=alarm.reason,
            advice=kind.advice,
            acknowledged_by=alarm.acknowledged_by,
            **times,
        )


class AlarmsQuery(Asked):
    """Which alarms."""

    history: bool = Field(default=False, description="also those that have ended, the last one first")
    limit: int = Field(default=100, ge=1, le=PAGE_MOST, description="so many of those that have ended")


class AlarmsOut(Given):
    open: list[AlarmOut] = Field(description="those that nobody has acknowledged first")
    ended: list[AlarmOut]


class HealthOut(Given):
    status: Literal["ok"]
    version: str


class ReadyOut(HealthOut):
    blind: list[Text] = Field(description="why nothing new may reach the pages, though they can be served")


class ParameterError(Given):
    parameter: str
    expected: str
    got: str


class ProblemOut(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str = Field(description="a sentence for people")
    errors: list[ParameterError] = Field(default=[], description="400: each parameter that was wrong")
    state: Literal["nodata", "broken", "unknown"] | None = Field(
        default=None, description="of figures: why there is none"
    )
    traceback: str | None = Field(default=None, description="of figures: where a plug-in failed")


class MaskOut(BaseModel):
    """A mask that was made and is kept."""

    mask: str
    """Its address, for ``?mask=``; empty: nothing is left out."""
    channels: int
    chips: int
    said: list[Text]
    """What could not be used, and why."""
