"""Files become elements: each packet once, whatever the order, the form, the number of looks and restarts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter, RawWriter
from dqm.ingest.oneshot import Sources
from dqm.ingest.service import LostLead, Watch
from dqm.records import ElementState
from dqm.settings import RunRule
from dqm.store import StoreProblem, files, notices, parts, runs, trends, watchers
from plots.discovery import Shelf
from tests.conftest import REPOSITORY, packets_of
from tests.ingest.watching import SHORT, Site, age, take


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What a single clean pass over the packet files of the run gives."""
    clean = Site(tmp_path_factory.mktemp("clean"))
    take(clean.root, raw=False)
    clean.scan()
    clean.settle()
    return clean.bases("5")


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


@pytest.mark.parametrize("kinds", [{"raw": False}, {"packets": False}, {}], ids=["packets", "raw", "both"])
def test_raw_and_packet_files_are_one_datum(tmp_path: Path, once: dict, kinds: dict[str, bool]) -> None:
    site = Site(tmp_path)
    take(site.root, **kinds)
    site.settle()
    assert site.bases("5") == once
    if not kinds:
        assert sorted(site.states().values()) == ["done", "done", "same", "same"]
        same = next(name for name, state in site.states().items() if state == "same")
        assert same.startswith("binary-")
        assert "is a form of the datum in" in site.file(same).reason


def test_a_packet_file_takes_the_place_of_the_raw_file_that_came_before(site: Site, once: dict) -> None:
    take(site.root / "raw", packets=False)
    site.settle()
    assert site.bases("5") == once
    take(site.root / "packets", raw=False)
    site.settle()
    assert site.bases("5") == once
    assert {name[:6]: state for name, state in site.states().items()} == {"binary": "same", "packet": "done"}


def test_a_raw_file_that_comes_late_is_not_counted_beside_the_packets(site: Site, once: dict) -> None:
    take(site.root / "packets", raw=False)
    site.settle()
    take(site.root / "raw", packets=False)
    site.settle()
    assert site.bases("5") == once
    with site.store.read() as tx:
        run = runs.get(tx, "5")
    assert run is not None
    assert run.files == 2


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(4)), restart=st.lists(st.booleans(), min_size=4, max_size=4))
def test_any_order_of_arrival_and_any_restart_gives_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, once: dict, order: list[int], restart: list[bool]
) -> None:
    site = Site(tmp_path_factory.mktemp("order"))
    made = site.folder / "made"
    paths = take(made)
    for place, anew in zip(order, restart, strict=True):
        shutil.copy2(paths[place], site.root / paths[place].name)
        site.settle(times=2)
        if anew:
            site.watch = site.new_watch()
    site.settle()
    assert site.bases("5") == once


@pytest.mark.parametrize("raw", [False, True], ids=["packets", "raw"])
def test_a_file_that_grows_is_followed_and_ends_as_if_read_once(site: Site, once: dict, raw: bool) -> None:
    made = take(site.folder / "made", packets=not raw, raw=raw)
    shutil.copy2(made[1], site.root)
    target = site.root / made[0].name
    seen = []
    with open_file(made[0]) as source:
        if raw:
            messages, groups = list(source._messages), source._headers[:]["io_groups"]  # type: ignore[attr-defined]
            writer: RawWriter | PacketWriter = RawWriter(target, swmr=True)
            cuts = [0, 3, 40, 41, len(messages)]
        else:
            rows = source._file["packets"][:]
            writer = PacketWriter(target, swmr=True)
            cuts = [0, 10, 2000, 2001, len(rows)]
    with writer:
        for first, last in pairwise(cuts):
            if isinstance(writer, RawWriter):
                writer.write(messages[first:last], groups[first:last])
            else:
                writer.write(rows[first:last].astype(PACKET_DTYPE))
            site.settle(seconds=30, times=1)
            file = site.file(target.name)
            assert file.state == "growing"
            assert file.counted
            seen.append(file.rows_done)
        assert sorted(set(seen)) == seen
        with site.store.read() as tx:
            run = runs.get(tx, "5")
            assert run is not None
            assert run.growing == 1
        assert site.elements("5")["PacketRate"].trends["packets"].value == run.packets
    site.settle()
    assert site.file(target.name).state == "done"
    assert site.bases("5") == once


