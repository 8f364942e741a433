"""Numbers over time: which there are, their points in a range of time, thinned so that no spike is lost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import numpy as np

from dqm.checks.range_check import judge
from dqm.records import Limits, Rollup, Series, TrendName, TrendPoint, TrendValue
from dqm.store import files, runs, trends
from dqm.views.asked import Asked, iso, moment_of, short
from dqm.views.site import Site

SPANS: dict[str, tuple[str, float | None]] = {
    "1h": ("last hour", 3600),
    "6h": ("6 h", 6 * 3600),
    "24h": ("24 h", 86400),
    "7d": ("7 d", 7 * 86400),
    "30d": ("30 d", 30 * 86400),
    "all": ("all", None),
}
"""Ranges of time that end now, with their words."""
USUAL = "24h"
FIRST_VISIT = ("PacketRate.data_rate_hz", "ParityErrors.invalid_parity_fraction")
UNITS = ("hz", "adc", "ticks", "us", "ms", "s")
"""Said by the axis already, so that names need not."""
NONE = "none"
"""What the URL says when somebody has chosen no trend: that is not a first visit."""
MOST = 12
"""So many trends fit in one picture."""
POINTS = 4_000
"""So many points of one trend a browser draws without effort."""
DIRECT = 6_000
"""So many files of all trends of a picture are shown one by one; of more, hours or days."""
FETCHED = 200_000
STEPS = {"file": "", "hour": "hourly: mean and range", "day": "daily: mean and range"}
"""What a line shows, where it is not every file."""
LATER = 253402300799.0
"""The end of the year 9999: as far as times can be said."""


@dataclass(frozen=True)
class Choice:
    """A trend to choose: its key ``Plot.name``, and how it is said."""

    key: str
    label: str
    unit: str


@dataclass(frozen=True)
class Group:
    """The trends of one plot."""

    plot: str
    title: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to see: names, a range of time, and in it the part that is zoomed to."""

    names: tuple[str, ...]
    span: str
    """One of SPANS, or ``custom``."""
    since: float | None
    until: float | None
    """None: up to now, and it goes on."""
    zoom: tuple[float, float] | None
    first_visit: bool
    problems: tuple[str, ...]

    @property
    def live(self) -> bool:
        return self.until is None and self.zoom is None


@dataclass(frozen=True)
class Line:
    """One trend in a range of time."""

    name: TrendName
    label: str
    points: list[TrendPoint]
    """Thinned to POINTS or so."""
    total: int
    """How many there are."""
    unknown: int
    """How many files gave no value."""
    why_unknown: str
    """The reason that most of them have."""
    resolution: str = "file"
    """``file``: points; ``hour`` or ``day``: rollups."""
    rollups: list[Rollup] = field(default_factory=list)
    kept: int = 0
    """How many of the files have no points of their own any more, by a retention rule."""
    kept_until: float | None = None
    """The start of the last of those."""

    @property
    def step(self) -> str:
        return STEPS[self.resolution]

    def verdict(self, value: float | None) -> str | None:
        """good, suspect or bad; None where there is no value or are no limits."""
        if value is None:
            return None
        found = judge(TrendValue(value, self.name.unit, warn=self.name.warn, alarm=self.name.alarm))
        return found.quality.name.lower() if found else None


@dataclass(frozen=True)
class View:
    """All that a picture of trends shows."""

    lines: list[Line]
    since: float
    until: float
    runs: list[tuple[float, str]]
    """(start, key) of the runs that began in the range; none when they are too many to show."""
    live: bool = False
    """Whether it goes on as new files come."""

    @property
    def empty(self) -> bool:
        return not any(line.total for line in self.lines)


def groups(site: Site) -> list[Group]:
    """All trends that files have given, by plot, with the titles of the plots."""
    with site.store.read() as tx:
        names = trends.names(tx)
    found: dict[str, list[Choice]] = {}
    for name in names:
        found.setdefault(name.plot, []).append(Choice(name.key, label_of(name), name.unit))
    plots = site.registry.plots
    title = {plot: plots[plot].plot.title if plot in plots else plot for plot in found}
    return sorted((Group(plot, title[plot], tuple(found[plot])) for plot in found), key=lambda group: group.title)


def label_of(name: TrendName) -> str:
    """``data_rate_hz`` in Hz is said ``data rate``."""
    words = name.name.replace("_", " ").split()
    if len(words) > 1 and words[-1] in UNITS and words[-1] == name.unit.lower():
        words.pop()
    return " ".join(words)


