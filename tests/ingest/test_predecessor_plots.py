"""Plots of larpix-monitor over files that come and grow: live without a restart, new packets only, each tile by itself."""

from __future__ import annotations

import base64
import itertools
import json
import pickle
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter
from dqm.records import ElementState
from dqm.store import parts, runs
from dqm.views.export import figure_json
from plots.base import MEMORY, load_figure
from plots.isolation import proxy
from tests.ingest.watching import Site, take

PLUGIN = """
import collections
import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

class LookLog(object):
    def __init__(self):
        self.files = collections.defaultdict(lambda: 0)
    def __call__(self, filename, fh, fig=None):
        self.files[filename] += 1
        if fig is None:
            fig = make_subplots(rows=2, cols=1)
            fig.add_scatter(x=[], y=[], row=1, col=1)
        fig.layout.title = f"{filename} {fh['_header'].attrs['version']}"
        line = fig.data[0]
        line.x, line.y = [*line.x, self.files[filename]], [*line.y, len(fh['packets'])]
        fig.add_scatter(y=[int(fh['packets']['timestamp'][0])], row=2, col=1)
        return fig

class ChipBars(object):
    def __call__(self, filename, fh, fig=None):
        if fig is None:
            fig, axes = plt.subplots()
            axes.plot([], [])
        line = fig.get_axes()[0].get_lines()[0]
        xy = np.append(line.get_xydata(), [[len(line.get_xdata()), len(fh['packets'])]], axis=0)
        line.set_xdata(xy[:, 0])
        line.set_ydata(xy[:, 1])
        fig.get_axes()[0].set_title(str(xy.tolist()))
        return fig

def make(number):
    class PixelMap(object):
        def __call__(self, filename, fh, fig=None):
            return go.Figure(go.Bar(y=[self.number, np.count_nonzero(fh['packets']['io_group'] == self.number)]))
    PixelMap.number = number
    return PixelMap

PixelMapTile1 = make(1)
"""
LOOKS = 12
"""A growing file in which a look found nothing new is looked at later each time."""
NAMES = {"LookLog", "ChipBars", "PixelMapTile1"}


