"""Alarms of the monitor: raised for what lasts, never twice, never for a moment, and ended when all is well."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqm.checks.alarms import EASE, KINDS, Finding, Key, follow, judge, leader_gone
from dqm.records import (
    Alarm,
    BacklogFacts,
    DatabaseFacts,
    DiskFacts,
    Facts,
    PlaceFacts,
    RootFacts,
    ScanFacts,
)
from dqm.settings import HealthSettings

LIMITS = HealthSettings()
NOW = 1_800_000_000.0
ROOT = "/data/one"


def facts(**changes: object) -> Facts:
    """An ingest with which all is well."""
    well = Facts(
        time=NOW,
        by="daq:1",
        host="daq",
        scan=ScanFacts(NOW - 5, 0.1, 10, 60),
        files={"done": 10},
        queue=0,
        queue_before=0,
        left_s=None,
        places=(PlaceFacts(ROOT, "", 2.0, False, 10, 0, None),),
        roots=(RootFacts(ROOT, "", 0.0, 0.0),),
        disks=(DiskFacts(ROOT, "data root", 10**12, 5 * 10**11, None),),
        used={},
        database=DatabaseFacts("SQLite", 1, "1", 0.01, 0.0),
        stopped=(),
        missing_states=(),
        problems=(),
        beats_ahead_s=0.0,
        backlog=BacklogFacts(NOW - 60, 10_000, 100, 900.0),
    )
    return replace(well, **changes)  # type: ignore[arg-type]


def kinds(found: list[Finding]) -> set[str]:
    return {finding.kind for finding in found}


def test_an_ingest_that_works_off_a_backlog_has_no_alarm() -> None:
    assert judge(facts(), LIMITS) == []


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("scan", {"scan": ScanFacts(NOW - 200, 0.1, 10, 60)}, "3.3 min ago"),
        ("root", {"roots": (RootFacts(ROOT, "data root /data/one is not there", 0, 0),)}, "is not there"),
        ("lag", {"places": (PlaceFacts(ROOT, "", 90.0, True, 10, 1, None),)}, "waits to be counted since 90 s"),
        (
            "lag",
            {"queue": 50, "queue_before": 40, "left_s": 600.0},
            "50 files wait to be counted, and they become more",
        ),
        ("space", {"disks": (DiskFacts(ROOT, "data root", 10**12, 5 * 10**8, None),)}, "500 MB free, 0.05 %"),
        ("space", {"disks": (DiskFacts(ROOT, "data root", 10**10, 2 * 10**9, 0.5),)}, "will be full in 12 h"),
        ("clock", {"roots": (RootFacts(ROOT, "", 7200, 0),)}, "2 h in the future"),
        ("clock", {"database": DatabaseFacts("PostgreSQL", 1, "1", 0.01, -30.0)}, "30 s behind daq"),
        ("clock", {"beats_ahead_s": 12.0}, "another ingest host is 12 s ahead"),
        ("data_time", {"roots": (RootFacts(ROOT, "", 0, -3e5),)}, "3.5 d before their file"),
        ("slow", {"database": DatabaseFacts("SQLite", 1, "1", 4.0, 0.0)}, "took 4 s"),
        ("plugin", {"stopped": (("Mine", "it fails"),)}, "it fails"),
        ("states", {"missing_states": ("7/A", "7/B")}, "2 plots are not there: 7/A, 7/B"),
    ],
)
def test_each_kind_of_trouble_is_found_and_said(kind: str, changes: dict, words: str) -> None:
    found = judge(facts(**changes), LIMITS)
    assert kinds(found) == {kind}
    assert words in found[0].reason
    assert kind in KINDS


def test_a_queue_that_shrinks_is_a_backlog_and_no_alarm() -> None:
    assert judge(facts(queue=9000, queue_before=9400, left_s=3600.0), LIMITS) == []


def test_every_rule_can_be_switched_off() -> None:
    off = HealthSettings(
        leader_s=0, scan_late_s=0, lag_s=0, free_mb=0, free_percent=0, days_left=0, clock_s=0, data_time_s=0, write_s=0
    )
    wrong = facts(
        scan=ScanFacts(NOW - 1e6, 0.1, 10, 60),
        places=(PlaceFacts(ROOT, "", 1e6, True, 10, 1, None),),
        roots=(RootFacts(ROOT, "", 1e6, 1e9),),
        disks=(DiskFacts(ROOT, "data root", 10**12, 0, 0.0),),
        database=DatabaseFacts("SQLite", 1, "1", 100.0, 100.0),
    )
    assert judge(wrong, off) == []
    assert len(judge(wrong, LIMITS)) == 7
    assert leader_gone(NOW - 1e6, True, off, NOW) is None


def test_nobody_leads_is_said_only_when_somebody_ever_did() -> None:
    assert leader_gone(None, False, LIMITS, NOW) is None
    assert leader_gone(NOW - 3, True, LIMITS, NOW) is None
    gone = leader_gone(NOW - 300, True, LIMITS, NOW)
    assert gone is not None
    assert gone.since == NOW - 300
    idle = leader_gone(NOW - 3, False, LIMITS, NOW)
    assert idle is not None
    assert "none of them leads" in idle.reason


@given(lag=st.floats(0, 1e6), open_now=st.booleans())
def test_what_is_open_stays_until_it_is_clearly_better(lag: float, open_now: bool) -> None:
    place = (PlaceFacts(ROOT, "", lag, True, 10, 1, None),)
    found = judge(facts(places=place), LIMITS, {("lag", ROOT)} if open_now else set())
    assert bool(found) == (lag > LIMITS.lag_s * (EASE if open_now else 1))


@given(free=st.integers(0, 10**12), open_now=st.booleans())
def test_space_is_judged_in_mb_and_in_percent(free: int, open_now: bool) -> None:
    disk = DiskFacts(ROOT, "data root", 10**12, free, None)
    found = judge(facts(disks=(disk,)), LIMITS, {("space", ROOT)} if open_now else set())
    least = max(LIMITS.free_mb * 1e6, LIMITS.free_percent * 1e10)
    assert bool(found) == (free < least / (EASE if open_now else 1))


KEYS: tuple[Key, ...] = (("lag", "a"), ("lag", "b"), ("root", "a"))
LOOKS = st.lists(st.tuples(st.floats(0.5, 50), st.sets(st.sampled_from(KEYS))), max_size=60)


@given(looks=LOOKS)
def test_alarms_do_not_flap_whatever_is_found(looks: list[tuple[float, set[Key]]]) -> None:
    """One open row of each thing at most; raised only for what lasts, ended only after quiet, none forgotten."""
    open_now: list[Alarm] = []
    pending: dict[Key, float] = {}
    since: dict[Key, float] = {}
    last_found: dict[Key, float] = {}
    ended_at: dict[Key, float] = {}
    now, number = NOW, 0
    for step, found in looks:
        now += step
        for key in KEYS:
            if key not in found:
                since.pop(key, None)
            else:
                since.setdefault(key, now)
                last_found[key] = now
        made = follow(open_now, pending, [Finding(*key, "bad", f"at {now}") for key in found], LIMITS, now)
        was_open = {(alarm.kind, alarm.subject) for alarm in open_now}
        for alarm in made.opened:
            key = (alarm.kind, alarm.subject)
            assert key not in was_open
            assert now - since[key] >= LIMITS.raise_s
            assert now - ended_at.get(key, 0) >= LIMITS.raise_s
            assert alarm.since == since[key]
        for alarm in made.ended:
            assert now - last_found[alarm.kind, alarm.subject] >= LIMITS.clear_s
            ended_at[alarm.kind, alarm.subject] = now
        touched = {alarm.id: alarm for alarm in made.seen}
        kept = [touched.get(alarm.id, alarm) for alarm in open_now if alarm not in made.ended]
        opened = [replace(alarm, id=number + n + 1) for n, alarm in enumerate(made.opened)]
        number += len(opened)
        open_now, pending = [*kept, *opened], dict(made.pending)
        keys = [(alarm.kind, alarm.subject) for alarm in open_now]
        assert len(keys) == len(set(keys))
        lasting = {key for key, first in since.items() if now - first >= LIMITS.raise_s}
        assert lasting <= set(keys), "what lasts is open"


@given(who=st.text(min_size=1), severity=st.sampled_from(["bad", "suspect"]))
def test_what_was_acknowledged_stays_so_while_it_lasts(who: str, severity: str) -> None:
    alarm = Alarm(3, "lag", ROOT, "suspect", "late", NOW - 100, NOW - 10, who, NOW - 50)
    made = follow([alarm], {}, [Finding("lag", ROOT, severity, "later")], LIMITS, NOW)
    assert made.seen == (replace(alarm, seen=NOW, reason="later", severity=severity),)
    assert not made.opened + made.ended


def test_a_clock_that_was_set_back_ends_alarms_rather_than_keeping_them_for_ever() -> None:
    alarm = Alarm(3, "lag", ROOT, "suspect", "late", NOW + 900, NOW + 1000)
    assert follow([alarm], {}, [], LIMITS, NOW).ended == (alarm,)
