"""All the ways in which files appear: each packet is counted once, whatever the way, the order, the form, the looks."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter, RawWriter
from dqm.store import files, notices, runs, trends
from tests.conftest import THOROUGH, packets_of
from tests.formats.archives import archive_of
from tests.ingest.watching import FEWEST, SHORT, Site, Writer, age, backlog, take
from tests.services import until
from tests.soak.arrivals import WAYS
from tests.soak.harness import soak


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


@settings(max_examples=5 * THOROUGH, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
            writer: RawWriter | PacketWriter = RawWriter(target, swmr=True, daq_configs=archive_of(made[0]))
            cuts = [0, 3, 40, 41, len(messages)]
        else:
            rows = source._file["packets"][:]
            writer = PacketWriter(target, swmr=True, daq_configs=archive_of(made[0]))
            cuts = [0, 10, 2000, 2001, len(rows)]
    with writer:
        for first, last in pairwise(cuts):
            if isinstance(writer, RawWriter):
                writer.write(messages[first:last], groups[first:last])
            else:
                writer.write(rows[first:last].astype(PACKET_DTYPE))
            site.settle(seconds=30, times=1)  # a growing file rests for a while after each look
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
    with PacketWriter(site.root / made[0].name, swmr=True, daq_configs=archive_of(made[0])) as writer:
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
    with RawWriter(target, daq_configs=archive_of(made[0])) as writer:
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


def test_a_file_that_is_renamed_before_it_can_be_known_again_is_counted_once(site: Site, once: dict) -> None:
    """Nobody has seen the 64 rows by which it would be known; whether the rest came before the rename, or after it."""
    for place, made in enumerate(take(site.folder / "made", raw=False)):
        with open_file(made) as source:
            rows = source._file["packets"][:].astype(PACKET_DTYPE)
        target = site.root / f"now-{made.name}"
        with PacketWriter(target, swmr=True, daq_configs=archive_of(made)) as writer:
            writer.write(rows[:56])
            site.settle(times=1)
            assert site.file(target.name).rows_done == 56
            if place:
                target.rename(site.root / made.name)
                site.settle(times=1)
            writer.write(rows[56:])
        if not place:
            target.rename(site.root / made.name)
    site.settle()
    assert site.bases("5") == once
    site.settle()
    assert sorted(site.states().values()) == ["done", "done", "gone", "gone"]


def test_a_packet_file_that_was_counted_before_it_could_be_known_takes_the_place_of_its_raw_file(
    site: Site, once: dict
) -> None:
    """It had 10 rows, its raw file came whole meanwhile, and both were counted until the packet file was whole."""
    for raw, made in zip(take(site.folder / "raw", packets=False), take(site.folder / "made", raw=False), strict=True):
        with open_file(made) as source:
            rows = source._file["packets"][:].astype(PACKET_DTYPE)
        with PacketWriter(site.root / made.name, swmr=True, daq_configs=archive_of(made)) as writer:
            writer.write(rows[:10])
            site.settle(times=1)
            assert site.file(made.name).counted
            shutil.copy2(raw, site.root)
            site.settle(seconds=30, times=2)
            assert site.file(raw.name).state == "done"
            writer.write(rows[10:])
        site.settle(seconds=30)
    assert {name[:6]: state for name, state in site.states().items()} == {"binary": "same", "packet": "done"}
    assert site.bases("5") == once


def test_a_file_that_gives_way_when_its_run_is_counted_anew_leaves_no_points(site: Site, once: dict) -> None:
    made = take(site.folder / "made", raw=False)
    for path in made:
        shutil.copy2(path, site.root)
    site.settle()
    copy = site.root / f"copy-{made[0].name}"
    shutil.copy2(made[0], copy)
    site.settle()
    assert site.file(copy.name).state == "same"
    points = points_of(site)
    site.watch.taker.commits.recount_run(site.run("5").id)
    with site.store.begin() as tx:
        files.recount(tx, site.file(copy.name).id, "what it was a form of is counted anew")
        files.update(tx, site.file(copy.name).id, mtime_ns=2**62)  # the newest is taken first
    site.settle()
    assert sorted(site.states().values()) == ["done", "done", "same"]
    assert site.file(made[0].name).state == "same"
    assert site.bases("5") == once
    assert points_of(site) == points


def points_of(site: Site) -> list[tuple[str, float, float | None]]:
    """All points of all trends: name, time, value."""
    with site.store.read() as tx:
        return sorted(
            (
                (name.key, point.time, point.value)
                for name in trends.names(tx)
                for point in trends.points(tx, name.id, 0, 1e12)
            ),
            key=str,
        )


def test_a_growing_file_with_two_names_is_counted_once(site: Site, once: dict) -> None:
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    with open_file(made[0]) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    target = site.root / made[0].name
    with PacketWriter(target, swmr=True, daq_configs=archive_of(made[0])) as writer:
        (site.root / "other").mkdir()
        os.link(target, site.root / "other" / target.name)
        for piece in (rows[:10], rows[10:2000], rows[2000:]):
            writer.write(piece)
            site.settle(times=2)
    site.settle(seconds=40)
    assert site.bases("5") == once
    with site.store.read() as tx:
        assert sorted(file.state for file in files.search(tx)) == ["done", "done", "same"]


def test_a_file_that_is_renamed_when_it_is_whole_is_counted_to_its_end(site: Site, once: dict) -> None:
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    with open_file(made[0]) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    target = site.root / made[0].name.replace("packet-", "packet_now-packet-")
    with PacketWriter(target, swmr=True, daq_configs=archive_of(made[0])) as writer:
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


# -- with the real process, the real clock and the real file system ---------------------------------------------------


@pytest.mark.parametrize("watch", ["inotify", "poll"])
def test_files_that_come_in_every_way_at_once_are_counted_once(watch: str) -> None:
    """`larboard watch` over a directory that is filled in every way of `tests.soak.arrivals`, compared with a clean pass.

    "poll" is what it does on network mounts, whose changes by other hosts no event tells.
    """
    result = soak(0, seed=11, roles=["watch"], every_way=True, watch=watch, poll_s=0.5, plots=FEWEST)
    assert result.problems == []
    assert set(result.ways) == {way.__name__ for way in WAYS}


RSYNC = {
    "with temporary names": ["-a"],
    "in place": ["-a", "--inplace"],
    "in a directory of its own for parts": ["-a", "--partial-dir=.rsync-partial", "--delay-updates"],
    "appending": ["-a", "--append"],
}


@pytest.mark.parametrize("how", RSYNC)
def test_a_real_rsync_is_followed_while_it_copies(site: Site, once: dict, how: str) -> None:
    """The watch looks all the time while rsync copies slowly, then comes to rest."""
    assert shutil.which("rsync"), "no rsync: `make rsync` installs it"
    made = site.folder / "made"
    take(made, raw=False)
    command = ["rsync", "--bwlimit=400", *RSYNC[how], f"{made}/", f"{site.root}/"]
    with subprocess.Popen(command) as copying:
        while copying.poll() is None:
            site.settle(seconds=0.5, times=1)
    assert copying.returncode == 0
    site.settle(seconds=5, times=6)
    assert set(site.states().values()) == {"done"}
    assert site.bases("5") == once


@pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")
def test_deep_new_directories_are_found_by_their_first_hint(live: Site, once: dict) -> None:
    """Created and filled faster than watches can be set on them; the next whole search is a minute away."""
    paths = take(live.folder / "made", raw=False)
    for path in paths:
        deep = live.root.joinpath(path.stem[-6:], *"abcdefghij")
        deep.mkdir(parents=True)
        shutil.copy2(path, deep)
    until(lambda: sorted(live.states().values()) == ["done", "done"], 180)
    assert live.bases("5") == once


@pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")  # of watchdog, when directories come at once
def test_many_new_directories_are_found_by_their_hints(live: Site) -> None:
    (made,) = take(live.folder / "made", raw=False, subrun_s=4)
    for number in range(60):
        folder = live.root / f"d{number % 20}" / f"e{number}"
        folder.mkdir(parents=True)
        shutil.copy2(made, folder / f"packet-{number:07d}-2025_06_15_15_06_40_UTC.hdf5")
    until(lambda: len(live.states()) == 60 and set(live.states().values()) == {"done", "same"}, 180)


@pytest.mark.parametrize("hidden", [".rsync-partial", ".~tmp~", ".snapshot"])
def test_a_hidden_directory_holds_no_data_until_they_are_moved_out(site: Site, once: dict, hidden: str) -> None:
    parts = site.root / "today" / hidden / "deep"
    made = take(parts, raw=False)
    site.settle()
    assert site.states() == {}
    assert [site.watch.roots.look_at(str(path)) for path in made] == [None, None]
    for path in made:
        path.rename(site.root / path.name)
    site.settle()
    assert set(site.states().values()) == {"done"}
    assert site.bases("5") == once


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Site]:
    """A watch that runs by events and the real clock; it searches everything only at the start and after a minute."""
    site = Site(tmp_path, watch="inotify", settle_s=0.2)
    site.clock = time.time  # type: ignore[assignment]
    site.watch = site.new_watch()
    stop = threading.Event()
    runner = threading.Thread(target=site.watch.run, args=[stop])
    runner.start()
    try:
        wait_for(site, "ingest")
        yield site
    finally:
        stop.set()
        runner.join()


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [3600, 86400 * 400, -86400 * 400, -1.75e9], ids=["1 h", "400 d", "-400 d", "1970"])
def test_the_clock_of_the_writer_may_be_ahead_or_behind(site: Site, once: dict, ahead_s: float) -> None:
    """The time of a file is that of another host: it orders the queue, and decides nothing else."""
    paths = take(site.folder / "made", raw=False)
    for path in paths:
        shutil.copy2(path, site.root)
        age(site.root / path.name, max(site.clock.now + ahead_s, 0))
        site.settle()
    assert set(site.states().values()) == {"done"}
    assert site.bases("5") == once


def test_a_file_that_waits_is_looked_at_though_the_clock_was_set_back(site: Site, once: dict) -> None:
    """It waits for a moment of a time that will not come again for two hours."""
    paths = take(site.root, raw=False)
    for path in paths:
        age(path, site.clock.now)
    site.scan()
    assert set(site.states().values()) == {"waiting"}
    site.clock.now -= 7200
    for _ in range(4):
        site.clock.now += 2
        while site.watch.step():
            pass
    assert set(site.states().values()) == {"done"}
    assert site.bases("5") == once


def test_the_lead_is_taken_over_though_the_clock_was_set_back(site: Site) -> None:
    """On one host: the lease of a dead leader lies two hours in the future."""
    site.scan()
    other = site.new_watch()
    site.scan()
    site.clock.now -= 7200  # and the leader dies
    for _ in range(4):
        site.clock.now += 5
        other.step()
    assert other.leads


# -- a backlog --------------------------------------------------------------------------------------------------------


def test_a_backlog_is_worked_off_newest_first_and_what_comes_meanwhile_is_next(site: Site) -> None:
    backlog(site.root, 60)
    site.watch.step()
    while len(site.done()) < 20:
        site.watch.step()
    first = site.done()
    assert first == site.newest(len(first))
    (late,) = backlog(site.root, 1, first=60)
    site.watch.hints.add(str(late), closed=True)
    while late.name not in site.done():
        site.watch.step()
    assert len(site.done()) <= len(first) + 3
    site.clock.now += 20
    site.watch.step()
    leader = site.leader()
    assert leader.queue == 61 - len(site.done()) or leader.queue == 62 - len(site.done())
    assert leader.backlog_s is not None
    assert 0 < leader.backlog_s < 600
    site.settle()
    assert set(site.states().values()) == {"done"}
    assert len(site.states()) == 61
    assert site.leader().queue == 0


def test_a_run_knows_the_files_that_were_only_seen(site: Site) -> None:
    """Whose run stands in their names, though nobody has looked at them yet: it is not covered to 100 %."""
    paths = backlog(site.root, 20, run=5)
    site.watch.step()
    while not site.done():
        site.watch.step()
    run = site.run("5")
    assert (run.files, run.unread) == (len(site.done()), 20 - len(site.done()))
    site.settle()
    assert (site.run("5").files, site.run("5").unread) == (20, 0)
    late = backlog(site.root, 3, run=5, first=len(paths))
    for path in late:
        site.watch.hints.add(str(path))
    site.watch._absorb(site.watch.hints.take())
    assert (site.run("5").files, site.run("5").unread) == (20, 3)
    site.settle()
    assert (site.run("5").files, site.run("5").unread) == (23, 0)
