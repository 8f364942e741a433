"""What a process of its own costs a plug-in, and what a hanging one costs the others: ``make bench``.

The same cheap mergeable plot (one `tally` of a column) counts the same blocks in this process and in one of its own, in
interleaved rounds; the best round of each is printed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from dqm.demo import demo_rows
from dqm.detector import demo_detector
from dqm.formats.packets import cut
from plots.base import MergeablePlot, Stopped
from plots.discovery import Limits, load_file
from plots.examples.mergeable_plot import PacketsPerChip

BLOCK = 65_536
BLOCKS = 40
ROUNDS = 5
LIMIT_S = 2.0
HANGS = """
import time
from plots.examples.mergeable_plot import PacketsPerChip
class Hangs(PacketsPerChip):
    def count(self, packets):
        if len(packets):
            time.sleep(3600)
        return super().count(packets)
"""


def count(plot: MergeablePlot, rows: np.ndarray) -> float:
    """Seconds for all blocks, each made anew as a reader makes it."""
    state = plot.start(demo_detector())
    begun = time.perf_counter()
    for packets in cut(rows, [BLOCK] * (len(rows) // BLOCK), demo_detector()):
        state.add(plot.count(packets))
        packets.forget()
    return time.perf_counter() - begun


def main() -> None:
    rows = np.tile(demo_rows(), -(-BLOCK * BLOCKS // len(demo_rows())))[: BLOCK * BLOCKS]
    example = Path(__file__).parent.parent / "plots/examples/mergeable_plot.py"
    begun = time.perf_counter()
    far = load_file(example).plots["PacketsPerChip"].plot()
    started = time.perf_counter() - begun
    assert isinstance(far, MergeablePlot)
    here, there = float("inf"), float("inf")
    for _ in range(ROUNDS):
        here = min(here, count(PacketsPerChip(), rows))
        there = min(there, count(far, rows))
    print(f"\na cheap mergeable plot over {len(rows):,} packets in blocks of {BLOCK:,}")
    for words, seconds in (("in this process", here), ("in a process of its own", there)):
        print(f"{words:26}{len(rows) / seconds:>12.3g} packets/s{seconds / len(rows) * 1e6:>9.4f} us/packet")
    overhead = (there - here) / len(rows) * 1e6
    print(
        f"isolation costs {overhead:.4f} us/packet, {(there - here) / BLOCKS * 1e3:.2f} ms/block; a start {started:.2f} s"
    )
    hanging()


def hanging() -> None:
    """How long a file waits for a plug-in that hangs: its limit, once; then it rests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hangs.py"
        path.write_text(HANGS)
        found = load_file(path, Limits(block_s=LIMIT_S)).plots
        plot = found["Hangs"].plot()
        assert isinstance(plot, MergeablePlot)
        plot.start()
        rows = demo_rows()
        waits = []
        for _ in range(2):
            begun = time.perf_counter()
            try:
                plot.count(next(cut(rows)))
            except Stopped as error:
                said = error
            waits.append(time.perf_counter() - begun)
        print(f"a plug-in that hangs, with a limit of {LIMIT_S:g} s: the others wait {waits[0]:.2f} s once, ", end="")
        print(f"then {waits[1] * 1e3:.2f} ms")
        print(f"  {said}")


if __name__ == "__main__":
    main()
