"""A file that grows: each update writes what it added and no more, and nothing at hand is believed over the database."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dqm.formats.writers import PacketWriter
from dqm.ingest.drafts import MAX_DELTAS
from dqm.ingest.merging import Merger
from dqm.ingest.slices import JOINED
from dqm.records import Part
from dqm.store import elements as store_elements
from dqm.store import parts, slices
from dqm.store.states import ORPHAN_AGE_S, FileStates
from plots.base import MergeablePlot
from tests.ingest.test_window import rows_of
from tests.ingest.watching import Site, take


class Growth:
    """A file of a run, and the DAQ that writes it portion by portion."""

    def __init__(self, site: Site, portions: int):
        (self.made,) = take(site.folder / "made", subrun_s=100, raw=False)
        self.site = site
        self.portions = np.array_split(rows_of(self.made), portions)
        self.at = 0
        self.writer = PacketWriter(site.root / self.made.name, swmr=True)

    def updates(self, count: int = 1) -> None:
        for _ in range(count):
            self.writer.write(self.portions[self.at])
            self.at += 1
            self.site.settle(seconds=60, times=1)  # it rests for some times as long as the last look took

    def close(self) -> None:
        self.writer.close()
        self.site.settle()

    @property
    def rows(self) -> int:
        return sum(map(len, self.portions[: self.at]))

    def parts(self) -> dict[str, Part]:
        with self.site.store.read() as tx:
            return parts.of_file(tx, self.site.file(self.made.name).id)


@contextmanager
def growth(site: Site, portions: int) -> Iterator[Growth]:
    grown = Growth(site, portions)
    with grown.writer:
        yield grown


def is_one_pass(grown: Growth) -> bool:
    """Whether the run is to the last bit what one pass over the file gives."""
    clean = Site(grown.site.folder / "clean")
    shutil.copy2(grown.site.root / grown.made.name, clean.root)
    clean.settle()
    return clean.bases("5") == grown.site.bases("5")


def state_files(site: Site) -> set[str]:
    return {path.name for path in (site.folder / "states").glob("??/*")}


def test_an_update_writes_one_file_for_all_plots_and_reads_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    with growth(site, 5) as grown:
        grown.updates()
        get = FileStates.get
        monkeypatch.setattr(FileStates, "get", lambda self, address: read.append(address) or get(self, address))
        for _ in range(3):
            before = state_files(site)
            grown.updates()
            assert len(state_files(site) - before) == 1
        assert read == []
        deltas = {part.deltas for part in grown.parts().values() if part.base}
        assert len(deltas) == 1  # each plot finds what it added in the same file
        assert len(deltas.pop()) == 3


def test_a_file_in_many_updates_is_one_pass_to_the_last_bit_and_its_states_stay_few(site: Site) -> None:
    with growth(site, MAX_DELTAS + 3) as grown:
        for _ in range(MAX_DELTAS + 2):
            grown.updates()
            assert max(len(part.deltas) for part in grown.parts().values()) <= MAX_DELTAS
        assert {len(part.deltas) for part in grown.parts().values() if part.base} == {0}  # written whole just now
        shown = {name: element.rows for name, element in site.elements("5").items() if element.state == "ok"}
        assert {*shown.values()} == {grown.rows}
        with site.store.read() as tx:
            assert 0 < len(slices.addresses(tx)) <= JOINED
        grown.updates()
        grown.close()
        assert is_one_pass(grown)


def test_what_is_at_hand_is_what_the_database_names(site: Site) -> None:
    with growth(site, 4) as grown:
        grown.updates(3)
        held = site.watch.taker.commits.open
        file, have = site.file(grown.made.name), grown.parts()
        detector = site.watch.taker.commits.known_detector(None, have["PixelMap"].geometry)
        checked = 0
        for name, part in have.items():
            state = held.take(file.id, part)
            if state is not None:
                plot = site.watch.shelf.registry.plots[name].plot()
                assert isinstance(plot, MergeablePlot)
                assert Merger(site.store).of_part(plot, part, detector).to_bytes() == state.to_bytes(), name
                checked += 1
        assert checked >= 5


def test_states_at_hand_are_dropped_when_another_ingest_went_on_with_the_file(site: Site) -> None:
    with growth(site, 6) as grown:
        grown.updates(2)
        first, site.watch = site.watch, site.new_watch()
        grown.updates(2)
        site.watch, site.clock.now = first, site.clock.now + 60  # the other one is gone, this one leads again
        grown.updates(2)
        assert site.file(grown.made.name).rows_done == grown.rows
        grown.close()
        assert is_one_pass(grown)


@pytest.mark.parametrize("at_hand", [True, False])
def test_a_crash_between_the_states_and_the_commit_changes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, at_hand: bool
) -> None:
    class Killed(BaseException):
        pass

    def killed(tx: Any, some: Any) -> None:
        raise Killed

    with growth(site, 4) as grown:
        grown.updates(2)
        before, named = state_files(site), grown.parts()
        with monkeypatch.context() as patch:
            patch.setattr(store_elements, "save_all", killed)
            with pytest.raises(Killed):
                grown.updates()
        assert grown.parts() == named
        (orphan,) = state_files(site) - before  # whole, and nobody names it
        if not at_hand:
            site.watch = site.new_watch()
        site.watch.flights.drop_all()
        grown.updates()
        assert site.file(grown.made.name).rows_done == grown.rows
        assert {len(part.deltas) for part in grown.parts().values() if part.base} == {2}
        with site.store.read() as tx:
            site.store.states.collect(parts.addresses(tx), time.time() + ORPHAN_AGE_S + 10)
        assert orphan not in state_files(site)
        grown.close()
        assert is_one_pass(grown)


@pytest.mark.parametrize("at_hand", [True, False])
def test_a_state_that_vanished_is_noticed_though_it_is_at_hand(site: Site, at_hand: bool) -> None:
    with growth(site, 4) as grown:
        grown.updates(3)
        (pack,) = {part.deltas[-1] for part in grown.parts().values() if part.base}
        (site.folder / "states" / pack[:2] / f"{pack[2:]}.npz").unlink()
        if not at_hand:
            site.watch = site.new_watch()
        grown.updates()
        assert f"the state {pack}, which was counted before, is not in the store" in site.file(grown.made.name).reason


def test_of_states_that_are_written_together_none_is_there_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, replaced, rename = FileStates(tmp_path), [], os.replace

    def replace(part: Any, path: Any) -> None:
        if len(replaced) == 2:
            raise OSError("No space left on device")
        replaced.append(path)
        rename(part, path)

    contents = [bytes([number]) * 5000 for number in range(5)]
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space"):
        states.write_all(contents)
    monkeypatch.undo()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 2  # no parts are left, and what has its name is whole
    assert all(path.read_bytes() in contents for path in left)
    assert [states.get(address) for address in states.put_all([*contents, contents[0]])] == [*contents, contents[0]]


def test_everything_is_synced_before_anything_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("sync") or sync(handle))
    monkeypatch.setattr(os, "replace", lambda part, path: done.append("name") or replace(part, path))
    addresses = FileStates(tmp_path).put_all([b"a", b"b", b"c"])
    directories = len({address[:2] for address in addresses})
    assert done == ["sync"] * 3 + ["name"] * 3 + ["sync"] * directories


def test_contents_may_be_any_collection(tmp_path: Path) -> None:
    contents: Collection[bytes] = {"x": b"1", "y": b"2"}.values()
    states = FileStates(tmp_path)
    assert [states.get(address) for address in states.put_all(contents)] == [b"1", b"2"]
