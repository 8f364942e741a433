"""When the monitor itself is blind, late or in danger: rules over what its leader measured.

`judge` says what is wrong at one moment, `follow` what becomes of the alarms: nothing is raised for a moment's sake, and
nothing ends for one. Both are functions of what they are given; thresholds come from the settings (`[health]`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dqm.records import Alarm, Facts

EASE = 0.8
"""An alarm that is open stays until its number is this much better than the threshold that raised it."""

Key = tuple[str, str]
"""Kind and subject."""


class Thresholds(Protocol):
    """The settings `[health]`; 0 switches a rule off."""

    scan_late_s: float
    leader_s: float
    lag_s: float
    free_mb: float
    free_percent: float
    days_left: float
    clock_s: float
    data_time_s: float
    write_s: float
    raise_s: float
    clear_s: float


@dataclass(frozen=True)
class Kind:
    """A sort of alarm."""

    name: str
    title: str
    blind: bool
    """While it is open the pages may not be believed: nothing new may reach them."""
    advice: str
    """What to do, for a shifter."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("leader", "Nobody reads files", True, "look at the last lines of larboard watch, and start it again"),
        Kind("scan", "The data roots are not searched", True, "see whether a disk hangs; start larboard watch again"),
        Kind("root", "A data root cannot be read", True, "mount it again: it is found by itself"),
        Kind("database", "The database takes nothing", True, "see whether its disk is full or it is read-only"),
        Kind("lag", "Counting does not keep up", False, "call the expert of the monitor; new files are shown late"),
        Kind("space", "A disk is nearly full", False, "make room, or call who looks after the disk"),
        Kind("clock", "Clocks disagree", False, "see whether the time service (NTP) runs on both hosts"),
        Kind(
            "data_time", "Times in the data are off", False, "tell the DAQ expert: the times of the readout are wrong"
        ),
        Kind("slow", "The database is slow", False, "see what else uses its disk or its host"),
        Kind("plugin", "A plug-in does not run", False, "tell its author; all other plots go on"),
        Kind("states", "Counted states are missing", False, "restore them from the backup, or read the files again"),
    )
}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong at this moment."""

    kind: str
    subject: str
    severity: str
    reason: str
    since: float | None = None
    """When it began, where that is known."""

    @property
    def key(self) -> Key:
        return self.kind, self.subject


def judge(facts: Facts, limits: Thresholds, open_now: frozenset[Key] | set[Key] = frozenset()) -> list[Finding]:
    """What is wrong by the facts; what is in `open_now` must be clearly better to be right again."""
    return [finding for rule in RULES for finding in rule(facts, limits, _Eased(open_now))]


def leader_gone(last_beat: float | None, leads: bool, limits: Thresholds, now: float) -> Finding | None:
    """Whether nobody reads files: `last_beat` is the last sign of life of any ingest, `leads` whether it has the lead."""
    if last_beat is None:
        return None  # none was ever started: a new site is no alarm
    if limits.leader_s and now - last_beat > limits.leader_s:
        return Finding("leader", "", "bad", "no ingest process gives signs of life", last_beat)
    if not leads:
        return Finding("leader", "", "bad", "ingest processes stand by, and none of them leads")
    return None


class _Eased:
    """Thresholds, eased for what is open already: a number at the threshold must not make an alarm come and go."""

    def __init__(self, open_now: frozenset[Key] | set[Key]):
        self._open = open_now

    def above(self, kind: str, subject: str, value: float | None, most: float) -> bool:
        if value is None or not most:
            return False
        return value > (most * EASE if (kind, subject) in self._open else most)

    def below(self, kind: str, subject: str, value: float | None, least: float) -> bool:
        if value is None or not least:
            return False
        return value < (least / EASE if (kind, subject) in self._open else least)


def _scan(facts: Facts, limits: Thresholds, eased: _Eased) -> Iterable[Finding]:
    if facts.scan.time is None:
        return
    late = facts.time - facts.scan.time
    most = limits.scan_late_s and limits.scan_late_s + facts.scan.every_s
    if eased.above("scan", "", late, most):
        reason = f"the last complete search was {_span(late)} ago, one every {_span(facts.scan.every_s)} is due"
        yield Finding("scan", "", "bad", reason, facts.scan.time)


def _roots(facts: Facts, limits: Thresholds, eased: _Eased) -> Iterable[Finding]:
    for root in facts.roots:
        if root.problem:
            yield Finding("root", root.path, "bad", root.problem)
        if eased.above("clock", root.path, root.future_s, limits.clock_s):
            words = (
                f"files in {root.path} were written {_span(root.future_s)} in the future by the clock of {facts.host}"
            )
            yield Finding("clock", root.path, "suspect", words)
        if eased.above("data_time", root.path, abs(root.data_off_s), limits.data_time_s):
            side = "after" if root.data_off_s > 0 else "before"
            words = (
                f"the newest data in {root.path} say that they are of {_span(abs(root.data_off_s))} {side} their file"
            )
            yield Finding("data_time", root.path, "suspect", words)


def _lag(facts: Facts, limits: Thresholds, eased: _Eased) -> Iterable[Finding]:
    for place in facts.places:
        if not place.directory and eased.above("lag", place.root, place.lag_s, limits.lag_s):
            what = "waits to be counted since" if place.counting else "was counted"
            after = "" if place.counting else " after it was written"
            words = f"the newest file of {place.root} {what} {_span(place.lag_s or 0)}{after}"
            yield Finding("lag", place.root, "suspect", words)
    grows = facts.queue_before is not None and facts.queue > facts.queue_before
    still = ("lag", "") in eased._open and facts.queue > 0
    if (grows or still) and eased.above("lag", "", facts.left_s, limits.lag_s):
        words = f"{facts.queue:,} files wait to be counted, and they become more: {_span(facts.left_s or 0)} of work"
        yield Finding("lag", "", "suspect", words)


def _space(facts: Facts, limits: Thresholds, eased: _Eased) -> Iterable[Finding]:
    for disk in facts.disks:
        if disk.problem or not disk.total:
            continue
        mb, percent = disk.free / 1e6, 100 * disk.free / disk.total
        few_mb = eased.below("space", disk.path, mb, limits.free_mb)
        few_percent = eased.below("space", disk.path, percent, limits.free_percent)
        if few_mb or few_percent:
            words = f"{disk.path} ({disk.what}) has {_bytes(disk.free)} free, {percent:.2g} % of {_bytes(disk.total)}"
            yield Finding("space", disk.path, "bad", words)
        elif eased.below("space", disk.path, disk.days_left, limits.days_left):
            words = f"{disk.path} ({disk.what}) will be full in {_span(86400 * (disk.days_left or 0))} as it goes now"
            yield Finding("space", disk.path, "suspect", words)


def _database(facts: Facts, limits: Thresholds, eased: _Eased) -> Iterable[Finding]:
    write_s, ahead = facts.database.write_s, facts.database.ahead_s
    if eased.above("slow", "", write_s, limits.write_s):
        yield Finding("slow", "", "suspect", f"a small write took {_span(write_s or 0)}")
    if eased.above("clock", "database", abs(ahead), limits.clock_s):
        side = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            "clock", "database", "bad", f"the clock of the database is {_span(abs(ahead))} {side} {facts.host}"
        )
    if eased.above("clock", "ingest hosts", facts.beats_ahead_s, limits.clock_s):
        words = f"the clock of another ingest host is {_span(facts.beats_ahead_s)} ahead of {facts.host}"
        yield Finding("clock", "ingest hosts", "bad", words)


def _plugins(facts: Facts, limits: Thresholds, eased: _Eased) -> Iterable[Finding]:
    for name, reason in facts.stopped:
        yield Finding("plugin", name, "suspect", reason)


def _states(facts: Facts, limits: Thresholds, eased: _Eased) -> Iterable[Finding]:
    if facts.missing_states:
        some = ", ".join(facts.missing_states[:3]) + (" ..." if len(facts.missing_states) > 3 else "")
        yield Finding("states", "", "bad", f"states of {len(facts.missing_states)} plots are not there: {some}")


RULES: tuple[Callable[[Facts, Thresholds, _Eased], Iterable[Finding]], ...] = (
    _scan, _roots, _lag, _space, _database, _plugins, _states,
)  # fmt: skip


@dataclass(frozen=True)
class Followed:
    """What becomes of the alarms after a look: rows to open, to touch, to end; and since when others are only suspected."""

    opened: tuple[Alarm, ...] = ()
    seen: tuple[Alarm, ...] = ()
    """Open ones that are still so, with the reason of now."""
    ended: tuple[Alarm, ...] = ()
    pending: Mapping[Key, float] = field(default_factory=dict)


def follow(
    open_now: Sequence[Alarm], pending: Mapping[Key, float], findings: Sequence[Finding], limits: Thresholds, now: float
) -> Followed:
    """Alarms after a look that found `findings`.

    What is found for `raise_s` without a break is opened; what is not found for `clear_s` has ended.
    """
    found: dict[Key, Finding] = {}
    for finding in findings:  # of two about one thing the first, which is the worse
        found.setdefault(finding.key, finding)
    known = {(alarm.kind, alarm.subject): alarm for alarm in open_now}
    waiting = {key: min(pending.get(key, now), now) for key in found if key not in known}
    ripe = [key for key, first in waiting.items() if now - first >= limits.raise_s]
    return Followed(
        opened=tuple(_alarm(found[key], waiting[key], now) for key in ripe),
        seen=tuple(_still(alarm, found[key], now) for key, alarm in known.items() if key in found),
        ended=tuple(
            alarm for key, alarm in known.items() if key not in found and not 0 <= now - alarm.seen < limits.clear_s
        ),
        pending={key: first for key, first in waiting.items() if key not in ripe},
    )


def _alarm(finding: Finding, first: float, now: float) -> Alarm:
    since = first if finding.since is None else min(finding.since, first)
    return Alarm(0, finding.kind, finding.subject, finding.severity, finding.reason, since, now)


def _still(alarm: Alarm, finding: Finding, now: float) -> Alarm:
    return Alarm(
        alarm.id, alarm.kind, alarm.subject, finding.severity, finding.reason, alarm.since, now,
        alarm.acknowledged_by, alarm.acknowledged_at,
    )  # fmt: skip


def _span(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h``, ``2.5 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _bytes(number: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"