def test_a_growing_file_goes_on_after_a_restart_without_counting_twice(site: Site, once: dict) -> None:
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    with open_file(made[0]) as source:
        rows = source._file["packets"][:]
    with PacketWriter(site.root / made[0].name, swmr=True) as writer:
        for piece in (rows[:1000], rows[1000:1500], rows[1500:]):
            writer.write(piece.astype(PACKET_DTYPE))
            site.settle(times=1)
            site.watch = site.new_watch()
    site.settle()
    assert site.bases("5") == once


def test_a_file_that_is_appended_to_after_it_was_done_is_counted_once(site: Site) -> None:
    made = take(site.folder / "made", packets=False)
    with open_file(made[0]) as source:
        messages, groups = list(source._messages), source._headers[:]["io_groups"]  # type: ignore[attr-defined]
    target = site.root / made[0].name
    with RawWriter(target) as writer:
        writer.write(messages[:50], groups[:50])
    age(target)
    site.settle()
    assert site.file(target.name).state == "done"
    with RawWriter(target, append=True) as writer:
        writer.write(messages[50:], groups[50:])
    age(target, 1_700_000_100)
    site.settle()
    assert site.file(target.name).state == "done"
    other = Site(site.folder / "other")
    shutil.copy2(made[0], other.root)
    other.settle()
    assert site.bases("5") == other.bases("5")


def test_a_name_that_holds_other_content_supersedes_what_was_counted(site: Site, once: dict) -> None:
    wrong = take(
        site.folder / "wrong",
        run=replace(SHORT, seed=9),
        raw=False,
    )
    right = take(site.folder / "right", raw=False)
    shutil.copy2(wrong[0], site.root / right[0].name)
    shutil.copy2(right[1], site.root)
    site.settle()
    assert site.bases("5") != once
    shutil.copy2(right[0], site.root / right[0].name)
    age(site.root / right[0].name, 1_700_000_100)
    site.settle()
    assert site.bases("5") == once
    with site.store.read() as tx:
        history = files.search(tx, history=True, state="replaced")
    assert [file.reason for file in history] == ["its name holds other content now"]


def test_copies_hard_links_and_links_count_once(site: Site, once: dict) -> None:
    paths = take(site.root, raw=False)
    (site.root / "again").mkdir()
    os.link(paths[0], site.root / "again" / "hard.h5")
    (site.root / "again" / "soft.h5").symlink_to(paths[0])
    shutil.copy2(paths[0], site.root / "again" / "copy.h5")
    site.settle()
    assert site.bases("5") == once
    assert sorted(site.states().values()) == ["done", "done", "same", "same", "same"]


def test_a_link_out_of_the_root_is_not_followed(site: Site) -> None:
    outside = take(site.folder / "outside", raw=False)
    (site.root / outside[0].name).symlink_to(outside[0])
    (site.root / "folder").symlink_to(site.folder / "outside")
    site.settle()
    assert site.states() == {}


def test_a_moved_file_keeps_what_was_counted(site: Site, once: dict) -> None:
    paths = take(site.root, raw=False)
    site.settle()
    (site.root / "archive").mkdir()
    shutil.move(paths[0], site.root / "archive" / paths[0].name)
    site.settle()
    assert site.bases("5") == once
    assert set(site.states().values()) == {"done"}
    assert site.file(paths[0].name).path == str(site.root / "archive" / paths[0].name)


def test_a_deleted_file_stays_counted_and_says_that_it_is_gone(site: Site, once: dict) -> None:
    paths = take(site.root, raw=False)
    site.settle()
    paths[0].unlink()
    site.settle()
    assert site.file(paths[0].name).state == "gone"
    assert "what was counted of it stays" in site.file(paths[0].name).reason
    assert site.bases("5") == once


