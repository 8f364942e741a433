"""The pulse of the ingest: what its leader measures of itself, and the alarms that it raises and ends."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dqm.formats import open_file
from dqm.ingest import pulse as pulse_module
from dqm.ingest.oneshot import Sources
from dqm.ingest.service import Watch
from dqm.records import DROPPED, Alarm, Facts, FileState, Pulse
from dqm.store import alarms, files, notices, plugins, pulses, watchers
from dqm.store.tables import elements as elements_table
from dqm.store.tables import plugins as plugins_table
from tests.ingest.watching import Site, age, take


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def newest(site: Site) -> Pulse:
    with site.store.read() as tx:
        found = pulses.newest(tx)
    assert found is not None
    return found


def facts(site: Site) -> Facts:
    found = newest(site).facts
    assert found is not None
    return found


def open_now(site: Site) -> dict[str, Alarm]:
    with site.store.read() as tx:
        return {alarm.kind: alarm for alarm in alarms.open_ones(tx)}


def test_what_was_counted_is_summed_and_never_falls(site: Site) -> None:
    paths = take(site.root, raw=False)
    site.settle(times=8)
    rows = sum(open_file(path).rows or 0 for path in paths)
    size = sum(path.stat().st_size for path in paths)
    assert (newest(site).files, newest(site).packets, newest(site).bytes) == (2, rows, size)
    with site.store.begin() as tx:
        file = files.at(tx, str(paths[0]))
        assert file
        files.recount(tx, file.id, "asked")
    # recount says when by the real clock
    site.clock.now += 20
    site.scan()
    site.settle(times=8)
    assert newest(site).files == 3
    assert newest(site).packets == rows + (open_file(paths[0]).rows or 0)


def test_the_sample_says_what_the_disk_the_database_and_the_scan_are(site: Site) -> None:
    site.settings.data.directory.mkdir()
    take(site.root, raw=False)
    site.settle(10)
    now = facts(site)
    assert now.scan.files == 2
    assert now.scan.time is not None
    assert now.files == {"done": 2}
    assert {disk.what for disk in now.disks} == {"data root", "data directory", "database"}
    assert all(0 < disk.free <= disk.total for disk in now.disks)
    assert now.used["database"] > 0
    assert now.used["states"] == sum(path.stat().st_size for path in (site.folder / "states").rglob("*.npz"))
    assert now.database.engine.startswith("SQLite 3")
    assert now.database.write_s is not None
    root, inside = now.places
    assert (root.directory, inside.directory) == ("", str(site.root))
    assert root.lag_s == pytest.approx(0, abs=10)
    assert (root.waiting, root.counting) == (0, False)


def test_samples_are_kept_for_an_hour_and_then_one_an_hour(site: Site) -> None:
    site.settle(10, times=3)
    first = newest(site)
    with site.store.begin() as tx:
        for n in range(1, 1000):
            pulses.save(tx, replace(first, time=first.time + 30 * n))
        kept = [sample.time - first.time for sample in pulses.series(tx, 0)]
    old = [seconds for seconds in kept if seconds < kept[-1] - pulses.SERIES_S]
    assert len(kept) - len(old) == 121
    assert 6 <= len(old) <= 9
    assert facts(site).time


def test_a_root_that_goes_is_an_alarm_with_a_notice_and_ends_when_it_is_back(site: Site) -> None:
    site.settle(10)
    assert open_now(site) == {}
    shutil.move(site.root, site.folder / "away")
    site.settle(10)
    alarm = open_now(site)["root"]
    assert (alarm.subject, alarm.severity) == (str(site.root), "bad")
    assert "is not there" in alarm.reason
    with site.store.read() as tx:
        assert ("alarm", str(alarm.id)) in {(notice.topic, notice.key) for notice in notices.after(tx, 0, 10_000)}
    shutil.move(site.folder / "away", site.root)
    site.settle(10, times=3)
    assert "root" in open_now(site), "not ended for a moment's sake"
    site.settle(10, times=8)
    assert open_now(site) == {}
    with site.store.read() as tx:
        ended = alarms.history(tx)
    assert [one.id for one in ended] == [alarm.id]
    assert ended[0].ended is not None


def test_a_directory_that_cannot_be_read_is_an_alarm_of_its_root(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from dqm.ingest.roots import Seen

    blind = Seen(problems=[f"directory {site.root}/x cannot be read: no"], searched=[str(site.root)])
    blind.unsearched = [f"{site.root}/x"]
    site.watch.pulse.scanned(blind, site.clock.now, 60, [*blind.problems, "other"])
    site.watch.pulse.beat()
    site.clock.now += 1
    found = site.watch.pulse._facts(site.clock.now, None)[0]
    assert [root.problem for root in found.roots] == blind.problems
    assert found.problems == ("other",)


def test_a_scan_that_does_not_come_back_is_an_alarm(site: Site) -> None:
    site.settle(10)
    site.watch._next["scan"] = 1e12
    for _ in range(30):
        site.clock.now += 10
        site.watch.step()
    assert open_now(site)["scan"].reason.startswith("the last complete search was")


def test_files_from_the_future_say_that_a_clock_is_wrong(site: Site) -> None:
    paths = take(site.root, raw=False)
    site.clock.now = paths[0].stat().st_mtime + 1e6
    age(paths[0], site.clock.now + 7200)
    site.settle(10)
    assert "120 min in the future" in open_now(site)["clock"].reason


def test_data_whose_times_are_far_from_those_of_the_file_are_an_alarm(site: Site) -> None:
    paths = take(site.root, raw=False)
    for path in paths:
        age(path, site.clock.now - 60)
    site.settle(10, times=6)
    found = open_now(site)
    assert "before their file" in found["data_time"].reason
    assert "clock" not in found


def test_a_copy_of_old_data_with_its_times_is_no_alarm(site: Site) -> None:
    take(site.root, raw=False)
    site.settle(10, times=6)
    assert open_now(site) == {}


def test_a_disk_without_room_is_an_alarm(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(site.root)._replace(free=10**6)
    monkeypatch.setattr(pulse_module.shutil, "disk_usage", lambda path: usage)
    site.settle(10, times=3)
    assert "has 1 MB free" in open_now(site)["space"].reason


def test_a_disk_that_fills_says_when_it_will_be_full(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(site.root)
    free = [10**12]
    monkeypatch.setattr(pulse_module.shutil, "disk_usage", lambda path: usage._replace(total=10**13, free=free[0]))
    site.settle(10)
    assert all(disk.days_left is None for disk in facts(site).disks), "not known yet"
    start = newest(site).time
    site.clock.now, free[0] = start + 24 * 3600, 5 * 10**11
    site.watch.hints.add("/nothing")
    site.scan()
    site.settle(10, times=3)
    assert facts(site).disks[0].days_left == pytest.approx(1, rel=0.1)
    assert "will be full in" in open_now(site)["space"].reason


def test_a_plug_in_that_does_not_load_is_an_alarm(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "mine.py").write_text("import nothing_of_that_name\n")
    site = Site(tmp_path, plugins=[folder])
    site.settle(10, times=3)
    alarm = open_now(site)["plugin"]
    assert "nothing_of_that_name" in alarm.reason
    with site.store.read() as tx:
        assert alarm.subject in {plugin.name for plugin in plugins.listed(tx) if plugin.broken}


def test_a_plug_in_that_fails_is_an_alarm_until_it_runs_again(site: Site) -> None:
    site.settle(10)
    with site.store.begin() as tx:
        plugins.cost(tx, "AdcSpectrum", 1, 10, 0.1, "ValueError: no")
    site.settle(10, times=3)
    assert open_now(site)["plugin"].reason == "AdcSpectrum failed (1 times so far), last: ValueError: no"
    site.settle(10, times=42)
    assert open_now(site) == {}


def test_a_plug_in_that_rests_is_an_alarm_as_long_as_it_does(site: Site) -> None:
    site.settle(10)
    with site.store.begin() as tx:
        tx.execute(plugins_table.update().where(plugins_table.c.name == "AdcSpectrum").values(stops=3, until=9e9))
    site.settle(10, times=40)
    assert "AdcSpectrum went over a limit 3 times in a row" in open_now(site)["plugin"].reason


def test_a_failure_of_yesterday_is_no_alarm_of_the_next_leader(site: Site) -> None:
    site.settle(10)
    with site.store.begin() as tx:
        plugins.cost(tx, "AdcSpectrum", 1, 10, 0.1, "ValueError: no")
    site.watch._leave()
    site.watch = site.new_watch()
    site.settle(10, times=4)
    assert open_now(site) == {}


def test_states_that_are_gone_from_the_disk_are_an_alarm(site: Site) -> None:
    take(site.root, raw=False)
    site.settle(10)
    assert open_now(site) == {}
    shutil.rmtree(site.folder / "states")
    site.settle(10, times=3)
    alarm = open_now(site)["states"]
    assert "are not there: 5/" in alarm.reason


def test_states_that_a_rule_dropped_are_not_missed(site: Site) -> None:
    take(site.root, raw=False)
    site.settle(10)
    shutil.rmtree(site.folder / "states")
    with site.store.begin() as tx:
        tx.execute(elements_table.update().values(base=DROPPED))
    site.settle(10, times=3)
    assert open_now(site) == {}


def test_a_backlog_is_followed_from_its_beginning_to_its_end(site: Site) -> None:
    site.settle(10, times=2)
    for n in range(200):
        path = site.root / f"file{n:03}.h5"
        path.write_bytes(b"no such format")
        os.utime(path, (1_700_000_000 + n, 1_700_000_000 + n))
    site.clock.now += 10
    site.watch._next["scan"] = 0
    done = []
    for _ in range(260):
        site.clock.now += 1
        site.watch.step()
        now = facts(site).backlog
        if now is not None:
            done.append(now.done)
            assert now.files == now.done + now.left
            assert 190 <= now.files <= 200
    assert done == sorted(done)
    assert done[0] <= 10
    assert done[-1] > 150
    assert facts(site).backlog is None


def test_time_left_of_a_backlog_comes_from_what_was_worked_off(site: Site) -> None:
    site.settle(10, times=2)
    with site.store.begin() as tx:
        for n in range(100):
            files.add(tx, f"/elsewhere/{n}.h5", "/elsewhere", 1, n, "", site.clock.now)
    for _ in range(12):
        site.clock.now += 10
        with site.store.begin() as tx:
            for row in files.due(tx, site.clock.now, 5):
                files.update(tx, row.id, state=FileState.IGNORED, next_look=None)
            watchers.lead(tx, site.watch.name, site.clock.now, 15)
        site.watch.pulse.beat()
    left = facts(site).backlog
    assert left is not None
    assert left.left == 40
    assert left.left_s == pytest.approx(80, rel=0.3)


def test_the_next_leader_writes_down_that_nobody_led(site: Site) -> None:
    site.settle(10)
    before = newest(site).time
    site.watch._leave()
    site.clock.now += 3600
    site.watch = site.new_watch()
    site.scan()
    with site.store.read() as tx:
        (gap,) = alarms.history(tx)
    assert (gap.kind, gap.since) == ("leader", before)
    assert gap.ended == pytest.approx(site.clock.now, abs=5)
    site.settle(10, times=3)
    with site.store.read() as tx:
        assert len(alarms.history(tx)) == 1


def test_one_that_stands_by_measures_and_judges_nothing(site: Site) -> None:
    site.settle(10)
    other = Watch(site.store, site.settings, Sources(), site.watch.shelf, site.clock)
    shutil.rmtree(site.root)
    before = newest(site)
    for _ in range(5):
        other.step()
        site.clock.now += 1
    other.pulse.beat()
    assert newest(site) == before
    assert open_now(site) == {}


def test_reading_a_file_again_is_not_late(site: Site) -> None:
    (path, *_) = take(site.root, raw=False)
    site.settle(10, times=4)
    site.clock.now += 1000
    site.scan()
    with site.store.begin() as tx:
        file = files.at(tx, str(path))
        assert file
        files.recount(tx, file.id, "asked")
    site.settle(10, times=6)
    assert site.file(path.name).state is FileState.DONE
    assert "lag" not in open_now(site)


def test_nothing_that_is_wrong_with_the_pulse_stops_the_ingest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(store: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(pulse_module.vitals, "measure", fails)
    take(site.root, raw=False)
    site.settle(10)
    assert set(site.states().values()) == {"done"}
