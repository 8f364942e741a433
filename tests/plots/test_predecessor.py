"""Plots of larpix-monitor run as they are: found by their form, given a file of new packets and their last figure."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from dqm.demo import demo_rows
from dqm.formats.beside import Beside
from dqm.formats.packets import Packets, cut
from dqm.views.export import figure_json
from plots import contract
from plots.base import MEMORY, Plot, PluginError, Stopped, load_figure
from plots.discovery import Registry, discover, load_file
from plots.isolation import predecessor
from plots.isolation.limits import Limits
from plots.isolation.predecessor import adapted

SMALL = Limits(block_s=4.0, start_s=60.0, memory_mb=256, output_mb=2, rest_s=0.0)

MODULE = """
import collections, time
import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from plots.base import MergeablePlot, Plot
from plots.base import Plot as Imported
from {helper} import Elsewhere, make_elsewhere

class ChipPlot(object):
    '''Packets of each chip.

    A second line.
    '''
    def __call__(self, filename, fh, fig=None):
        if fig is not None:
            plt.figure(fig.number)
            plt.close()
        fig = plt.figure(figsize=(6, 4))
        chips = fh['packets'][fh['packets']['packet_type'] == 0]['chip_id']
        plt.bar(*np.unique(chips, return_counts=True))
        plt.xlabel('chip')
        return fig

class Log:
    title = "A log"
    calls = 0
    def __call__(self, filename, fh, fig=None):
        self.calls += 1
        if fig is None:
            fig = go.Figure(go.Scatter(x=[], y=[], text=[]))
        fig.data[0].x = [*fig.data[0].x, self.calls]
        fig.data[0].y = [*fig.data[0].y, len(fh['packets'])]
        fig.data[0].text = [*fig.data[0].text, filename]
        return fig

def make(number):
    class TileMap(object):
        def __init__(self):
            self.seen = collections.defaultdict(lambda: collections.defaultdict(int))
        def __call__(self, filename, fh, fig=None):
            if fig is None:
                fig, axes = plt.subplots(num='map')
                axes.plot([], [])
            self.seen[filename]['packets'] += len(fh['packets'])
            line = fig.get_axes()[0].get_lines()[0]
            line.set_xdata(np.append(line.get_xdata(), self.number))
            line.set_ydata(np.append(line.get_ydata(), self.seen[filename]['packets']))
            fig.get_axes()[0].set_title(str([*line.get_xdata(), *line.get_ydata()]))
            return fig
    TileMap.number = number
    return TileMap

TileMap1 = make(1)
for number in (2, 3):
    globals()[f'TileMap_{{number}}'] = make(number)
FromElsewhere = make_elsewhere()

class Arrays(object):
    def __call__(self, filename, fh, fig=None):
        chips = np.bincount(fh['packets']['chip_id'], minlength=256)
        if fig is None:
            self.mine = go.Figure(go.Heatmap(z=np.zeros((16, 16))))
            return go.Figure(go.Bar(y=chips))
        self.mine.data[0].z = self.mine.data[0].z + chips.reshape(16, 16)
        fig.data[0].y = fig.data[0].y + chips
        return fig

class Base(object):
    def __call__(self, filename, fh, fig=None):
        return go.Figure(go.Bar(y=[self.factor * len(fh['packets'])]))
class Once(Base):
    factor = 1
class FIFOTwice(Base):
    factor = 2

class Gauss:
    def __call__(self, x, mean, sigma): ...
class Worker:
    def __call__(self, name): ...
class _Helper(Log): ...

class OfToday(Plot):
    title = "of today"
    def __call__(self, packets, fig): ...
class Merges(MergeablePlot):
    title = "merges"
    def count(self, packets): return {{"n": np.array([len(packets)])}}
    def draw(self, state, fig): ...
class Dressed(Plot):
    title = "of today by its base, of the predecessor by its call"
    def __call__(self, filename, fh, fig=None): return go.Figure()
class Asks:
    def __init__(self, tile): ...
    def __call__(self, filename, fh, fig=None): ...
"""

HELPER = """
class Elsewhere(object):
    def __call__(self, filename, fh, fig=None): ...
def make_elsewhere():
    class Made(object):
        def __call__(self, filename, fh, fig=None): ...
    return Made