def test_unfinished_names_are_not_looked_at_and_a_rename_is(site: Site, once: dict) -> None:
    paths = take(site.folder / "made", raw=False)
    for path in paths:
        shutil.copy2(path, site.root / f".{path.name}.Xy12Zq")
    site.settle()
    assert site.states() == {}
    for path in paths:
        (site.root / f".{path.name}.Xy12Zq").rename(site.root / path.name)
    site.settle()
    assert site.bases("5") == once


def test_a_file_that_still_changes_is_not_read_before_it_is_stable(site: Site) -> None:
    (path,) = take(site.root, subrun_s=4, raw=False)
    age(path, site.clock.now)  # just written
    site.scan()
    assert site.file(path.name).state == "waiting"
    site.clock.now += 0.5
    age(path, site.clock.now)
    site.scan()
    assert site.file(path.name).rows_done == 0
    site.settle()
    assert site.file(path.name).state == "done"


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


def test_a_truncated_copy_is_counted_when_it_is_whole(site: Site, once: dict) -> None:
    paths = take(site.folder / "made", raw=False)
    target = site.root / paths[0].name
    target.write_bytes(paths[0].read_bytes()[:-5000])
    age(target, site.clock.now)
    shutil.copy2(paths[1], site.root)
    site.settle()
    assert site.file(target.name).state == "waiting"
    assert "truncated" in site.file(target.name).reason
    shutil.copy2(paths[0], target)
    site.settle(times=40)
    assert site.bases("5") == once


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


