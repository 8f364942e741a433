"""Files that were counted and are sent through all plots again, and then cannot be read, or are another's copy, or gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dqm.auth.roles import Actor
from dqm.demo import DemoRun
from dqm.records import DataFile
from dqm.store import parts, trends
from dqm.views import file_actions
from tests.ingest.test_leave_out import without_second
from tests.ingest.watching import Site, age, take

SHIFTER = Actor("sam", "shifter", ())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def counted(site: Site, closed: bool = False) -> tuple[Path, Path]:
    """The two files of a run, both counted; closed, the run keeps only its sums."""
    first, second = take(site.root, raw=False)
    if closed:
        later = DemoRun(seed=8, duration_s=4, start_unix=1_750_000_900).busier(0.1)
        take(site.root, later, number=6, subrun_s=4, raw=False)
    site.settle()
    if closed:
        site.clock.now += 10 * site.settings.ingest.close_run_s
        site.settle(times=6)
        assert site.run("5").closed
    return first, second


def destroy(path: Path) -> None:
    """It is no HDF5 any more, but it is as it was to a look at its directory."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"\0" * before.st_size)
    age(path, before.st_mtime)


def points(site: Site, file: DataFile) -> int:
    """How many points of trends a file has."""
    with site.store.read() as tx:
        return sum(
            file.id == point.file_id for name in trends.names(tx) for point in trends.points(tx, name.id, 0, 1e12)
        )


def in_run(site: Site) -> tuple[int, int]:
    run = site.run("5")
    return run.files, run.packets


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_file_that_turns_out_unreadable_when_it_is_read_again_leaves_its_run(
    site: Site, tmp_path: Path, closed: bool
) -> None:
    alone = without_second(tmp_path / "alone")
    _, second = counted(site, closed)
    file = site.file(second.name)
    both = in_run(site)
    assert points(site, file)
    assert file_actions.retry(site.store, SHIFTER, file.id)
    destroy(second)
    site.settle(times=8)
    file = site.file(second.name)
    assert (file.state, file.counted) == ("quarantined", False)
    assert site.bases("5") == alone
    assert in_run(site)[0] == both[0] - 1
    assert in_run(site)[1] < both[1]
    assert not points(site, file)


def test_a_file_that_is_deleted_before_it_is_read_again_stays_counted(site: Site) -> None:
    _, second = counted(site)
    before, was = site.bases("5"), in_run(site)
    file = site.file(second.name)
    many = points(site, file)
    file_actions.retry(site.store, SHIFTER, file.id)
    second.unlink()
    site.settle(times=8)
    file = site.file(second.name)
    assert (file.state, file.counted, file.reason) == ("gone", True, "is no longer there; what was counted of it stays")
    assert (site.bases("5"), in_run(site), points(site, file)) == (before, was, many)


def test_a_file_of_a_closed_run_that_is_deleted_before_it_is_read_again_stays_counted(site: Site) -> None:
    _, second = counted(site, closed=True)
    before, was = site.bases("5"), in_run(site)
    file_actions.retry(site.store, SHIFTER, site.file(second.name).id)
    second.unlink()
    site.settle(times=8)
    file = site.file(second.name)
    assert (file.state, file.counted) == ("gone", True)
    assert (site.bases("5"), in_run(site)) == (before, was)


@pytest.mark.parametrize(("state", "act"), [
    ("quarantined", lambda site, path: destroy(path)),
    ("ignored", lambda site, path: file_actions.ignore(site.store, Actor("eva", "expert"), site.file(path.name).id)),
])  # fmt: skip
def test_a_file_that_is_to_be_read_again_and_is_lost_gives_way_to_its_copy(
    site: Site, state: str, act: Callable[[Site, Path], None]
) -> None:
    _, second = counted(site)
    before, was = site.bases("5"), in_run(site)
    copy = shutil.copy2(second, site.root / f"copy-{second.name}")
    site.settle()
    file = site.file(second.name)
    assert site.file(copy.name).state == "same"
    file_actions.retry(site.store, SHIFTER, file.id)
    act(site, second)
    site.settle(times=8)
    assert (site.file(second.name).state, site.file(copy.name).state) == (state, "done")
    assert (site.bases("5"), in_run(site)) == (before, was)
    with site.store.read() as tx:
        assert not parts.of_file(tx, file.id)
