"""A plug-in runs in a process of its own: it counts as one in this process does, and nothing that it does gets out."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from dqm.demo import demo_rows
from dqm.detector import demo_detector
from dqm.formats.packets import cut
from plots import contract
from plots.adc_spectrum import AdcSpectrum
from plots.base import HostTrouble, MergeablePlot, Plot, PluginError, State, Stopped
from plots.discovery import Shelf, discover, load_file
from plots.isolation import host
from plots.isolation.limits import Limits
from plots.isolation.wire import Sheet

SMALL = Limits(block_s=2.0, start_s=20.0, memory_mb=96, output_mb=1, rest_s=0.0)
EXAMPLES = Path(contract.__file__).parent / "examples"

MERGEABLE = """
import os, sys, time, signal, threading, subprocess
import numpy as np
from plots.base import MergeablePlot, Trend, tally
class Mine(MergeablePlot):
    title = "mine"
    fields = ("dataword",)
    def count(self, packets):
        if len(packets):
            {count}
        return {{"n": np.array([len(packets)])}}
    def draw(self, state, fig):
        {draw}
        fig.add_bar(y=state["n"])
    def trends(self, state):
        {trends}
        return {{"n": Trend(int(state["n"][0]), "packets")}}
"""


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return demo_rows()[:3000]


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Plot]:
    """The plot of a file: ``plugin(count="1 / 0")``; its lines are those of count, draw and trends."""

    def make(text: str = MERGEABLE, limits: Limits = SMALL, **lines: str) -> Plot:
        path = tmp_path / "mine.py"
        path.write_text(text.format(**{name: lines.get(name, "pass") for name in ("count", "draw", "trends")}))
        registry = load_file(path, limits)
        assert not registry.broken, registry.broken
        return next(iter(registry.plots.values())).plot()

    return make


def process_of(plot: Plot) -> psutil.Process:
    child = type(plot).plugin._child  # type: ignore[attr-defined]
    assert child is not None
    return psutil.Process(child._process.pid)


def with_memory_of(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# -- it is a plot like any other --------------------------------------------------------------------------------------


def test_a_plug_in_is_never_imported_in_the_process_that_asks(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MERGEABLE.format(count="pass", draw="pass", trends="pass") + "\nimport this\n")
    found = discover([tmp_path]).plots["Mine"]
    assert issubclass(found.plot, MergeablePlot)
    assert found.plot.title == "mine"
    assert found.plot.fields == ("dataword",)
    assert "this" not in sys.modules
    assert not [name for name in sys.modules if name.startswith("larboard_plugin")]


def test_it_counts_draws_and_reads_what_the_same_plot_does_in_this_process(tmp_path: Path, rows: np.ndarray) -> None:
    source = Path(sys.modules[AdcSpectrum.__module__].__file__ or "").read_text()
    (tmp_path / "far.py").write_text(source.replace("class AdcSpectrum", "class FarSpectrum"))
    far, near = load_file(tmp_path / "far.py").plots["FarSpectrum"].plot(), AdcSpectrum()
    assert isinstance(far, MergeablePlot)
    states: list[State] = []
    for plot in (far, near):
        state = plot.start(demo_detector())
        for packets in cut(rows, [700, 0, 1200], demo_detector()):
            state.add(plot.count(packets))
        states.append(state)
    assert (states[0]["adc"] == states[1]["adc"]).all()
    assert contract.content(far.figure(states[0])) == contract.content(near.figure(states[1]))
    assert far.read_trends(states[0]) == near.read_trends(states[1])


@pytest.mark.parametrize("length", [100, 3000])
def test_a_column_of_references_is_not_sent_and_the_others_are(
    plugin: Callable[..., Plot], rows: np.ndarray, length: int
) -> None:
    wide = np.zeros(length, [*rows.dtype.descr, ("link", h5py.ref_dtype)])
    for name in rows.dtype.names or ():
        wide[name] = rows[name][:length]
    plot = plugin(count="return {'n': np.array([int(packets['dataword'].sum())])}")
    assert isinstance(plot, MergeablePlot)
    plot.start()
    assert plot.count(next(cut(wide)))["n"] == int(rows["dataword"][:length].astype(int).sum())


@pytest.mark.parametrize(
    "name",
    [
        "adc_spectrum", "chip_configuration", "hot_pixels", "io_group_rate", "packet_rate", "pixel_map", "sync_dt",
        "tile_rate",
    ],
)  # fmt: skip
def test_every_kind_of_leaf_comes_back_bit_for_bit(name: str, tmp_path: Path, rows: np.ndarray) -> None:
    """Scatter, Series, LiveTime, Extent, KeyedCounts, Versions, arrays: all that the built-in plots count with."""
    source = (Path(contract.__file__).parent / f"{name}.py").read_text()
    (tmp_path / "far.py").write_text(source)
    far = load_file(tmp_path / "far.py").plots
    for found in far.values():
        there, here = found.plot(), discover().plots[found.name].plot()
        assert isinstance(there, MergeablePlot)
        assert isinstance(here, MergeablePlot)
        for packets in contract.blocks_of(np.tile(rows, 3), [5000], demo_detector()):
            one, other = here.start(demo_detector()), here.start(demo_detector())
            assert contract.same_state(one.add(there.count(packets)), other.add(here.count(packets)))


def test_a_plug_in_sees_what_the_file_says_about_itself(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    text = """
import numpy as np
from plots.base import MergeablePlot
class Mine(MergeablePlot):
    title = "mine"
    def count(self, packets):
        return {{"chips": np.array([len(packets.file.configuration) if packets.file else 0, packets.file is not None])}}
    def draw(self, state, fig): fig.add_bar(y=state["chips"])