"""

ONE = """
import os, sys, time, threading, io
import numpy as np
import matplotlib.pyplot as plt
import plotly.graph_objects as go
class Mine(object):
    def __call__(self, filename, fh, fig=None):
        {0}
class Other(object):
    def __call__(self, filename, fh, fig=None):
        return go.Figure(go.Bar(y=[len(fh['packets'])]))
"""


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return demo_rows()[:3000]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "_helper_of_the_test.py").write_text(HELPER)
    path = folder / "mine.py"
    text = MODULE.format(helper="_helper_of_the_test")
    path.write_text(f"import sys\nsys.path.insert(0, {str(folder)!r})\n{text}")
    return load_file(path)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Plot]:
    """The plot of a file with this body of its call."""

    def make(body: str, limits: Limits = SMALL, text: str = ONE) -> Plot:
        path = tmp_path / "mine.py"
        path.write_text(text.replace("{0}", body.replace("\n", "\n        ")))
        found = load_file(path, limits)
        assert not found.broken, found.broken
        return found.plots["Mine"].plot()

    return make


def look(plot: Plot, packets: Packets, fig: Any = None) -> Any:
    """The figure after packets, as somebody sees it."""
    fig = plot(packets, plot.new_figure() if fig is None else fig)
    len(fig.data)
    return fig


def saved(fig: Any) -> go.Figure:
    return load_figure(json.loads(fig.to_json(engine="orjson")))


def picture(fig: Any) -> str:
    """The SVG in a figure, as it leaves for a page."""
    source = json.loads(figure_json(fig))["layout"]["images"][0]["source"]
    assert source.startswith("data:image/svg+xml;base64,")
    return base64.b64decode(source.partition(",")[2]).decode()


# -- which classes they are -------------------------------------------------------------------------------------------


def test_they_are_found_by_the_form_of_their_call(registry: Registry) -> None:
    kinds = {name: found.plot.private_memory for name, found in registry.plots.items()}
    assert kinds == {
        "OfToday": False, "Merges": False, "Dressed": True, "ChipPlot": True, "Log": True, "Arrays": True, "TileMap1": True,
        "TileMap_2": True, "TileMap_3": True, "FromElsewhere": True, "Once": True, "FIFOTwice": True,
    }  # fmt: skip


def test_their_titles_are_their_own_or_the_first_line_of_their_text_or_their_name(registry: Registry) -> None:
    titles = {name: found.plot.title for name, found in registry.plots.items() if found.plot.private_memory}
    assert titles["ChipPlot"] == "Packets of each chip"
    assert titles["Log"] == "A log"
    assert titles["TileMap1"] == "Tile map 1"
    assert titles["TileMap_2"] == "Tile map 2"
    assert titles["FIFOTwice"] == "FIFO twice"


def test_one_whose_constructor_asks_for_something_is_broken_and_says_so(registry: Registry) -> None:
    (broken,) = registry.broken
    assert (broken.name, broken.reason) == (
        "Asks", "asks its constructor for tile, expected a class that is made without arguments"
    )  # fmt: skip


def test_one_named_as_a_built_in_plot_gets_the_name_of_its_file_as_well(tmp_path: Path, rows: np.ndarray) -> None:
    (tmp_path / "hot.py").write_text(ONE.replace("Mine", "HotPixels").replace("{0}", "return go.Figure(go.Bar(y=[4]))"))
    found = discover([tmp_path])
    assert not found.broken
    assert found.plots["HotPixels"].source == "built-in"
    plot = found.plots["HotPixels_hot"].plot()
    assert look(plot, next(cut(rows))).data[0].y[0] == 4
    assert discover([tmp_path]).plots.keys() == found.plots.keys()


def test_its_version_follows_its_file_as_its_author_knew_of_none(tmp_path: Path) -> None:
    versions = []
    for text in (ONE, ONE, ONE + "\n# changed\n"):
        (tmp_path / "mine.py").write_text(text.replace("{0}", "pass"))
        versions.append(load_file(tmp_path / "mine.py").plots["Mine"].plot.version)
    assert versions[0] == versions[1] != versions[2]


def test_matplotlib_is_loaded_for_those_that_use_it_only() -> None:
    code = "import plots.isolation.child, sys; assert not {'matplotlib', 'cloudpickle'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- what they are given, and what is kept of them --------------------------------------------------------------------


def test_each_look_gives_only_new_packets_and_the_figure_of_the_last_one(registry: Registry, rows: np.ndarray) -> None:
    plot, fig = registry.plots["Log"].plot(), None
    for packets in cut(rows, [1000, 500]):
        packets.beside = lambda: Beside("/data/packet_1.h5")
        fig = look(plot, packets, fig)
    assert list(fig.data[0].y) == [1000, 500, 1500]
    assert list(fig.data[0].x) == [1, 2, 3], "the object is the same"
    assert set(fig.data[0].text) == {"/data/packet_1.h5"}


def test_the_blocks_of_one_look_come_together(registry: Registry, rows: np.ndarray) -> None:
    plot = registry.plots["Log"].plot()
    fig = plot.new_figure()
    for packets in cut(rows, [1000, 0, 500]):
        fig = plot(packets, fig)
    assert list(fig.data[0].y) == [3000]


def test_without_packets_they_are_not_called(registry: Registry) -> None:
    plot = registry.plots["Log"].plot()
    fig = look(plot, next(cut(demo_rows()[:0])))
    assert not fig.data
    assert fig.layout.annotations[0].text == "no packets yet"


def test_many_packets_come_in_pieces_that_begin_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[np.ndarray] = []

    class Takes:
        def __call__(self, filename: str, fh: Any, fig: Any = None) -> go.Figure:
            given.append(fh["packets"][:])
            return go.Figure()

    monkeypatch.setattr(predecessor, "ROWS_AT_ONCE", 2000)
    plot, rows = adapted("Takes", Takes)(), demo_rows()[:7000]
    memory = plot.begin()
    for packets in cut(rows, [900] * 8):
        plot(packets, memory)
    plot.show(memory)
    assert len(given) > 2
    assert all(len(piece) > 1000 for piece in given[:-1])
    assert {int(piece["packet_type"][0]) for piece in given} == {4}
    assert np.array_equal(np.concatenate(given), rows)


@pytest.mark.parametrize("name", ["Log", "ChipPlot", "TileMap_2", "Arrays"])
def test_another_process_goes_on_where_the_first_one_stopped(name: str, registry: Registry, rows: np.ndarray) -> None:
    first, second = cut(rows, [1200])
    plot = registry.plots[name].plot()
    there = look(plot, first)
    kept = saved(there)
    on = figure_json(look(plot, second, there))
    os.kill(type(plot).plugin._child._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    type(plot).plugin._child._process.wait()  # type: ignore[attr-defined]
    resumed = look(registry.plots[name].plot(), second, kept)
    assert figure_json(resumed) == on
    assert MEMORY not in on


def test_what_cannot_be_saved_says_so_when_it_is_asked_to_go_on(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(
        "self.n = getattr(self, 'n', 0) + 1\nself.lock = threading.Lock()\nreturn go.Figure(go.Bar(y=[self.n]))"
    )
    fig = look(plot, next(cut(rows)))
    kept = saved(fig)
    assert look(plot, next(cut(rows)), fig).data[0].y[0] == 2, "its process has it still"
    with pytest.raises(
        PluginError, match=r"Mine keeps what cannot be saved, so it cannot go on with this file \(TypeError"
    ):
        look(plot, next(cut(rows)), kept)


def test_figures_of_two_files_with_one_name_in_pyplot_do_not_meet(registry: Registry, rows: np.ndarray) -> None:
    plots = [registry.plots["TileMap1"].plot() for _ in range(2)]
    figs = [look(plot, packets) for plot, packets in zip(plots, cut(rows, [1000]), strict=True)]
    again = [look(plot, next(cut(rows)), fig) for plot, fig in zip(plots, figs, strict=True)]
    alone = look(registry.plots["TileMap1"].plot(), next(cut(rows[:1000])))
    assert picture(again[0]) != picture(again[1])
    assert picture(look(plots[0], next(cut(rows[:1000])))) == picture(alone)


def test_they_see_their_own_kind_of_file(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(
        "assert sorted(fh) == ['_header', 'configs', 'messages', 'meta', 'packets']\n"
        "assert fh['packets'].dtype.itemsize == 36 and fh['packets'].shape == (3000,)\n"
        "assert (fh['packets'].fields('timestamp')[:] == fh['packets'][:]['timestamp']).all()\n"
        "assert 'created' in fh['meta'].attrs\n"
        "try: fh['packets'][0] = fh['packets'][1]\n"
        "except OSError: return go.Figure(go.Bar(y=[1]))"
    )
    assert look(plot, next(cut(rows))).data[0].y[0] == 1


def test_their_geometry_and_a_backend_without_a_screen_are_in_their_environment(
    plugin: Callable[..., Plot], rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXEL_GEOMETRY_PATH", "/somewhere/layout.yaml")
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    plot = plugin("return go.Figure(layout={'title': os.environ['PIXEL_GEOMETRY_PATH'] + plt.get_backend().lower()})")
    assert look(plot, next(cut(rows))).layout.title.text == "/somewhere/layout.yamlagg"


def test_matplotlib_has_a_folder_where_there_is_no_home(
    plugin: Callable[..., Plot], rows: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plot = plugin("import matplotlib; return go.Figure(layout={'title': matplotlib.get_cachedir()})")
    folder = tmp_path / f"larboard-matplotlib-{os.getuid()}"
    assert look(plot, next(cut(rows))).layout.title.text == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    other = plugin("import matplotlib; return go.Figure(layout={'title': matplotlib.get_cachedir()}) ")
    assert look(other, next(cut(rows))).layout.title.text != str(folder), "one that others can write into is not used"


# -- figures ----------------------------------------------------------------------------------------------------------


def test_a_figure_of_matplotlib_is_an_svg_on_a_sheet_of_its_own(registry: Registry, rows: np.ndarray) -> None:
    fig = look(registry.plots["ChipPlot"].plot(), next(cut(rows)))
    svg = picture(fig)
    assert svg.startswith("<svg ")
    assert "<path" in svg
    assert "<metadata" not in svg
    layout = json.loads(figure_json(fig))["layout"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "#ffffff"
    assert layout["height"] == round(560 * 4 / 6)
    assert layout["images"][0]["sizing"] == "contain"


def test_a_figure_of_plotly_loses_its_width_and_keeps_its_height(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin("return go.Figure(go.Bar(y=[1]), layout={'width': 900, 'height': 600})")
    layout = json.loads(figure_json(look(plot, next(cut(rows)))))["layout"]
    assert "width" not in layout
    assert layout["height"] == 600


def test_a_figure_that_is_large_as_svg_is_a_png(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(
        "fig = plt.figure(figsize=(60, 40)); fig.gca().plot(np.random.rand(200_000), '.'); return fig", Limits()
    )
    source = json.loads(figure_json(look(plot, next(cut(rows)))))["layout"]["images"][0]["source"]
    assert source.startswith("data:image/png;base64,")
    width, height = (int.from_bytes(base64.b64decode(source.partition(",")[2])[at : at + 4], "big") for at in (16, 20))
    assert 2_900_000 < width * height < 3_100_000


@pytest.mark.parametrize(("size", "height"), [((9, 4), 249), ((9, 1), 240), ((6, 8), 400), ((6, 18), 1200)])
def test_a_picture_has_the_height_of_a_tile_but_for_columns(
    size: tuple[int, int], height: int, plugin: Callable[..., Plot], rows: np.ndarray
) -> None:
    assert look(plugin(f"return plt.figure(figsize={size})"), next(cut(rows))).layout.height == height


def test_a_dark_figure_stays_dark(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin("return plt.figure(facecolor='#102030')")
    assert look(plot, next(cut(rows))).layout.paper_bgcolor == "#102030"
    plot = plugin("return plt.figure(facecolor='none')")
    assert look(plot, next(cut(rows))).layout.paper_bgcolor == "#ffffff"


# -- what goes wrong --------------------------------------------------------------------------------------------------

NASTY = {
    "loops for ever": ("while True: pass", r"Mine took more than 4 s to take its packets and draw"),
    "allocates without end": ("x = []\nwhile True: x.append(bytes(1 << 20))", r"Mine used more than 256 MB of memory"),
    "prints without end": ("while True: print('x' * 65536)", r"Mine printed more than 2 MB"),
    "ends its process": ("os._exit(3)", r"Mine ended its process \(exit code 3\)"),
    "gives a huge figure": (
        "return go.Figure(go.Scatter(y=np.random.rand(1 << 20)))", r"Mine gave \d+ MB .* more than the 2 MB",
    ),
    "raises": ("return 1 / 0", r"division by zero"),
    "exits": ("sys.exit(1)", r"1"),
    "gives None": ("plt.figure()", r"returned None, expected a matplotlib or Plotly figure"),
    "gives axes": ("return plt.subplots()", r"returned a tuple, expected a matplotlib or Plotly figure"),
    "gives a number": ("return 5", r"returned a int, expected a matplotlib or Plotly figure"),
    "keeps hundreds of figures open": (
        "figs = [plt.figure() for _ in range(200)]\nreturn figs[0]",
        r"left 199 figures open beside the one that it returned, at most 20 are allowed: close them with plt.close",
    ),
    "gives a picture without measure": (
        "fig = plt.figure(); fig.figimage(np.random.rand(1500, 2000)); fig.set_size_inches(20, 15); return fig",
        r"its figure is a picture of more than 4 MB: draw less in it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NASTY)
def test_it_says_in_a_sentence_that_a_plot(
    what: str, plugin: Callable[..., Plot], rows: np.ndarray, capfd: pytest.CaptureFixture
) -> None:
    body, sentence = NASTY[what]
    limits = Limits(block_s=30.0, output_mb=32) if "picture" in what else SMALL
    mine = plugin(body, limits)
    with pytest.raises((PluginError, Stopped), match=sentence):
        look(mine, next(cut(rows)))
    assert len(capfd.readouterr().err) < 200_000
    other = load_file(Path(type(mine).file), limits).plots["Other"].plot()  # type: ignore[attr-defined]
    assert look(other, next(cut(rows))).data[0].y[0] == 3000


def test_what_they_print_does_not_disturb_their_answers(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin("print('hello'); sys.stdout.flush(); os.write(1, b'raw'); return go.Figure(go.Bar(y=[2]))")
    assert look(plot, next(cut(rows))).data[0].y[0] == 2


def test_one_that_leaves_a_figure_behind_at_each_call_runs_for_ever(
    plugin: Callable[..., Plot], rows: np.ndarray
) -> None:
    plot = plugin("plt.figure(); fig = plt.figure(); fig.text(0, 0, str(len(plt.get_fignums()))); return fig")
    fig, seen = None, set()
    for _ in range(30):
        fig = look(plot, next(cut(rows[:10])), fig)
        seen.add(picture(fig))
    assert len(seen) == 2, "the first call has two figures open, each other one three"


# -- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ChipPlot", "Log", "TileMap_3", "Once"])
def test_good_ones_pass_the_tests_that_they_get_for_free(name: str, registry: Registry, rows: np.ndarray) -> None:
    outcomes = contract.check_plot(registry.plots[name].plot, rows)
    assert len(outcomes) == 3
    assert all(outcome.passed for outcome in outcomes), outcomes


@pytest.mark.parametrize(
    ("body", "failing"),
    [
        ("return 1 / len(fh['packets']) if fig is None else None", "takes new packets"),
        ("self.lock = threading.Lock(); return go.Figure()", "stopping and resuming"),
        ("self.__class__.n = getattr(self, 'n', 0) + 1; return go.Figure(go.Bar(y=[self.n]))", "stopping and resuming"),
    ],
)
def test_the_contract_catches_one_that_fails(
    body: str, failing: str, plugin: Callable[..., Plot], rows: np.ndarray
) -> None:
    outcomes = contract.check_plot(type(plugin(body)), rows)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    assert any(outcome.sentence.startswith(failing) for outcome in failed)
    assert all(outcome.why for outcome in failed)


def test_plots_of_a_module_that_get_the_same_packets_read_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []

    class Takes:
        def __call__(self, filename: str, fh: Any, fig: Any = None) -> go.Figure:
            files.append(fh)
            figure = go.Figure(go.Bar(y=[len(fh["packets"])]))
            if len(files) == 4:
                fh.close()
            return figure

    monkeypatch.setattr(predecessor, "ROWS_AT_ONCE", 2000)
    plots = [adapted("Takes", Takes)() for _ in range(3)]
    memories = [plot.begin() for plot in plots]
    beside = Beside("packet_1.h5")
    for packets in cut(demo_rows()[:2500], [1500]):
        packets.beside = lambda: beside
        for plot, memory in zip(plots, memories, strict=True):
            plot(packets, memory)
    shown = [plot.show(memory).data[0].y[0] for plot, memory in zip(plots, memories, strict=True)]
    assert files[0] is files[1] is files[2]
    assert files[4] is files[5] is not files[3], "the first of them closed it"
    assert len(set(shown)) == 1
