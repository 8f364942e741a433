"""Plots that come, change and fail while files are read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter
from dqm.records import ElementState
from dqm.store import plugins as store_plugins
from dqm.store import runs
from dqm.views.plot_list import edited_words
from tests.formats.archives import archive_of
from tests.ingest.watching import Site, age, take


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


def test_a_plug_in_that_was_changed_and_kept_its_version_says_so_until_it_has_a_new_one(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()

    def said() -> str:
        site.settle()
        with site.store.read() as tx:
            return next(edited_words(row) for row in store_plugins.listed(tx) if row.name == "Mine")

    (plugins / "mine.py").write_text(COUNTER)
    site = Site(tmp_path / "site", plugins=[plugins])
    take(site.root, raw=False)
    assert said() == ""
    before = site.bases("5")["Mine"]
    other = COUNTER.replace("len(packets)", "2 * len(packets)")
    (plugins / "mine.py").write_text(other)
    assert "its version stayed 1" in said()
    assert site.bases("5")["Mine"] == before
    site.watch = site.new_watch()
    assert "Raise `version`" in said()
    (plugins / "mine.py").write_text(other.replace("version = 1", "version = 2"))
    assert said() == ""
    assert site.bases("5")["Mine"] != before


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
    bases = []
    for name, order in (("a", [0, 1, 2, 3]), ("b", [3, 1, 0, 2]), ("c", [1, 3, 2, 0])):
        plugins = tmp_path / name / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "mine.py").write_text(FLOATS)
        site = Site(tmp_path / name, plugins=[plugins])
        paths = take(site.folder / "made", subrun_s=1, raw=False)
        for place in order:
            shutil.copy2(paths[place], site.root)
            site.settle()
        assert site.elements("5")["Mine"].state == "ok"
        bases.append(site.bases("5")["Mine"])
    assert len(set(bases)) == 1


FLOATS = COUNTER.replace(
    "np.array([len(packets)])", "np.array([(packets['timestamp'] ** p).sum() / 7 for p in (1.5, 2.0, 2.5, 3.0)])"
)


def with_sums_of_floats(folder: Path) -> tuple[Site, Path, np.ndarray, dict[str, Any]]:
    """A site with a plug-in that adds up floats, where a file is to be, its rows, and the states of one pass over it."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(FLOATS)
    once = Site(folder / "once", plugins=[plugins])
    (made,) = take(folder / "made", subrun_s=100, raw=False)
    with h5py.File(made, "r+") as file:
        del file["daq_configs"]  # the writers of the tests put none
    age(made)
    shutil.copy2(made, once.root)
    once.settle()
    with open_file(made) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    site = Site(folder / "grown", plugins=[plugins])
    return site, site.root / made.name, rows, once.bases("5")


@pytest.mark.parametrize("again", [False, True], ids=["closed once", "opened, appended and closed again"])
def test_floats_of_a_file_that_grew_are_those_of_one_pass_and_provisional_until_then(
    tmp_path: Path, again: bool
) -> None:
    site, target, rows, once = with_sums_of_floats(tmp_path)
    with PacketWriter(target, swmr=True) as writer:
        for first, last in ((0, 10), (10, 2000), (2000, 2001), (2001, len(rows) - 500)):
            writer.write(rows[first:last])
            site.settle(seconds=30, times=1)
            assert site.elements("5")["Mine"].provisional
            assert not site.elements("5")["PacketRate"].provisional
        if not again:
            writer.write(rows[-500:])
    site.settle()
    if again:
        assert site.file(target.name).state == "done"
        assert not site.elements("5")["Mine"].provisional
        with h5py.File(target, "r+") as file:
            file["packets"].resize((len(rows),))
            file["packets"][-500:] = rows[-500:]
        site.settle(times=6)
    assert site.file(target.name).rows_done == len(rows)
    assert site.file(target.name).state == "done"
    assert not site.elements("5")["Mine"].provisional
    assert site.bases("5") == once