"""
    plot = plugin(text)
    assert isinstance(plot, MergeablePlot)
    state = plot.start()
    for packets in contract.blocks_of(rows, [1000, 0, 1000], None):
        state.add(plot.count(packets))
    assert state["chips"].tolist() == [len(contract.some_file(rows).configuration), 1]


def test_histograms_come_back_too(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    text = """
import hist
from plots.base import MergeablePlot
class Mine(MergeablePlot):
    title = "mine"
    def count(self, packets):
        h = hist.Hist.new.Reg(16, 0, 256, name="adc", label="ADC").Int64()
        h.fill(packets.data["dataword"])
        return {{"h": h}}
    def draw(self, state, fig): fig.add_bar(y=state["h"].values())
"""
    plot = plugin(text)
    assert isinstance(plot, MergeablePlot)
    block = next(cut(rows))
    state = plot.start().add(plot.count(block)).add(plot.count(block))
    assert state["h"].sum() == 2 * len(block.data)
    assert sum(plot.figure(state).data[0].y) == 2 * len(block.data)


@pytest.mark.parametrize("file", ["simple_plot.py", "mergeable_plot.py"])
def test_the_files_to_copy_keep_the_contract_in_a_process_of_their_own(file: str, rows: np.ndarray) -> None:
    for found in load_file(EXAMPLES / file).plots.values():
        for outcome in contract.check_plot(found.plot, rows, demo_detector()):
            assert outcome.passed, outcome


def test_what_it_raises_keeps_its_name_its_text_and_its_own_line(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(count="raise KeyError('no such tile')")
    with pytest.raises(PluginError, match="no such tile") as raised:
        plot.count(next(cut(rows)))  # type: ignore[attr-defined]
    assert type(raised.value).__name__ == "KeyError"
    assert "raise KeyError('no such tile')" in raised.value.traceback
    assert "child.py" not in raised.value.traceback
    process = process_of(plot)
    with pytest.raises(PluginError):
        plot.count(next(cut(rows)))  # type: ignore[attr-defined]
    assert process_of(plot) == process, "an exception costs no process"


def test_an_author_is_told_the_line_that_broke_the_contract(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(count="1 / 0")
    first = contract.check_plot(type(plot), rows, demo_detector())[0]
    assert "ZeroDivisionError" in first.why
    assert "mine.py, line 10" in first.why


# -- limits -----------------------------------------------------------------------------------------------------------

NASTY = {
    "hangs": ("time.sleep(60)", r"Mine took more than 2 s for a block of 3,000 packets"),
    "hangs in C": ("import re; re.match('(a+)+$', 'a' * 60 + 'b')", r"Mine took more than 2 s"),
    "ignores signals": ("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(60)", r"more than 2 s"),
    "eats memory": ("x = np.ones(1 << 25)", r"Mine used more than 96 MB of memory for a block of 3,000 packets"),
    "eats memory in pieces": ("x = [bytes(1 << 20) for _ in range(400)]", r"Mine used more than 96 MB of memory"),
    "gives too much": ("return {'n': np.ones(1 << 20)}", r"Mine gave 8 MB for a block .* more than the 1 MB"),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", r"Mine was ended by SIGSEGV \(segmentation fault\) for a block"),
    "aborts": ("os.abort()", r"Mine was ended by SIGABRT"),
    "is killed": ("os.kill(os.getpid(), 9)", r"Mine was ended by SIGKILL \(killed, perhaps .* memory\)"),
    "leaves": ("os._exit(7)", r"Mine ended its process \(exit code 7\) for a block of 3,000 packets"),
    "closes its pipes": ("os.closerange(3, 10_000); time.sleep(60)", r"Mine closed the channel of its answers"),
    "writes into the pipe": (
        "\n            for fd in range(3, 2000):\n                try: os.write(fd, b'x' * 4096)\n"
        "                except OSError: pass",
        r"Mine wrote bytes of its own into the channel of its answers",
    ),
    "forks": ("os.fork() or time.sleep(30)", r"Mine left processes running when its call had returned"),
    "starts programs": ("subprocess.Popen(['sleep', '60'])", r"Mine left processes running"),
    "prints gigabytes": (
        "\n            while True: sys.stdout.write('x' * 65536)",
        r"Mine printed more than 1 MB for a block of 3,000 packets",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NASTY)
def test_a_plug_in_is_ended_with_a_sentence_when_it(
    what: str, plugin: Callable[..., Plot], rows: np.ndarray, capfd: pytest.CaptureFixture
) -> None:
    code, sentence = NASTY[what]
    # only those that hang are to meet the limit of time, however busy the machine is
    plot = plugin(count=code, limits=SMALL if "2 s" in sentence else replace(SMALL, block_s=30))
    assert isinstance(plot, MergeablePlot)
    plot.start()
    process = process_of(plot)
    with pytest.raises(Stopped, match=sentence):
        plot.count(next(cut(rows)))
    assert not with_memory_of(process.pid)
    assert len(capfd.readouterr().err) < 200_000
    assert plot.start()["n"] == [0], "it is started anew when it is called again"


def test_where_it_hung_is_in_the_traceback(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(count="self.wait_for_ever()", trends="pass\n    def wait_for_ever(self):\n        time.sleep(60)")
    with pytest.raises(Stopped) as stopped:
        plot.count(next(cut(rows)))  # type: ignore[attr-defined]
    assert "in wait_for_ever" in stopped.value.traceback
    assert "mine.py" in stopped.value.traceback


def test_what_a_killed_plug_in_started_is_killed_too_wherever_it_went(
    plugin: Callable[..., Plot], rows: np.ndarray, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    start = f"subprocess.Popen(['sh', '-c', 'echo $$ >> {note}; exec sleep 600'], start_new_session={{}})"
    plot = plugin(count=f"{start.format(True)}; {start.format(False)}; time.sleep(60)")
    with pytest.raises(Stopped):
        plot.count(next(cut(rows)))  # type: ignore[attr-defined]
    pids = [int(line) for line in note.read_text().split()]
    assert len(pids) == 2
    assert not [pid for pid in pids if with_memory_of(pid)]


def test_threads_that_go_on_after_the_call_end_the_process(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    spin = "threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()"
    plot = plugin(count=spin, limits=Limits(block_s=5.0, rest_s=60.0))
    assert isinstance(plot, MergeablePlot)
    plot.count(next(cut(rows)))
    process = process_of(plot)
    process.wait(60)  # by the keeper, though nobody calls
    with pytest.raises(Stopped, match="Mine goes on computing after its call has returned"):
        plot.count(next(cut(rows)))


@pytest.mark.parametrize("verb", ["draw", "trends"])
def test_drawing_and_trends_have_the_limits_too(verb: str, plugin: Callable[..., Plot]) -> None:
    plot = plugin(**{verb: "time.sleep(60)"})
    assert isinstance(plot, MergeablePlot)
    state = plot.start()
    with pytest.raises(Stopped, match=r"Mine took more than 2 s to (draw its figure|read its trends)"):
        plot.figure(state) if verb == "draw" else plot.read_trends(state)


def test_a_figure_over_the_limit_is_not_taken(plugin: Callable[..., Plot]) -> None:
    plot = plugin(draw="fig.add_scatter(y=np.random.default_rng(1).random(1 << 18))")
    assert isinstance(plot, MergeablePlot)
    with pytest.raises(Stopped, match="Mine gave 3 MB to draw its figure, more than the 1 MB that are allowed"):
        plot.figure(plot.start())


def test_importing_has_its_limit(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    (tmp_path / "mine.py").write_text(MERGEABLE.format(count="pass", draw="pass", trends="pass"))
    registry = discover([tmp_path], Limits(start_s=1.0))
    assert registry.broken[0].reason == "Stopped: slow took more than 1 s to be imported"
    assert "slow.py" in registry.broken[0].traceback
    assert "Mine" in registry.plots


def test_a_plot_that_was_ended_is_not_called_again_for_a_while(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(count="time.sleep(60)", limits=Limits(block_s=0.5, rest_s=1000))
    assert isinstance(plot, MergeablePlot)
    with pytest.raises(Stopped):
        plot.count(next(cut(rows)))
    with pytest.raises(Stopped, match=r"took more than 0.5 s .*; not called again before \d\d:\d\d:\d\d UTC"):
        plot.count(next(cut(rows)))
    assert type(plot).plugin._child is None  # type: ignore[attr-defined]


def test_a_hanging_plot_holds_up_nobody_else_of_another_file(tmp_path: Path, rows: np.ndarray) -> None:
    for name, code in (("Hangs", "time.sleep(60)"), ("Works", "pass")):
        text = MERGEABLE.format(count=code, draw="pass", trends="pass").replace("Mine", name)
        (tmp_path / f"{name.lower()}.py").write_text(text)
    found = discover([tmp_path], Limits(block_s=20.0)).plots
    hangs, works = found["Hangs"].plot(), found["Works"].plot()
    assert isinstance(hangs, MergeablePlot)
    assert isinstance(works, MergeablePlot)
    hangs.start()
    caught: list[BaseException] = []

    def hang() -> None:
        try:
            hangs.count(next(cut(rows)))  # type: ignore[attr-defined]
        except Stopped as error:
            caught.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    for _ in range(5):
        assert works.start().add(works.count(next(cut(rows))))["n"] == [3000]
    assert thread.is_alive(), "it still hangs while the other has worked"
    os.kill(process_of(hangs).pid, signal.SIGKILL)
    thread.join(30)
    assert "SIGKILL" in str(caught[0])


# -- what it cannot see and do ----------------------------------------------------------------------------------------


def test_secrets_of_the_environment_and_descriptors_of_the_host_are_not_there(
    plugin: Callable[..., Plot], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("LARBOARD_STORE__URL", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "SOME_TOKEN"):
        monkeypatch.setenv(name, "secret")
    with open(tmp_path / "open.txt", "w") as mine:
        os.set_inheritable(mine.fileno(), True)
        files = "[os.path.realpath('/proc/self/fd/' + fd) for fd in os.listdir('/proc/self/fd')]"
        plot = plugin(draw=f"raise ValueError(repr(dict(os.environ)) + repr({files}))")
        with pytest.raises(PluginError) as seen:
            plot.figure(plot.start())  # type: ignore[attr-defined]
    assert "secret" not in str(seen.value)
    assert "PATH" in str(seen.value)
    assert "open.txt" not in str(seen.value)


def test_a_file_that_it_writes_is_limited(plugin: Callable[..., Plot], tmp_path: Path) -> None:
    plot = plugin(draw=f"open('{tmp_path}/big', 'wb').write(bytes(4 << 20))")
    with pytest.raises(PluginError, match="File too large"):
        plot.figure(plot.start())  # type: ignore[attr-defined]
    assert (tmp_path / "big").stat().st_size <= 1 << 20


def test_packets_cannot_be_written_into(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin(count="packets['dataword'][:] = 0")
    block = next(cut(np.tile(rows, 20)))
    before = block["dataword"].copy()
    with pytest.raises(PluginError, match="read-only"):
        plot.count(block)  # type: ignore[attr-defined]
    assert (block["dataword"] == before).all()


def test_it_ends_with_its_host(tmp_path: Path) -> None:
    """Though the host is killed, and though the plug-in hangs at that moment."""
    (tmp_path / "mine.py").write_text(MERGEABLE.format(count="pass", draw="time.sleep(600)", trends="pass"))
    code = textwrap.dedent(f"""
        from pathlib import Path
        from plots.discovery import load_file
        plot = load_file(Path("{tmp_path}/mine.py")).plots["Mine"].plot()
        state = plot.start()
        print(type(plot).plugin._child._process.pid, flush=True)
        plot.figure(state)
    """)
    import subprocess

    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as asks:
        assert asks.stdout
        child = psutil.Process(int(asks.stdout.readline()))
        assert child.is_running()
        asks.kill()
        child.wait(30)


def test_a_fork_of_the_host_has_a_process_of_its_own(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    plot = plugin()
    assert isinstance(plot, MergeablePlot)
    plot.start()
    mine = process_of(plot).pid
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads
        pid = os.fork()
    if not pid:
        counted = plot.count(next(cut(rows)))["n"][0]
        os.write(write, f"{counted} {process_of(plot).pid}".encode())
        host._end_all()
        os._exit(0)
    os.waitpid(pid, 0)
    counted, other = os.read(read, 100).split()
    os.close(read)
    os.close(write)
    assert int(counted) == 3000
    assert int(other) != mine
    assert plot.count(next(cut(rows)))["n"] == [3000], "that of this process is still there"
    assert process_of(plot).pid == mine


def test_a_process_that_nobody_calls_is_ended_and_started_when_it_is_wanted(
    plugin: Callable[..., Plot], monkeypatch: pytest.MonkeyPatch
) -> None:
    plot = plugin(limits=Limits(idle_s=50.0))
    assert isinstance(plot, MergeablePlot)
    state = plot.start()
    process = process_of(plot)
    child = type(plot).plugin._child  # type: ignore[attr-defined]
    child.used -= 100
    process.wait(30)
    assert plot.figure(state).data[0].y[0] == 0


# -- simple plots: the figure is there ----------------------------------------------------------------------------------

SIMPLE = """
import os, time
from plots.base import Plot
class Mine(Plot):
    title = "mine"
    def __call__(self, packets, fig):
        if not fig.data:
            fig.add_scatter(y=[])
        fig.data[0].y = [*fig.data[0].y, len(packets)]
        {count}
