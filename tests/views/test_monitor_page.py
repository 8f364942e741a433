"""What the Health page says of a store, without a browser; and that a board is never green while the monitor is blind."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dqm.records import Alarm, BacklogFacts, PlaceFacts, Plugin, Pulse, Watcher, WebWorker
from dqm.store import alarms, files, plugins, pulses, runs, watchers, web_workers
from dqm.views.board import board
from dqm.views.monitor_page import bars, monitor, speed_now
from dqm.views.site import Site
from layouts.components.steady import tree_of
from layouts.pages.board.layout import board_of
from layouts.pages.monitor.layout import monitor_of
from tests.checks.test_alarms import ROOT, facts

NOW = 1_800_000_000.0


def words(children: Any) -> str:
    """All text of a page."""

    def texts(nodes: list[Any]) -> list[str]:
        return [text for node in nodes for text in ([node] if isinstance(node, str) else texts(node[2]))]

    return " ".join(" ".join(texts(tree_of(children))).split())


def lives(site: Site, now: float = NOW, **changes: object) -> None:
    """A leader that measured itself just now."""
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("daq:1", "daq", 1, now - 500, now - 1, True, "waiting for files", 0, None, ()))
        watchers.lead(tx, "daq:1", now, 15)
        pulses.save(tx, Pulse(now - 2, "daq:1", 0, 2.0, 7, 700, 7000, 0.01, {}, facts(time=now - 2, **changes)))


def test_before_the_first_ingest_the_page_says_how_to_begin(site: Site) -> None:
    found = monitor(site, NOW)
    assert not found.started
    said = words(monitor_of(found))
    assert "NOT STARTED YET" in said
    assert "larboard watch" in said


def test_a_monitor_with_which_all_is_well_says_so(site: Site) -> None:
    lives(site, backlog=None)
    found = monitor(site, NOW)
    assert found.fresh
    assert found.alarms.open == ()
    said = words(monitor_of(found))
    assert "ALL WELL" in said
    assert "LEADS" in said
    assert "No file waits to be counted." in said
    assert "STALE" not in said


def test_a_backlog_has_progress_and_time_left(site: Site) -> None:
    lives(site, queue=3600, backlog=BacklogFacts(NOW - 60, 10_000, 6_400, 2130.0))
    said = words(monitor_of(monitor(site, NOW)))
    assert "6,400 of 10,000 files done, 3,600 left 64 %, about 35 min 30 s left" in said


def test_a_leader_that_is_gone_makes_the_page_stale_and_the_monitor_blind(site: Site) -> None:
    lives(site, NOW - 900)
    found = monitor(site, NOW)
    assert not found.fresh
    assert [alarm.kind for alarm in found.alarms.blind] == ["leader"]
    said = words(monitor_of(found))
    assert "THE MONITOR IS BLIND" in said
    assert "STALE" in said
    assert "Nobody reads files" in said
    assert "Acknowledge" in said
    assert "ALL WELL" not in said


def test_alarms_show_who_has_seen_them(site: Site) -> None:
    lives(site)
    with site.store.begin() as tx:
        number = alarms.raise_(tx, Alarm(0, "lag", ROOT, "suspect", "it is late", NOW - 90, NOW))
        over = alarms.raise_(tx, Alarm(0, "slow", "", "suspect", "it was slow", NOW - 900, NOW - 800))
        alarms.end(tx, over, NOW - 700)
    assert "1 ALARM" in words(monitor_of(monitor(site, NOW)))
    with site.store.begin() as tx:
        alarms.acknowledge(tx, number, "Ann", NOW - 3)
    said = words(monitor_of(monitor(site, NOW)))
    assert "1 alarm acknowledged" in said
    assert "Seen by Ann" in said
    assert "it was slow" in said


def test_lags_failures_costs_and_workers_are_told(site: Site) -> None:
    places = tuple(PlaceFacts(ROOT, f"{ROOT}/{n}", 1.5, n == 0, 4, n, NOW) for n in range(12))
    lives(site, places=(PlaceFacts(ROOT, "", None, False, 0, 0, None), *places))
    with site.store.begin() as tx:
        file = files.add(tx, "/data/x.h5", "/data", 1, 1, "", NOW)
        files.update(
            tx, file, state="quarantined", reason="is <script>no</script> HDF5 file " + "x" * 300, next_look=None
        )
        plugins.found(tx, [Plugin("A", "a", "Title A", "", ""), Plugin("B", "b", "Title B", "ImportError: x", "")])
        plugins.cost(tx, "A", 1, 1000, 0.002)
        web_workers.beat(tx, WebWorker("w:1", "web", 1, NOW, NOW - 5, 3, 36))
        web_workers.beat(tx, WebWorker("w:2", "web", 2, NOW, NOW - 500, 3, 36))
    found = monitor(site, NOW)
    assert found.streams == 3
    assert [(cost.name, cost.us_per_packet) for cost in found.costs] == [("B", None), ("A", 2.0)]
    tree = tree_of(monitor_of(found))
    said = words(monitor_of(found))
    for text in (
        "1 file : is <script>no</script>",
        "DOES NOT RUN",
        "1 process on web",
        "3 of 36 streams",
        "5 more direct",
    ):
        assert text in said, text
    (link,) = [part for part in json.dumps(tree).split('"') if part.startswith("/files?state=quarantined&")]
    assert len(link) < 300
    assert "script" not in link.replace("%3Cscript%3Eno%3C%2Fscript%3E", "")


def test_speeds_are_those_of_the_counters_and_gaps_stay_gaps(site: Site) -> None:
    empty = Pulse(0, "w", 0, None, 0, 0, 0, None, {})
    times = [NOW - 1800 + 10 * n for n in range(180) if not 60 <= n < 90]
    samples = [
        replace(empty, time=t, files=int(t - NOW + 1800) // 10, packets=int(t - NOW + 1800) * 50, queue=4)
        for t in times
    ]
    made = bars(samples, NOW)
    assert len(made) == 30
    known = [bar for bar in made if bar.files_min is not None]
    assert {round(bar.packets_s or 0) for bar in known} == {50}
    assert {round(bar.files_min or 0) for bar in known} == {6}
    assert sum(bar.files_min is None for bar in made) == 5
    assert speed_now(samples, NOW).packets_s == pytest.approx(50)
    assert speed_now([], NOW).packets_s is None


def test_a_counter_that_falls_is_no_negative_speed() -> None:
    first = Pulse(NOW - 60, "w", 0, None, 9, 900, 9, None, {})
    assert speed_now([first, replace(first, time=NOW, files=0, packets=0)], NOW).packets_s == 0


# the board ------------------------------------------------------------------------------------------------------------


def a_run(site: Site, now: float = NOW) -> None:
    with site.store.begin() as tx:
        run_id = runs.ensure(tx, "7", 7, "physics", [])
        file = files.add(tx, "/data/1.h5", "/data", 1, int(now * 1e9), "", now)
        done = {"state": "done", "counted": True, "rows": 10, "rows_done": 10, "done": now, "next_look": None}
        files.update(tx, file, run_id=run_id, start=now - 60, end=now, **done)
        runs.recount(tx, run_id, None, now=now)


@pytest.mark.parametrize("kind", ["leader", "scan", "root", "database"])
def test_the_board_is_not_green_while_the_monitor_is_blind(site: Site, kind: str) -> None:
    a_run(site)
    lives(site)
    calm = board(site, NOW)
    assert not calm.doubtful
    assert '"state good"' in json.dumps(tree_of(board_of(calm)))
    with site.store.begin() as tx:
        alarms.raise_(tx, Alarm(0, kind, ROOT, "bad", "it is away", NOW - 60, NOW))
    blind = board(site, NOW)
    assert blind.doubtful
    assert blind.ingest.state != "good"
    tree = json.dumps(tree_of(board_of(blind)))
    assert '"state good"' not in tree
    assert "it is away" in tree
    assert "Acknowledge" in tree


def test_an_alarm_that_blinds_nothing_is_on_the_board_all_the_same(site: Site) -> None:
    a_run(site)
    lives(site)
    with site.store.begin() as tx:
        alarms.raise_(tx, Alarm(0, "slow", "", "suspect", "a small write took 4 s", NOW - 60, NOW))
    found = board(site, NOW)
    assert not found.doubtful
    assert found.ingest.state == "suspect"
    assert "a small write took 4 s" in words(board_of(found))


def test_what_an_alarm_says_is_not_said_twice(site: Site) -> None:
    a_run(site)
    lives(site)
    said = "data root /data is not there"
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("daq:1", "daq", 1, NOW, NOW, True, "waits", 0, None, (said, "other")))
        alarms.raise_(tx, Alarm(0, "root", "/data", "bad", said, NOW - 60, NOW))
    assert board(site, NOW).ingest.problems == ("other",)


def test_the_page_is_made_quickly_of_a_large_ledger(site: Site, tmp_path: Path) -> None:
    """No timing is asserted; it must do, without reading rows of all files."""
    lives(site, time.time())
    with site.store.begin() as tx:
        for n in range(300):
            files.add(tx, f"/data/{n}.h5", "/data", 1, n, "", NOW)
    assert next(line.files for line in monitor(site).queue if line.state == "waiting") == 300
