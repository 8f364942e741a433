"""What a plot of larpix-monitor costs: the same bars of chips by its contract and by today's, each in its own process.

``python -m benchmarks.predecessor`` prints the cost of packets (a pass over a long file) and of a look (what a growing file
costs each time: the call with few packets, the picture, its memory saved and loaded again).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dqm.demo import demo_rows
from dqm.formats.packets import cut
from dqm.views.export import figure_json
from plots.base import Plot, load_figure
from plots.discovery import load_file

BLOCK = 65_536
BLOCKS = 48
ROUNDS = 5
LOOK = 20_000
MODULE = """
import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from plots.base import Plot

class InMatplotlib(object):
    def __call__(self, filename, fh, fig=None):
        if fig is None:
            fig, axes = plt.subplots()
            axes.bar(np.arange(256), np.zeros(256))
        mask = fh['packets']['packet_type'] == 0
        count = np.bincount(fh['packets']['chip_id'][mask], minlength=256)
        for bar, more in zip(fig.get_axes()[0].patches, count):
            bar.set_height(bar.get_height() + more)
        fig.get_axes()[0].relim()
        fig.get_axes()[0].autoscale_view()
        return fig

class InPlotly(object):
    def __call__(self, filename, fh, fig=None):
        if fig is None:
            fig = go.Figure(go.Bar(y=np.zeros(256, int)))
        mask = fh['packets']['packet_type'] == 0
        fig.data[0].y = fig.data[0].y + np.bincount(fh['packets']['chip_id'][mask], minlength=256)
        return fig

class OfToday(Plot):
    title = "the same as a simple plot"
    def __call__(self, packets, fig):
        if not fig.data:
            fig.add_bar(y=np.zeros(256, int))
        chips = packets["chip_id"][packets["packet_type"] == 0]
        fig.data[0].y = np.asarray(fig.data[0].y) + np.bincount(chips, minlength=256)
"""


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def over_file(plot: Plot, rows: np.ndarray) -> None:
    fig = plot.new_figure()
    for packets in cut(rows, [BLOCK] * BLOCKS):
        fig = plot(packets, fig)
        packets.forget()
    len(fig.data)


def main() -> None:
    rows = np.tile(demo_rows(), -(-BLOCK * BLOCKS // len(demo_rows())))[: BLOCK * BLOCKS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.py"
        path.write_text(MODULE)
        begun = time.perf_counter()
        found = load_file(path).plots
        print(f"a start with matplotlib takes {time.perf_counter() - begun:.2f} s")
        print(f"best of {ROUNDS}, {len(rows):,} packets in blocks of {BLOCK:,}; looks of {LOOK:,}")
        for name in ("OfToday", "InPlotly", "InMatplotlib"):
            measure(name, found[name].plot(), rows)


def measure(name: str, plot: Plot, rows: np.ndarray) -> None:
    few = next(cut(rows[:LOOK]))
    whole = look = page = float("inf")
    for _ in range(ROUNDS):
        whole = min(whole, timed(lambda: over_file(plot, rows)))
        kept = plot(few, plot.new_figure()).to_json(engine="orjson")
        shown: list = []

        def again(kept: str = kept, shown: list = shown) -> None:
            shown.append(plot(few, load_figure(json.loads(kept))))
            shown[0].to_json(engine="orjson")

        look = min(look, timed(again))
        page = min(page, timed(lambda shown=shown: figure_json(shown[0])))  # type: ignore[misc]
    print(
        f"{name:14}{whole / len(rows) * 1e6:8.4f} us/packet  {look * 1e3:7.1f} ms/look  {page * 1e3:6.1f} ms for the page"
        f"  {len(kept) / 1e3:6.0f} kB kept"
    )


if __name__ == "__main__":
    main()