def wanted(search: str, known: Iterable[str]) -> Wanted:
    """What ``?name=A.b&name=C.d&since=7d&zoom=2024-07-08T18:00Z~2024-07-08T19:00Z`` asks for; `known` are all keys.

    Names may also stand in one value, separated by commas.
    """
    pairs = parse_qsl(search.removeprefix("?"), keep_blank_values=True)
    named = [name for key, value in pairs if key == "name" for name in value.split(",") if name != NONE]
    asked = Asked(dict(pairs))
    known = list(known)
    first_visit = not any(key == "name" for key, _ in pairs)
    names = _names(asked, named, known) if not first_visit else tuple(name for name in FIRST_VISIT if name in known)
    span, since, until = _range(asked)
    return Wanted(names, span, since, until, _zoom(asked), first_visit, tuple(asked.problems))


def _names(asked: Asked, named: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    names = list(dict.fromkeys(name.strip() for name in named if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown:
        asked.problems.append(f"No file has given a trend called “{short(unknown[0])}”. It was left out.")
    names = [name for name in names if name in known]
    if len(names) > MOST:
        asked.problems.append(f"{len(names)} trends do not fit in one picture: the first {MOST} are shown.")
    return tuple(names[:MOST])


def _range(asked: Asked) -> tuple[str, float | None, float | None]:
    since = asked.text("since") or USUAL
    until = asked.moment("until", end=True)
    if since in SPANS:
        return since, None, until
    if since == "custom":
        return "custom", None, until
    start = moment_of(since)
    if start is None:
        known = ", ".join(SPANS)
        asked.problems.append(
            f"“{short(since)}” is no range of time: write since={USUAL} (known are {known}) or since=2024-07-08. "
            f"The last {SPANS[USUAL][0]} are shown."
        )
        return USUAL, None, until
    if until is not None and until <= start:
        asked.problems.append("The end is before the start: the end was left out.")
        until = None
    return "custom", start, until


def _zoom(asked: Asked) -> tuple[float, float] | None:
    value = asked.text("zoom")
    if not value:
        return None
    low, _, high = value.partition("~")
    first, last = moment_of(low), moment_of(high)
    if first is None or last is None or first >= last:
        asked.problems.append(f"“{short(value)}” is no part of a range of time. It was left out.")
        return None
    return first, last


def zoom_text(first: float, last: float) -> str:
    """A zoom as it stands in a URL."""
    return f"{iso(np.floor(first))}~{iso(np.ceil(last))}"


def load(site: Site, asked: Wanted, now: float | None = None) -> View:
    """Points of the wanted trends in their range, and the runs that began in it."""
    now = time.time() if now is None else now
    with site.store.read() as tx:
        since, until = _window(asked, now, trends.span(tx) if asked.names else None)
        by_key = {name.key: name for name in trends.names(tx)}
        names = [by_key[key] for key in asked.names if key in by_key]
        most = DIRECT // max(len(names), 2)
        found = [(name, trends.series(tx, name.id, since, until, most)) for name in names]
        began = runs.starts(tx, since, until) if any(series.files for _, series in found) else []
    return View([_line(name, series) for name, series in found], since, until, began, asked.live)


def _window(asked: Wanted, now: float, known: tuple[float, float] | None) -> tuple[float, float]:
    """The range in seconds; "all" begins with the first point and ends with the last."""
    if asked.zoom:
        return asked.zoom
    first, last = known or (now - 86400, now)
    length = SPANS[asked.span][1] if asked.span in SPANS else None
    if length is not None:
        until = asked.until if asked.until is not None else now
        # before the first point there is nothing to see: what there is gets the room
        begun = min(first - 0.02 * (until - first) - 5, until - 60) if known else until - length
        return max(until - length, begun), until
    since = asked.since if asked.since is not None else first
    until = asked.until if asked.until is not None else (last if asked.span == "all" else now)
    if until <= since:  # one point alone, or a start in the future
        return since - 1800, since + 1800
    margin = 0.01 * (until - since) if asked.span == "all" else 0
    return since - margin, until + margin


def _line(name: TrendName, series: Series) -> Line:
    reasons = [point.reason for point in series.points if point.value is None and point.reason]
    why = max(dict.fromkeys(reasons), key=reasons.count) if reasons else ""
    return Line(
        name, label_of(name), thin(series.points), series.files, series.unknown, why, series.resolution, series.rollups,
        series.kept, series.kept_until,
    )  # fmt: skip


def thin(points: list[TrendPoint], most: int = POINTS) -> list[TrendPoint]:
    """At most about `most` points: of each stretch of time the lowest, the highest, and one without a value."""
    if len(points) <= most:
        return points
    times = np.array([point.time for point in points])
    values = np.array([np.nan if point.value is None else point.value for point in points])
    stretches = max(most // 3, 1)
    width = (times[-1] - times[0]) or 1.0
    stretch = np.minimum(((times - times[0]) / width * stretches).astype(int), stretches - 1)
    kept = np.zeros(len(points), bool)
    for key in (values, -values):  # nan is sorted behind all numbers
        order = np.lexsort((key, stretch))
        kept[order[np.unique(stretch[order], return_index=True)[1]]] = True
    gaps = np.flatnonzero(np.isnan(values))
    kept[gaps[np.unique(stretch[gaps], return_index=True)[1]]] = True
    return [points[i] for i in np.flatnonzero(kept)]


def newest(site: Site) -> float | None:
    """Time of the newest point of all."""
    with site.store.read() as tx:
        span = trends.span(tx)
    return span[1] if span else None


def frame_of(site: Site, asked: Wanted, now: float | None = None) -> Any:
    """Every point in the range (not thinned) as a pandas frame; where points were dropped, hours or days.

    Columns: time, trend, unit, value (of an hour or day the mean), run, file, step (file, hour, day), low, high, files.
    """
    import pandas as pd  # takes longer to load than a page

    rows: list[tuple[Any, ...]] = []
    with site.store.read() as tx:
        since, until = _window(asked, time.time() if now is None else now, trends.span(tx))
        paths: dict[int, str] = {}
        for name in [name for name in trends.names(tx) if name.key in asked.names]:
            series = trends.series(tx, name.id, since, until, FETCHED)
            for key in {point.run_key for point in series.points if point.file_id not in paths}:
                if run := runs.get(tx, key):
                    paths |= {file.id: file.path for file in files.of_run(tx, run.id)}
            head = (name.key, name.unit)
            for point in series.points:
                path = paths.get(point.file_id, "").encode("utf-8", "replace").decode()
                value = point.value
                rows.append((exact(point.time), *head, value, point.run_key, path, "file", value, value, 1))
            for r in series.rollups:
                step = (series.resolution, r.low, r.high, r.count + r.unknown)
                rows.append((exact(r.time), *head, r.mean, "", "", *step))
    columns = ["time", "trend", "unit", "value", "run", "file", "step", "low", "high", "files"]
    return pd.DataFrame(rows, columns=columns)


def csv_of(site: Site, asked: Wanted, now: float | None = None) -> str:
    """`frame_of` as CSV; a value that is not known is empty."""
    return frame_of(site, asked, now).to_csv(index=False, lineterminator="\n")


def exact(unix: float) -> str:
    """A time to the millisecond, ``2024-07-08T18:37:42.125Z``."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamps(times: Iterable[float], zone: str) -> list[str]:
    """Times as Plotly draws them, ``2024-07-08 18:37:42.125``, in `zone`."""
    there = ZoneInfo(zone)
    return [datetime.fromtimestamp(unix, there).isoformat(" ", "milliseconds")[:23] for unix in times]


def unix_of(stamp: str, zone: str) -> float | None:
    """The time that Plotly gives back for a place on an axis in `zone`; None for what is no time."""
    try:
        return datetime.fromisoformat(str(stamp)[:26]).replace(tzinfo=ZoneInfo(zone)).timestamp()
    except (ValueError, OverflowError):
        return None


def limit_lines(name: TrendName) -> list[tuple[str, str, float]]:
    """(suspect or bad, above or below, value) of each limit that a trend has."""
    sides: tuple[tuple[str, Limits], ...] = (("suspect", name.warn), ("bad", name.alarm))
    found = []
    for state, (low, high) in sides:
        found += [(state, "below", low)] if low is not None else []
        found += [(state, "above", high)] if high is not None else []
    return found


def exact_value(value: float | None, unit: str) -> str:
    """A value with all its digits, as a hover shows it; whole numbers with separators."""
    if value is None:
        return "–"
    return f"{int(value):,} {unit}" if float(value).is_integer() else f"{value:.9g} {unit}"