@pytest.fixture
def growing(tmp_path: Path) -> tuple[Site, Path, np.ndarray]:
    """A site with the plug-in, where a file is to be, and its rows."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    site = Site(tmp_path, plugins=[plugins])
    (made,) = take(site.folder / "made", subrun_s=100, raw=False)
    with open_file(made) as source:
        rows = source._file["packets"][:].astype(PACKET_DTYPE)
    (plugins / "theirs.py").write_text(PLUGIN)
    return site, site.root / made.name, rows


def look_until(site: Site, rows: int) -> None:
    """Lets time pass until all rows that are written have been counted: a look may come too early for the last of them."""
    for _ in range(LOOKS):
        site.settle(seconds=30, times=1)
        if sum(sizes(site)) == rows:
            return
    raise AssertionError(f"{sizes(site)} of {rows} rows were counted")


def finish(site: Site, target: Path) -> None:
    """Lets time pass until a file that was closed is done."""
    for _ in range(LOOKS):
        site.settle(seconds=30, times=1)
        if site.file(target.name).state == "done":
            return
    raise AssertionError(f"{site.file(target.name)} is not done")


def end_processes() -> None:
    """Ends every process of a plug-in, between two calls."""
    for plugin in list(proxy._plugins):
        with plugin._lock:
            plugin._lose()


def kept(site: Site, plot: str) -> dict[str, Any]:
    """The figure of the newest file, as it is kept."""
    with site.store.read() as tx:
        run = runs.get(tx, "5")
        assert run
        part = parts.last_of_run(tx, run.id, plot)
    assert part
    assert part.base
    return orjson.loads(site.store.states.get(part.base))


def shown(site: Site, plot: str) -> dict[str, Any]:
    return json.loads(figure_json(load_figure(kept(site, plot))))


def sizes(site: Site) -> list[int]:
    return list(load_figure(shown(site, "LookLog")).data[0].y)


def test_they_are_live_without_a_restart_and_see_the_files_that_are_there(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    site = Site(tmp_path, plugins=[plugins])
    paths = take(site.root, packets=False)
    site.settle()
    (plugins / "theirs.py").write_text(PLUGIN)
    site.settle()
    found = site.elements("5")
    assert found.keys() >= NAMES
    assert {found[name].state for name in NAMES} == {ElementState.OK}
    with open_file(paths[-1]) as reader:
        rows = sum(len(block) for block in reader.blocks())
    assert sizes(site) == [rows], "a raw file gives the packets that are in it, at once"
    svg = base64.b64decode(shown(site, "ChipBars")["layout"]["images"][0]["source"].partition(",")[2])
    assert svg.startswith(b"<svg ")
    assert load_figure(shown(site, "PixelMapTile1")).data[0].y[0] == 1


def test_each_look_at_a_growing_file_gives_new_packets_and_the_last_figure(
    growing: tuple[Site, Path, np.ndarray],
) -> None:
    site, target, rows = growing
    cuts = [0, 1000, 1600, 2700, len(rows)]
    with PacketWriter(target, swmr=True) as writer:
        for first, last in itertools.pairwise(cuts):
            writer.write(rows[first:last])
            end_processes()  # each look is by another one
            look_until(site, last)
    finish(site, target)
    assert sizes(site) == np.diff(cuts).tolist()
    log = load_figure(shown(site, "LookLog"))
    assert list(log.data[0].x) == [1, 2, 3, 4], "its object goes on, too"
    assert [line.y[0] for line in log.data[1:]] == rows["timestamp"][cuts[:-1]].tolist()
    assert log.layout.title.text == f"{target} 2.4"
    assert MEMORY not in (log.layout.meta or {})


def test_after_a_restart_of_the_ingest_a_file_is_begun_anew_for_them_alone(
    growing: tuple[Site, Path, np.ndarray],
) -> None:
    site, target, rows = growing
    with PacketWriter(target, swmr=True) as writer:
        writer.write(rows[:2000])
        site.settle(seconds=30, times=1)
        site.watch = site.new_watch()
        writer.write(rows[2000:])
        look_until(site, len(rows))
        assert sizes(site) == [len(rows)]
    finish(site, target)
    assert sum(sizes(site)) == len(rows) == site.elements("5")["PacketRate"].rows


def test_what_somebody_else_wrote_into_the_store_is_never_given_to_them(
    growing: tuple[Site, Path, np.ndarray], tmp_path: Path
) -> None:
    """The memory of such a plot is a pickle: who can write into the store must not run code where files are read."""
    site, target, rows = growing
    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (mark,))

    with PacketWriter(target, swmr=True) as writer:
        writer.write(rows[:2000])
        site.settle(seconds=30, times=1)
        forged = kept(site, "LookLog")
        forged["layout"]["meta"] = {
            MEMORY: {"pickle": base64.b64encode(zlib.compress(pickle.dumps(({"x": Evil()}, None)))).decode()}
        }
        address = site.store.states.put(orjson.dumps(forged))
        with site.store.begin() as tx:
            run = runs.get(tx, "5")
            assert run
            part = parts.last_of_run(tx, run.id, "LookLog")
            assert part
            parts.save(tx, replace(part, base=address))
        writer.write(rows[2000:])
        site.settle(seconds=30, times=2)
    finish(site, target)
    assert sizes(site) == [len(rows)]
    assert not mark.exists()


def test_one_that_keeps_what_cannot_be_saved_sees_a_growing_file_anew_at_each_look(
    growing: tuple[Site, Path, np.ndarray],
) -> None:
    site, target, rows = growing
    plugin = site.folder / "plugins" / "theirs.py"
    plugin.write_text(
        PLUGIN.replace("self.files[filename] += 1", "self.files[filename] += 1; self.rows = (n for n in ())")
    )
    with PacketWriter(target, swmr=True) as writer:
        for first, last in ((0, 1000), (1000, 2000), (2000, len(rows))):
            writer.write(rows[first:last])
            look_until(site, last)
            assert sizes(site) == [last]
    finish(site, target)
    assert site.elements("5")["LookLog"].state == "ok"


FAULTS = {
    "raises": ("raise ValueError('no such tile')", "ValueError: no such tile"),
    "hangs": ("import time; time.sleep(600)", "LookLog took more than 1 s to take its packets and draw"),
    "allocates without end": ("x = [bytes(1 << 20) for _ in iter(int, 1)]", "LookLog used more than 256 MB of memory"),
    "prints without end": ("[print('x' * 65536) for _ in iter(int, 1)]", "LookLog printed more than 2 MB"),
    "gives None": ("return None", "NoFigure: returned None, expected a matplotlib or Plotly figure"),
    "leaves figures open": ("[plt.figure() for _ in range(50)]; return go.Figure()", "left 50 figures open"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_on_its_own_tile_and_goes_when_it_is_mended(fault: str, tmp_path: Path, once: dict) -> None:
    body, sentence = FAULTS[fault]
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    first, last = PLUGIN.split("class ChipBars")
    (plugins / "bad.py").write_text(first.replace("self.files[filename] += 1", body))
    (plugins / "good.py").write_text(f"{first.partition('class LookLog')[0]}class ChipBars{last}")
    site = Site(tmp_path, plugins=[plugins])
    site.settings.plots.block_s = 1.0 if fault == "hangs" else 30.0
    if "without end" in fault:
        site.settings.plots.memory_mb, site.settings.plots.output_mb = 256, 2
    site.watch = site.new_watch()
    shutil.copytree(take(site.folder / "made", raw=False)[0].parent, site.root, dirs_exist_ok=True)
    site.settle()
    found = site.elements("5")
    assert found["LookLog"].state == "broken"
    assert sentence in found["LookLog"].reason
    assert {found[name].state for name in found if name != "LookLog"} == {ElementState.OK}
    assert {name: base for name, base in site.bases("5").items() if name not in NAMES} == once
    (plugins / "bad.py").write_text(first)
    site.settle()
    assert site.elements("5")["LookLog"].state == "ok"
