"""Files that people ignore: nothing of them is counted, until somebody releases them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dqm.auth.roles import Actor, NotAllowed
from dqm.demo import DemoRun
from dqm.formats.writers import PacketWriter
from dqm.store import audit, runs
from dqm.views import file_actions
from dqm.views.queries import NotNow
from tests.conftest import some_packets
from tests.ingest.watching import Site, age, take

EXPERT = Actor("eva", "expert")
SHIFTER = Actor("sam", "shifter", ())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def without_second(folder: Path) -> dict[str, str | None]:
    """The merged states of the run when the second file was never there."""
    other = Site(folder)
    _, second = take(other.root, raw=False)
    second.unlink()
    other.settle()
    return other.bases("5")


def test_an_ignored_file_is_taken_out_of_its_run_and_released_it_is_counted_again(site: Site, tmp_path: Path) -> None:
    alone = without_second(tmp_path / "alone")
    _, second = take(site.root, raw=False)
    site.settle()
    both = site.bases("5")
    file = site.file(second.name)
    assert file_actions.ignore(site.store, EXPERT, file.id, "noisy supply")
    assert site.bases("5") == both, "the web changes nothing of a run; the leader does"
    site.scan()
    ignored = site.file(second.name)
    assert (ignored.state, ignored.counted, ignored.rows_done) == ("ignored", False, 0)
    assert ignored.reason == "ignored by eva: noisy supply"
    assert site.bases("5") == alone
    assert file_actions.release(site.store, EXPERT, file.id)
    site.settle()
    assert site.file(second.name).state == "done"
    assert site.bases("5") == both
    with site.store.read() as tx:
        notes = [
            (note["action"], note["actor"], note["after"].get("reason")) for note in audit.of(tx, f"file {file.id}")
        ]
        run = runs.get(tx, "5")
    assert notes == [("released", "eva", None), ("ignored", "eva", "noisy supply")]
    assert run is not None
    assert run.files == 2


def test_a_file_stays_ignored_when_it_is_touched_and_says_so_when_its_content_changes(site: Site) -> None:
    _, second = take(site.root, raw=False)
    site.settle()
    file_actions.ignore(site.store, EXPERT, site.file(second.name).id)
    site.settle()
    os.utime(second)
    site.settle()
    assert (site.file(second.name).state, site.file(second.name).reason) == ("ignored", "ignored by eva")
    with PacketWriter(second) as writer:
        writer.write(some_packets(500, seed=9))
    age(second)
    site.settle()
    file = site.file(second.name)
    assert (file.state, file.reason) == ("ignored", "ignored by eva; its content has changed since")
    site.watch = site.new_watch()
    site.settle()
    assert site.file(second.name).state == "ignored"


def test_a_file_in_quarantine_can_be_read_again_ignored_and_released(site: Site) -> None:
    path = site.root / "bad.h5"
    path.write_bytes(b"no HDF5")
    age(path)
    site.settle()
    file = site.file(path.name)
    assert file.state == "quarantined"
    assert file_actions.retry(site.store, SHIFTER, file.id)
    site.settle()
    assert site.file(path.name).state == "quarantined"
    file_actions.ignore(site.store, EXPERT, file.id, "a test")
    site.settle()
    assert site.file(path.name).state == "ignored"
    with pytest.raises(NotNow, match="It is ignored: release it"):
        file_actions.retry(site.store, SHIFTER, file.id)
    with pytest.raises(NotNow, match="ignored already"):
        file_actions.ignore(site.store, EXPERT, file.id)
    (good,) = take(site.folder / "made", subrun_s=4, raw=False)
    shutil.copy2(good, path)
    file_actions.release(site.store, EXPERT, file.id)
    site.settle()
    assert site.file(path.name).state == "done"
    with pytest.raises(NotNow, match="neither ignored by anybody nor in quarantine"):
        file_actions.release(site.store, EXPERT, file.id)


def test_only_experts_ignore_and_release_and_shifters_may_read_again(site: Site) -> None:
    take(site.root, subrun_s=4, raw=False)
    site.settle()
    for act in (file_actions.ignore, file_actions.release):
        with pytest.raises(NotAllowed):
            act(site.store, SHIFTER, 1)
    with pytest.raises(NotAllowed):
        file_actions.retry(site.store, Actor("guest", "viewer", ()), 1)
    assert file_actions.ignore(site.store, EXPERT, 999) is None


def test_when_a_file_is_ignored_another_form_of_its_datum_is_counted_in_its_place(site: Site) -> None:
    raw, packets = take(site.root, subrun_s=4)
    site.settle(times=6)
    assert (site.file(raw.name).state, site.file(packets.name).state) == ("same", "done")
    file_actions.ignore(site.store, EXPERT, site.file(packets.name).id)
    site.settle(times=6)
    assert (site.file(raw.name).state, site.file(packets.name).state) == ("done", "ignored")
    file_actions.release(site.store, EXPERT, site.file(packets.name).id)
    site.settle(times=6)
    assert (site.file(raw.name).state, site.file(packets.name).state) == ("same", "done")


def test_a_file_of_a_closed_run_is_ignored_by_counting_the_others_anew(site: Site, tmp_path: Path) -> None:
    alone = without_second(tmp_path / "alone")
    _, second = take(site.root, raw=False)
    later = DemoRun(seed=8, duration_s=4, start_unix=1_750_000_900).busier(0.1)
    take(site.root, later, number=6, subrun_s=4, raw=False)
    site.settle()
    site.clock.now += 10 * site.settings.ingest.close_run_s
    site.settle(times=6)
    with site.store.read() as tx:
        run = runs.get(tx, "5")
    assert run is not None
    assert run.closed
    file_actions.ignore(site.store, EXPERT, site.file(second.name).id)
    site.settle(times=8)
    assert site.file(second.name).state == "ignored"
    assert site.bases("5") == alone
