"""The watch itself: who leads, what it says when something is wrong, what a crash at any commit leaves behind."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import open_file
from dqm.ingest.oneshot import Sources
from dqm.ingest.service import LostLead, Watch
from dqm.records import ElementState
from dqm.settings import RunRule
from dqm.store import StoreProblem, elements, files, notices, parts, runs, trends, watchers
from plots.discovery import Shelf
from tests.conftest import THOROUGH
from tests.ingest.watching import SHORT, Site, age, take


def test_the_files_of_a_run_merge_into_its_elements(site: Site) -> None:
    paths = take(site.root, raw=False)
    site.settle()
    rows = sum(open_file(path).rows or 0 for path in paths)
    with site.store.read() as tx:
        run = runs.get(tx, "5")
        assert run is not None
        assert (run.number, run.files, run.packets, run.growing, run.unread) == (5, len(paths), rows, 0, 0)
        assert run.start == 1_750_000_000
        assert run.end in (1_750_000_003, 1_750_000_004)
    found = site.elements("5")
    assert {element.rows for element in found.values()} == {rows}
    assert {element.state for element in found.values()} == {ElementState.OK}
    assert found["PacketRate"].trends["packets"].value == rows


BAD = {
    "empty.h5": (b"", "is empty (0 bytes); it may not have been written yet"),
    "text.h5": (b"hello " * 100, "is not an HDF5 file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_waits_and_is_then_put_in_quarantine_with_its_reason(site: Site, name: str) -> None:
    content, reason = BAD[name]
    path = site.root / name
    path.write_bytes(content)
    age(path, site.clock.now)
    site.settle(times=1)
    assert site.file(name).state == "waiting"
    assert reason in site.file(name).reason
    site.settle(seconds=700, times=2)
    assert site.file(name).state == "quarantined"
    assert reason in site.file(name).reason


def test_a_file_in_quarantine_can_be_read_again(site: Site, once: dict) -> None:
    paths = take(site.folder / "made", raw=False)
    shutil.copy2(paths[1], site.root)
    target = site.root / paths[0].name
    target.write_bytes(b"not yet")
    age(target)
    site.settle()
    assert site.file(target.name).state == "quarantined"
    shutil.copy2(paths[0], target)
    site.settle()
    assert site.file(target.name).state == "done"
    assert site.bases("5") == once


def test_an_expert_can_send_a_file_through_again(site: Site, once: dict) -> None:
    paths = take(site.root, raw=False)
    site.settle()
    with site.store.begin() as tx:
        file = files.at(tx, str(paths[0]))
        assert file is not None
        files.recount(tx, file.id, "asked for")
    site.settle()
    assert site.bases("5") == once
    assert site.file(paths[0].name).state == "done"


def test_a_state_that_was_deleted_is_said_and_reading_again_brings_it_back(site: Site, once: dict) -> None:
    first, *others = take(site.folder / "made", raw=False)
    shutil.copy2(first, site.root)
    site.settle()
    shutil.rmtree(site.folder / "states")
    site.watch = site.new_watch()
    for path in others:
        shutil.copy2(path, site.root)
    site.settle()
    with site.store.read() as tx:
        run = runs.get(tx, "5")
        assert run is not None
        reasons = [element.reason for element in elements.of_run(tx, run.id).values()]
    assert reasons
    assert all("which was counted before, is not in the store (deleted, or lost by its disk)" in why for why in reasons)
    with site.store.begin() as tx:
        for name in site.states():
            files.recount(tx, site.file(name).id, "asked for")
    site.settle()
    assert set(site.states().values()) == {"done"}
    assert site.bases("5") == once


def test_category_and_tags_come_by_rules(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.settings.runs.rules = [
        RunRule(match="pedestal/", category="calibration", tags=["a"]), RunRule(match="packet-", tags=["b"])
    ]  # fmt: skip
    take(site.root / "pedestal", raw=False)
    take(site.root / "beam", replace(SHORT, seed=8), number=6, raw=False)
    site.settle()
    with site.store.read() as tx:
        five, six = runs.get(tx, "5"), runs.get(tx, "6")
    assert five is not None
    assert six is not None
    assert (five.category, five.tags) == ("calibration", ("a", "b"))
    assert (six.category, six.tags) == ("physics", ("b",))


def test_each_file_gives_a_point_of_each_trend(site: Site) -> None:
    paths = take(site.root, raw=False)
    site.settle()
    with site.store.read() as tx:
        name = next(name for name in trends.names(tx) if name.key == "PacketRate.packets")
        points = trends.points(tx, name.id, 0, 1e12)
    assert [point.time for point in points] == [1_750_000_000, 1_750_000_002]
    assert [point.value for point in points] == [float(open_file(path).rows or 0) for path in paths]


def test_closing_a_run_drops_the_states_of_its_files_and_a_late_file_recounts_it(site: Site, once: dict) -> None:
    paths = take(site.folder / "made", raw=False)
    shutil.copy2(paths[0], site.root)
    take(site.root, number=6, run=replace(SHORT, seed=4, duration_s=2, start_unix=1_750_001_000), raw=False)
    site.settle()
    site.clock.now += 10_000
    site.scan()
    site.clock.now += 100
    site.scan()
    with site.store.read() as tx:
        run = runs.get(tx, "5")
        assert run is not None
        assert run.closed
        own = parts.of_file(tx, site.file(paths[0].name).id)
    assert {part.base for part in own.values()} == {None}
    shutil.copy2(paths[1], site.root)
    age(site.root / paths[1].name)
    site.settle(times=8)
    assert site.bases("5") == once


def test_states_that_nothing_names_are_collected(site: Site) -> None:
    take(site.root, raw=False)
    site.settle()
    address = site.store.states.put(b"orphan")
    assert site.store.states.get(address) == b"orphan"
    site.clock.now += 10_000
    site.scan()
    with pytest.raises(KeyError):
        site.store.states.get(address)
    for base in site.bases("5").values():
        assert base
        assert site.store.states.get(base)


def test_a_missing_root_is_said_and_its_files_come_when_it_does(tmp_path: Path, once: dict) -> None:
    root = tmp_path / "later"
    site = Site(tmp_path, roots=[root])
    site.settle()
    assert site.watch.problems == [f"data root {root} is not there; looked for again all the time"]
    with site.store.read() as tx:
        assert watchers.alive(tx, 0)[0].problems == tuple(site.watch.problems)
    take(root, raw=False)
    site.settle(seconds=6)
    assert site.watch.problems == []
    assert site.bases("5") == once


def test_a_root_that_vanishes_does_not_uncount_its_files(site: Site, once: dict) -> None:
    take(site.root, raw=False)
    site.settle()
    site.root.rename(site.folder / "unmounted")
    site.settle()
    assert set(site.states().values()) == {"done"}
    assert site.bases("5") == once


def test_only_one_watch_leads_and_another_takes_over_when_it_ends(site: Site) -> None:
    site.scan()
    other = site.new_watch()
    site.scan()
    assert not other.step()
    assert not other.leads
    site.watch._leave()
    site.clock.now += 3
    other.step()
    assert other.leads


def test_notices_are_numbered_without_a_gap(site: Site) -> None:
    take(site.root, raw=False)
    site.settle()
    with site.store.read() as tx:
        found = notices.after(tx, 0, 10_000)
    assert [notice.seq for notice in found] == list(range(1, len(found) + 1))
    assert {notice.topic for notice in found} == {"run", "element", "file", "plots", "ingest", "pulse"}


class Crash(BaseException):
    """The process ends here."""


@settings(max_examples=6 * THOROUGH, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=st.lists(st.integers(1, 40), min_size=1, max_size=4), both=st.booleans())
def test_a_crash_before_any_commit_and_a_restart_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, once: dict, moments: list[int], both: bool
) -> None:
    site = Site(tmp_path_factory.mktemp("crash"))
    paths = take(site.folder / "made", packets=True, raw=both)
    for path in sorted(paths, key=lambda path: path.name):  # raw files first: they are replaced by the packet files
        shutil.copy2(path, site.root)
        for moment in moments[:2]:
            crash_at(site, moment)
    for moment in moments[2:]:
        with site.store.begin() as tx:
            file = files.at(tx, str(site.root / paths[-1].name))
            if file is not None:
                files.recount(tx, file.id, "asked for")
        crash_at(site, moment)
    site.settle(times=6)
    assert site.bases("5") == once


def crash_at(site: Site, moment: int) -> None:
    """Works until the `moment`-th transaction, which does not commit, and begins anew with another watch."""
    left = [moment]
    begin = site.store.begin

    @contextmanager
    def failing() -> Iterator[object]:
        with begin() as tx:
            yield tx
            left[0] -= 1
            if left[0] == 0:
                raise Crash

    site.store.begin = failing  # type: ignore[method-assign]
    try:
        site.settle(times=2)
    except Crash:
        site.watch = None  # type: ignore[assignment]
    finally:
        del site.store.begin
    if site.watch is not None:
        site.watch._leave()
    site.clock.now += 60  # the lease of the dead one ends
    site.watch = site.new_watch()


def test_a_full_disk_is_said_and_nothing_that_was_counted_is_lost(site: Site, once: dict) -> None:
    take(site.root, raw=False)
    site.watch.step()
    with site.store.begin() as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreProblem, match="its disk is full; make room, nothing that was counted is lost"):
        site.settle()
    with site.store.begin() as tx:
        tx.exec_driver_sql("PRAGMA max_page_count = 100000")
    site.settle()
    assert site.bases("5") == once


def test_the_watch_says_trouble_with_its_database_once_and_goes_on_when_it_is_over(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    waits: list[float] = []
    troubles = [StoreProblem("its disk is full"), StoreProblem("its disk is full"), None]

    def step() -> bool:
        trouble = troubles.pop(0)
        if trouble:
            raise trouble
        stop.set()
        return True

    monkeypatch.setattr(site.watch, "step", step)
    monkeypatch.setattr(stop, "wait", lambda seconds: waits.append(seconds))
    with caplog.at_level("INFO", "larboard.watch"):
        site.watch.run(stop)
    assert [record.message for record in caplog.records] == [
        "its disk is full; trying again every 5 s",
        "it works again",
    ]
    assert waits == [5.0, 5.0]


def test_a_directory_that_cannot_be_read_is_named_and_its_files_are_not_called_gone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(site.root / "closed", raw=False)
    site.settle()
    real = os.scandir

    def refusing(path: str | Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("dqm.ingest.roots.os.scandir", refusing)
    site.settle()
    assert site.watch.problems == [f"directory {site.root / 'closed'} cannot be read: Permission denied"]
    assert set(site.states().values()) == {"done"}


def test_a_leader_that_was_away_too_long_writes_nothing_any_more(site: Site, once: dict) -> None:
    """It hangs in the middle of a file; another takes over and finishes it; then the old one wakes."""
    take(site.root, raw=False)
    old = site.watch
    old._next["scan"] = 0.0
    old.step()
    other = Watch(site.store, site.settings, Sources(), Shelf(), site.clock)
    original = old.taker._pass

    def hanging(*arguments: object, **options: object) -> None:
        site.clock.now += 20
        site.watch = other
        site.settle()
        original(*arguments, **options)  # type: ignore[arg-type]

    old.taker._pass = hanging  # type: ignore[method-assign]
    with site.store.begin() as tx:
        file = files.search(tx)[0]
        files.recount(tx, file.id, "asked for")
    with pytest.raises(LostLead, match="another ingest took over"):
        site.settle()
    assert not old.leads
    site.settle(seconds=40)  # the two share a process here, so a file that the old one had open seemed not to be closed
    assert site.bases("5") == once


def test_a_closed_run_of_which_files_are_gone_keeps_what_was_counted(site: Site, once: dict) -> None:
    paths = take(site.root, raw=False)
    take(site.root, number=6, run=replace(SHORT, seed=4, duration_s=2, start_unix=1_750_001_000), raw=False)
    site.settle()
    site.settle(seconds=5000)
    paths[0].unlink()
    site.settle()
    with site.store.begin() as tx:
        files.recount(tx, site.file(paths[1].name).id, "asked for")
    site.settle(times=8)
    assert site.bases("5") == once
    file = site.file(paths[1].name)
    assert (file.state, file.counted) == ("done", True)
    assert "1 files of its run are gone" in file.reason


def test_states_that_cannot_be_written_stop_the_work_and_lose_nothing(
    site: Site, once: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(site.root, raw=False)

    def full(content: bytes) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(site.store.states, "write", full)
        with pytest.raises(StoreProblem, match="cannot be written: No space left on device"):
            site.settle()
    site.settle()
    assert site.bases("5") == once