def test_floats_of_a_file_that_is_appended_to_before_it_has_settled_are_those_of_one_pass(tmp_path: Path) -> None:
    site, target, rows, once = with_sums_of_floats(tmp_path)
    with PacketWriter(target) as writer:
        writer.write(rows[:3001])
    os.utime(target, (site.clock.now, site.clock.now))  # it was written this moment
    site.scan()
    site.watch.hints.add(str(target), True)  # its writer closed it: it is counted at once
    site.scan()
    assert site.file(target.name).rows_done == 3001
    assert site.file(target.name).state != "done"
    with h5py.File(target, "r+") as file:
        file["packets"].resize((len(rows),))
        file["packets"][3001:] = rows[3001:]
    os.utime(target, (site.clock.now, site.clock.now))
    site.settle(times=6)
    assert site.file(target.name).state == "done"
    assert site.bases("5") == once


@pytest.mark.parametrize("linked", [False, True], ids=["renamed", "linked, and the first name removed"])
def test_floats_of_a_file_that_is_renamed_when_all_of_it_was_seen_are_those_of_one_pass(
    tmp_path: Path, linked: bool
) -> None:
    site, target, rows, once = with_sums_of_floats(tmp_path)
    now = target.with_name(f"now-{target.name}")
    with PacketWriter(now, swmr=True) as writer:
        for first, last in ((0, 1000), (1000, len(rows))):
            writer.write(rows[first:last])
            site.settle(seconds=30, times=1)
        assert site.file(now.name).rows_done == len(rows)
        if linked:
            target.hardlink_to(now)
            site.settle(seconds=30, times=1)
            assert site.file(target.name).state == "same"
    if linked:
        now.unlink()
    else:
        now.rename(target)
    site.settle(times=6)
    assert (site.file(target.name).state, site.file(target.name).rows_done) == ("done", len(rows))
    assert site.bases("5") == once


def test_floats_of_a_file_that_is_never_closed_are_those_of_one_pass(tmp_path: Path) -> None:
    site, target, rows, once = with_sums_of_floats(tmp_path)
    with PacketWriter(target, swmr=True) as writer:
        for first, last in ((0, 10), (10, 2000), (2000, len(rows))):
            writer.write(rows[first:last])
            site.settle(seconds=30, times=1)
        site.settle(seconds=400, times=6)
        assert site.file(target.name).state == "partial"
        assert not site.elements("5")["Mine"].provisional
        assert site.bases("5") == once


def test_a_plug_in_that_comes_while_a_file_grows_changes_nothing_for_the_others(tmp_path: Path, once: dict) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    site = Site(tmp_path, plugins=[plugins])
    made = take(site.folder / "made", raw=False)
    shutil.copy2(made[1], site.root)
    with open_file(made[0]) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    with PacketWriter(site.root / made[0].name, swmr=True, daq_configs=archive_of(made[0])) as writer:
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


WILD = {
    "loops for ever": ("while True: pass", "Mine took more than 1 s for a block of"),
    "allocates without end": ("x = [bytes(1 << 20) for _ in iter(int, 1)]", "Mine used more than 128 MB of memory"),
    "prints without end": ("while True: print('x' * 65536)", "Mine printed more than 2 MB"),
}


@pytest.mark.parametrize("what", WILD)
def test_on_its_own_tile_stands_that_a_plug_in(what: str, tmp_path: Path, once: dict) -> None:
    body, sentence = WILD[what]
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    wild = f"\n\ndef wild(packets):\n    if len(packets):\n        {body}\n    return 0\n"
    (plugins / "mine.py").write_text(COUNTER.replace("len(packets)", "wild(packets)") + wild)
    site = Site(tmp_path, plugins=[plugins])
    limits = site.settings.plots
    limits.block_s = 1.0 if "loops" in what else 30.0
    limits.memory_mb, limits.output_mb = 128, 2
    site.watch = site.new_watch()
    take(site.root, raw=False)
    site.settle()
    found = site.elements("5")
    assert found["Mine"].state == "broken"
    assert sentence in found["Mine"].reason
    assert {found[name].state for name in found if name != "Mine"} == {"ok"}
    assert {name: base for name, base in site.bases("5").items() if name != "Mine"} == once


def test_what_a_plug_in_prints_is_no_fault(tmp_path: Path, once: dict) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(COUNTER.replace("len(packets)", "print('hello') or len(packets)"))
    site = Site(tmp_path, plugins=[plugins])
    take(site.root, raw=False)
    site.settle()
    mine = site.elements("5")["Mine"]
    assert (mine.state, mine.trends["n"].value) == ("ok", mine.rows)
    assert {name: base for name, base in site.bases("5").items() if name != "Mine"} == once


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