def test_a_plug_in_that_comes_late_sees_the_files_that_are_there(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    site = Site(tmp_path, plugins=[plugins])
    paths = take(site.root, raw=False)
    site.settle()
    (plugins / "mine.py").write_text(COUNTER)
    site.settle()
    rows = sum(open_file(path).rows or 0 for path in paths)
    assert site.elements("5")["Mine"].trends["n"].value == rows
    # a new version is counted anew, and the old result stays until it is whole
    (plugins / "mine.py").write_text(
        COUNTER.replace("version = 1", "version = 2").replace("len(packets)", "2 * len(packets)")
    )
    site.settle()
    assert site.elements("5")["Mine"].trends["n"].value == 2 * rows
    assert site.elements("5")["Mine"].plot_version == 2


def test_a_plug_in_that_fails_is_broken_alone_and_is_tried_again_when_mended(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(
        COUNTER.replace("np.array([len(packets)])", "np.array([1 // 0 if len(packets) else 0])")
    )
    site = Site(tmp_path, plugins=[plugins])
    take(site.root, raw=False)
    site.settle()
    found = site.elements("5")
    assert found["Mine"].state == "broken"
    assert "ZeroDivisionError" in found["Mine"].reason
    assert "1 // 0" in found["Mine"].traceback
    assert {element.state for name, element in found.items() if name != "Mine"} == {ElementState.OK}
    (plugins / "mine.py").write_text(COUNTER)
    site.settle()
    assert site.elements("5")["Mine"].state == "ok"


COUNTER = """
import numpy as np
from plots.base import MergeablePlot, Trend


class Mine(MergeablePlot):
    title = "Packets"
    version = 1

    def count(self, packets):
        return {"n": np.array([len(packets)])}

    def draw(self, state, fig):
        fig.add_bar(y=state["n"])

    def trends(self, state):
        return {"n": Trend(int(state["n"][0]), "packets")}
"""


def test_floats_merge_in_the_order_of_the_files_whatever_the_order_of_arrival(tmp_path: Path) -> None:
    # several sums of numbers of very different size: an order that is not that of the files shows in some of the bits
    source = COUNTER.replace(
        "np.array([len(packets)])", "np.array([(packets['timestamp'] ** p).sum() / 7 for p in (1.5, 2.0, 2.5, 3.0)])"
    )
    bases = []
    for name, order in (("a", [0, 1, 2, 3]), ("b", [3, 1, 0, 2]), ("c", [1, 3, 2, 0])):
        plugins = tmp_path / name / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "mine.py").write_text(source)
        site = Site(tmp_path / name, plugins=[plugins])
        paths = take(site.folder / "made", subrun_s=1, raw=False)
        for place in order:
            shutil.copy2(paths[place], site.root)
            site.settle()
        assert site.elements("5")["Mine"].state == "ok"
        bases.append(site.bases("5")["Mine"])
    assert len(set(bases)) == 1


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


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_a_file_without_swmr_is_shown_provisionally_and_counted_anew_when_it_is_closed(site: Site, once: dict) -> None:
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    target = site.root / made[0].name
    with Writer(made[0], target) as writer:
        writer.do("write 5000")
        site.settle(times=1)
        file = site.file(target.name)
        assert file.state in ("growing", "waiting")
        if file.counted:
            assert file.provisional
            assert "provisionally" in file.reason
            assert site.elements("5")["PacketRate"].provisional
        writer.do("write 100000")
        writer.do("close")
        site.settle()
    assert site.file(target.name).state == "done"
    assert not site.file(target.name).provisional
    assert not site.elements("5")["PacketRate"].provisional
    assert site.bases("5") == once


WRITER = """
import sys, h5py
from dqm.formats.writers import PacketWriter
from dqm.formats import open_file
with open_file(sys.argv[1]) as source:
    rows = source._file["packets"][:]
writer, at = PacketWriter(sys.argv[2], swmr=sys.argv[3] == "swmr"), 0
for line in sys.stdin:
    verb, _, number = line.strip().partition(" ")
    if verb == "write":
        writer.write(rows[at : at + int(number)])
        at += int(number)
        writer._file.flush()
    else:
        writer.close()
    print("done", flush=True)
"""


class Writer:
    """Another process that has a file open, as a DAQ has."""

    def __init__(self, source: Path, target: Path, swmr: bool = False):
        command = [sys.executable, "-c", WRITER, str(source), str(target), "swmr" if swmr else ""]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )

    def do(self, what: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(what, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate(timeout=20)


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


def test_events_are_hints_that_make_it_quick(tmp_path: Path) -> None:
    """With real inotify and the real clock: a renamed file is in the ledger long before the next scan."""
    site = Site(tmp_path)
    site.settings.ingest.watch = "inotify"
    site.clock = time.time  # type: ignore[assignment]
    site.watch = site.new_watch()
    stop = threading.Event()
    runner = threading.Thread(target=site.watch.run, args=[stop])
    paths = take(tmp_path / "made", raw=False)
    runner.start()
    try:
        wait_for(site, "plots")  # it has begun
        wait_for(site, "ingest")
        shutil.copy2(paths[0], site.root / f"{paths[0].name}.part")
        (site.root / f"{paths[0].name}.part").rename(site.root / paths[0].name)
        wait_for(site, "element")
    finally:
        stop.set()
        runner.join()
    assert site.file(paths[0].name).state == "done"


def wait_for(site: Site, topic: str, at_most_s: float = 30) -> None:
    """Until a notice of this topic is there."""
    until = time.monotonic() + at_most_s
    while time.monotonic() < until:
        with site.store.read() as tx:
            if any(notice.topic == topic for notice in notices.after(tx, 0)):
                return
        threading.Event().wait(0.02)
    raise AssertionError(f"no notice of {topic} within {at_most_s} s")


def test_a_file_that_its_writer_never_closed_is_counted_as_far_as_it_goes(site: Site) -> None:
    made = take(site.folder / "made", raw=False)
    target = site.root / made[0].name
    with Writer(made[0], target, swmr=True) as writer:
        writer.do("write 5000")
        site.settle(times=1)
        assert site.file(target.name).state == "growing"
        writer.kill()
    site.settle(seconds=400, times=4)
    file = site.file(target.name)
    assert (file.state, file.rows_done) == ("partial", 5000)
    assert "its writer never closed it" in file.reason
    with site.store.read() as tx:
        run = runs.get(tx, "5")
    assert run is not None
    assert (run.growing, run.packets) == (0, 5000)
    assert site.elements("5")["PacketRate"].trends["packets"].value == 5000


def test_a_damaged_packet_file_does_not_take_the_place_of_a_whole_raw_file(site: Site, once: dict) -> None:
    take(site.root / "raw", packets=False)
    site.settle()
    for path in take(site.folder / "made", raw=False):
        damaged = site.root / path.name
        with open_file(path) as source, PacketWriter(damaged, compression="gzip", chunk_rows=500) as writer:
            writer.write(source._file["packets"][:].astype(PACKET_DTYPE))
            place = writer._packets.id.get_chunk_info(5)
        with damaged.open("r+b") as file:
            file.seek(place.byte_offset + 20)
            file.write(b"\xff" * 40)
        age(damaged)
    site.settle()
    assert site.bases("5") == once
    assert {name[:6]: state for name, state in site.states().items()} == {"binary": "done", "packet": "same"}
    assert "is damaged (rows 2,500 to 2,999 cannot be read" in site.file(damaged.name).reason


def test_a_growing_file_with_two_names_is_counted_once(site: Site, once: dict) -> None:
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    with open_file(made[0]) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    target = site.root / made[0].name
    with PacketWriter(target, swmr=True) as writer:
        (site.root / "other").mkdir()
        os.link(target, site.root / "other" / target.name)
        for piece in (rows[:10], rows[10:2000], rows[2000:]):
            writer.write(piece)
            site.settle(times=2)
    site.settle(seconds=40)
    assert site.bases("5") == once
    with site.store.read() as tx:
        assert sorted(file.state for file in files.search(tx)) == ["done", "done", "same"]


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


def test_a_file_that_is_renamed_when_it_is_whole_is_counted_to_its_end(site: Site, once: dict) -> None:
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    with open_file(made[0]) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    target = site.root / made[0].name.replace("packet-", "packet_now-packet-")
    with PacketWriter(target, swmr=True) as writer:
        writer.write(rows[:1000])
        site.settle(times=1)
        assert site.file(target.name).rows_done == 1000
        writer.write(rows[1000:])
    target.rename(site.root / made[0].name)
    site.settle()
    assert site.bases("5") == once


def test_a_growing_file_of_a_closed_run_that_goes_away_does_not_stop_the_watch(site: Site) -> None:
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[0], site.root)
    take(site.root, number=6, run=replace(SHORT, seed=4, duration_s=2, start_unix=1_750_001_000), raw=False)
    site.settle()
    site.settle(seconds=5000)
    with open_file(made[1]) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    late = site.root / made[1].name
    with PacketWriter(late, swmr=True) as writer:
        writer.write(rows[:1000])
        site.settle(times=1)
    late.unlink()
    site.settle()
    assert site.file(late.name).state == "gone"
    take(site.root, number=9, run=replace(SHORT, seed=5, start_unix=1_750_002_000), raw=False)
    site.settle()
    assert len(site.elements("9")) == len(site.elements("5"))


def test_packet_files_that_come_after_their_raw_run_was_closed_take_its_place(site: Site, once: dict) -> None:
    take(site.root / "raw", packets=False)
    take(site.root, number=6, run=replace(SHORT, seed=4, duration_s=2, start_unix=1_750_001_000), raw=False)
    site.settle()
    site.settle(seconds=5000)
    take(site.root / "packets", raw=False)
    site.settle(times=8)
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
        patch.setattr(site.store.states, "_put", full)
        with pytest.raises(StoreProblem, match="cannot be written: No space left on device"):
            site.settle()
    site.settle()
    assert site.bases("5") == once


def test_a_plug_in_that_comes_while_a_file_grows_changes_nothing_for_the_others(tmp_path: Path, once: dict) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    site = Site(tmp_path, plugins=[plugins])
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    with open_file(made[0]) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    with PacketWriter(site.root / made[0].name, swmr=True) as writer:
        writer.write(rows[:2000])
        site.settle(times=1)
        (plugins / "mine.py").write_text(COUNTER)
        writer.write(rows[2000:3000])
        site.settle(times=2)
        writer.write(rows[3000:])
        site.settle(times=1)
    site.settle()
    found = site.elements("5")
    with site.store.read() as tx:
        run = runs.get(tx, "5")
    assert run is not None
    assert found["Mine"].trends["n"].value == run.packets == found["Mine"].rows
    assert {name: base for name, base in site.bases("5").items() if name != "Mine"} == once


def test_a_new_version_that_broke_and_was_mended_does_not_add_to_the_old_one(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(COUNTER)
    site = Site(tmp_path, plugins=[plugins])
    take(site.root, raw=False)
    site.settle()
    second = COUNTER.replace("version = 1", "version = 2")
    (plugins / "mine.py").write_text(second.replace("len(packets)", "1 // 0 if len(packets) else 0"))
    site.settle()
    assert site.elements("5")["Mine"].state == "broken"
    (plugins / "mine.py").write_text(second)
    site.settle()
    mine = site.elements("5")["Mine"]
    assert (mine.state, mine.trends["n"].value) == ("ok", mine.rows)


@pytest.mark.parametrize(
    "fault",
    [
        "raise ValueError(chr(0xd800) + chr(0))",
        "return {'n': Trend(1, np.array([1]))}",
        "return {'n': Trend(1, 'x', reason=chr(0xd800))}",
    ],
)
def test_a_plug_in_with_odd_words_harms_nobody_else(tmp_path: Path, once: dict, fault: str) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(COUNTER.replace('return {"n": Trend(int(state["n"][0]), "packets")}', fault))
    site = Site(tmp_path, plugins=[plugins])
    take(site.root, raw=False)
    site.settle()
    assert set(site.states().values()) == {"done"}
    assert {name: base for name, base in site.bases("5").items() if name != "Mine"} == once


def test_files_that_vanish_for_a_moment_come_back(site: Site, once: dict) -> None:
    paths = take(site.root, raw=False)
    site.settle()
    for path in paths:
        path.rename(site.folder / path.name)
    site.settle()
    assert set(site.states().values()) == {"gone"}
    for path in paths:
        (site.folder / path.name).rename(path)
    site.settle()
    assert set(site.states().values()) == {"done"}
    assert site.file(paths[0].name).reason == ""
    assert site.bases("5") == once


def test_a_first_file_without_data_packets_does_not_decide_the_geometry(site: Site) -> None:
    first = site.root / "packet-0000005-2025_06_15_15_06_38_UTC.h5"
    with PacketWriter(first) as writer:
        writer.write(packets_of(40, packet_type=6))
    age(first, 1_700_000_500)
    paths = take(site.folder / "made", raw=False)
    site.settle()
    for path in paths:
        shutil.copy2(path, site.root)
    site.settle()
    rows = sum(open_file(path).rows or 0 for path in paths)
    shown = site.elements("5")["PixelMap"]
    assert shown.geometry is not None
    assert shown.rows == rows
    assert shown.trends["active_pixels"].value


def test_a_clock_that_is_set_back_does_not_stop_the_watch(site: Site, once: dict) -> None:
    site.settle()
    site.clock.now -= 7200
    take(site.root, raw=False)
    for _ in range(4):
        site.clock.now += 2
        while site.watch.step():
            pass
    assert site.bases("5") == once


def test_a_plug_in_that_cannot_merge_is_broken_alone_and_shown_again_when_mended(tmp_path: Path, once: dict) -> None:
    """The very case in which a run is merged anew while a plug-in is broken: a packet file takes the place of a raw one."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(COUNTER)
    site = Site(tmp_path, plugins=[plugins])
    take(site.root / "raw", packets=False)
    site.settle()
    (plugins / "mine.py").write_text(
        COUNTER.replace("def count(self, packets):", "def count(self, packets):\n        packets['nosuch']")
    )
    site.settle()
    take(site.root / "packets", raw=False)
    site.settle()
    assert {name[:6]: state for name, state in site.states().items()} == {"binary": "same", "packet": "done"}
    assert {name: base for name, base in site.bases("5").items() if name != "Mine"} == once
    assert site.elements("5")["Mine"].state == "broken"
    (plugins / "mine.py").write_text(COUNTER)
    site.settle()
    mine = site.elements("5")["Mine"]
    assert (mine.state, mine.trends["n"].value) == ("ok", mine.rows)
