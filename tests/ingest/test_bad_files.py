"""Bad files in the ledger: each with a state and a reason, none in the way of the others."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest

from dqm.formats.writers import PacketWriter
from dqm.store import runs
from tests.conftest import packets_of, some_packets
from tests.formats.test_bad_files import UNREADABLE
from tests.ingest.watching import Site, age, take


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_every_kind_of_unreadable_file_gets_its_state_and_reason_and_the_good_ones_are_counted(site: Site) -> None:
    made = {}
    for number, (case, (make, reason)) in enumerate(UNREADABLE.items()):
        folder = site.root / str(number)
        folder.mkdir()
        path = folder / f"bad{number}.h5"
        make(path)
        made[path.name] = (case, reason)
        if path.exists() and stat.S_ISREG(path.lstat().st_mode):
            age(path)
    take(site.root / "good", raw=False)
    site.settle(times=6)
    states = site.states()
    for name, (case, reason) in made.items():
        path = next(site.root.rglob(name), None)
        if path is None or not stat.S_ISREG(path.lstat().st_mode):
            assert name not in states, case  # a pipe, a directory, a broken link: no data file, and nothing opens it
            continue
        assert states[name] == "quarantined", (case, states[name])
        assert re.search(reason, site.file(name).reason), case
    with site.store.read() as tx:
        run = runs.get(tx, "5")
    assert run is not None
    assert run.files == 2
    assert [state for name, state in states.items() if name.startswith("packet-")] == ["done", "done"]


def test_a_damaged_chunk_makes_the_file_partial_and_the_rest_is_counted(site: Site) -> None:
    path = site.root / "packet-0000005-2025_06_15_15_06_40_UTC.h5"
    with PacketWriter(path, compression="gzip", chunk_rows=500) as writer:
        writer.write(some_packets(5000))
        place = writer._packets.id.get_chunk_info(3)
    with path.open("r+b") as file:
        file.seek(place.byte_offset + 20)
        file.write(b"\xff" * 40)
    age(path)
    site.settle()
    file = site.file(path.name)
    assert file.state == "partial"
    assert "rows 1,500 to 1,999 cannot be read" in file.reason
    assert file.rows_done == 4500
    with site.store.read() as tx:
        run = runs.get(tx, "5")
    assert run is not None
    assert (run.packets, run.unread) == (4500, 1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (packets_of(0), "no packets in it"),
        (packets_of(100, valid_parity=1), "no timestamp packets (type 4)"),
        (packets_of(200, io_group=99, valid_parity=1), "fit none of the known geometries"),
    ],
    ids=["no rows", "no time", "no geometry"],
)
def test_odd_content_is_counted_as_far_as_it_goes_and_said(site: Site, rows, words: str) -> None:
    path = site.root / "packet-0000005-2025_06_15_15_06_40_UTC.h5"
    with PacketWriter(path) as writer:
        writer.write(rows)
    age(path)
    site.settle()
    file = site.file(path.name)
    assert file.state == "done"
    assert words in file.reason
    assert file.rows_done == len(rows)


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>.h5", "ünïcode ☃.h5", "a'b\"c;--.h5", "%2e%2e.h5", " .h5"]
)
def test_nasty_names_are_names(site: Site, name: str) -> None:
    (path,) = take(site.folder / "made", subrun_s=4, raw=False)
    shutil.copy2(path, site.root / name)
    site.settle()
    assert site.states() == {name: "done"}


def test_a_name_that_is_not_utf8_does_not_stop_the_watch(site: Site) -> None:
    (path,) = take(site.folder / "made", subrun_s=4, raw=False)
    (site.root / "good").mkdir()
    shutil.copy2(path, bytes(site.root) + b"/\xff\xfe.h5")
    (other,) = take(site.root / "good", number=6, subrun_s=4, raw=False)
    site.settle()
    assert site.states() == {other.name: "done"}
    assert site.watch.problems == [
        f"{site.root}/\\xff\\xfe.h5 has a name that is not UTF-8, so it is not read: rename it"
    ]


def test_an_error_that_nobody_thought_of_puts_the_file_in_quarantine(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths = take(site.root, raw=False)

    def failing(reader: object) -> str:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("dqm.ingest.work.head_of", failing)
    site.settle()
    assert set(site.states().values()) == {"quarantined"}
    assert site.file(paths[0].name).reason == "cannot be read: ZeroDivisionError: of all things"