class Other(Plot):
    title = "other"
    def __call__(self, packets, fig):
        os._exit(3)
"""


def test_the_figure_of_a_simple_plot_stays_in_its_process_until_it_is_looked_at(
    plugin: Callable[..., Plot], rows: np.ndarray
) -> None:
    plot = plugin(SIMPLE)
    figure = plot.new_figure()
    for packets in cut(rows, [1000, 500]):
        assert plot(packets, figure) is figure
    assert "_data_objs" not in figure.__dict__
    assert list(figure.data[0].y) == [1000, 500, 1500]
    plot(next(cut(rows)), figure)
    assert list(figure.data[0].y) == [1000, 500, 1500, 3000]


def test_a_simple_plot_goes_on_from_a_figure_that_was_saved(plugin: Callable[..., Plot], rows: np.ndarray) -> None:
    from plots.base import load_figure

    plot = plugin(SIMPLE)
    figure = plot(next(cut(rows)), load_figure({"data": [{"type": "scatter", "y": [7]}]}))
    assert list(figure.data[0].y) == [7, 3000]


def test_the_process_of_a_simple_plot_in_use_is_not_ended_for_being_idle(
    plugin: Callable[..., Plot], rows: np.ndarray
) -> None:
    plot = plugin(SIMPLE, limits=Limits(idle_s=0.0))
    figure = plot.new_figure()
    plot(next(cut(rows)), figure)
    plugin_ = type(plot).plugin  # type: ignore[attr-defined]
    plugin_._child.used -= 100
    plugin_.look_after()
    assert list(figure.data[0].y) == [3000]
    del figure
    gc.collect()
    plugin_._child.used -= 100
    plugin_.look_after()
    assert plugin_._child is None


def test_a_figure_whose_process_was_ended_says_so(tmp_path: Path, rows: np.ndarray) -> None:
    (tmp_path / "mine.py").write_text(SIMPLE.format(count="pass"))
    found = load_file(tmp_path / "mine.py", SMALL).plots
    mine, other = found["Mine"].plot(), found["Other"].plot()
    figure, broken = mine.new_figure(), other.new_figure()
    with pytest.raises(Stopped, match="Other ended its process"):
        other(next(cut(rows)), broken)
    with pytest.raises(Stopped, match="Mine lost its figure: its process, shared with other plots of mine, was ended"):
        mine(next(cut(rows)), figure)


# -- discovery --------------------------------------------------------------------------------------------------------


def test_a_look_imports_only_what_has_changed(tmp_path: Path) -> None:
    for name in ("One", "Two"):
        text = MERGEABLE.format(count="pass", draw="pass", trends="pass").replace("Mine", name)
        (tmp_path / f"{name.lower()}.py").write_text(text)
    shelf = Shelf([tmp_path])
    assert shelf.look()
    before = {name: shelf.registry.plots[name].plot for name in ("One", "Two")}
    (tmp_path / "two.py").write_text((tmp_path / "two.py").read_text() + "\n# changed\n")
    assert shelf.look()
    after = {name: shelf.registry.plots[name].plot for name in ("One", "Two")}
    assert after["One"] is before["One"]
    assert after["Two"] is not before["Two"]
    assert after["Two"].digest != before["Two"].digest  # type: ignore[attr-defined]


def test_a_plug_in_that_took_too_long_to_import_is_tried_again(tmp_path: Path) -> None:
    marker = tmp_path / "ready"
    (tmp_path / "slow.py").write_text(
        f"import os, time\nif not os.path.exists('{marker}'): time.sleep(60)\n"
        + MERGEABLE.format(count="pass", draw="pass", trends="pass")
    )
    shelf = Shelf([tmp_path], Limits(start_s=1.0, rest_s=0.0))
    shelf.look()
    assert "Mine" not in shelf.registry.plots
    marker.touch()
    assert shelf.look()
    assert "Mine" in shelf.registry.plots
    assert not shelf.look()


def test_plug_ins_are_imported_side_by_side_so_that_hanging_costs_its_limit_once(tmp_path: Path) -> None:
    """Each waits for the other two: one after the other they would all go over their limit."""
    for number in range(3):
        wait = (
            f"import pathlib, time\nhere = pathlib.Path({str(tmp_path)!r})\n(here / '{number}.begun').touch()\n"
            "while len(list(here.glob('*.begun'))) < 3: time.sleep(0.05)\n"
        )
        text = MERGEABLE.format(count="pass", draw="pass", trends="pass").replace("Mine", f"Mine{number}")
        (tmp_path / f"mine{number}.py").write_text(wait + text)
    registry = discover([tmp_path])
    assert registry.broken == []
    assert {"Mine0", "Mine1", "Mine2"} <= registry.plots.keys()


def test_want_of_shared_memory_is_the_machines_trouble_not_a_plug_ins() -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(HostTrouble, match=r"no shared memory for a block of 1,048,576 bytes.*File too large"):
            Sheet(1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
