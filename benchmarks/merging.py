"""Merging the states of 1,000 files into one run, all built-in plots: ``make bench``.

The states are those of files of some 100,000 packets each, a dozen different ones in turn. Printed: merging them as they lie
in memory, as the ingest does when it has counted a file, and, by the way, reading each from the bytes that the store keeps.
Seconds of CPU, of one core: nothing waits for a disk here, and the machine may have other work.
"""

from __future__ import annotations

import argparse
import os
import time

from benchmarks.files import LIKE, detector, stretch
from benchmarks.process import peak_mb, say

GOAL_S = {"module0": 3, "2x2": 10}
DIFFERENT = 12
ROWS = 65_536


def main() -> None:
    from dqm.formats.packets import cut
    from plots.base import State
    from plots.discovery import discover

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--like", nargs="*", default=LIKE, choices=LIKE)
    chosen = parser.parse_args()
    for like in chosen.like:
        where, rows = detector(like), stretch(like)[: DIFFERENT * ROWS]
        plots = [found.plot() for found in discover().plots.values()]
        blocks = list(cut(rows, [ROWS] * (DIFFERENT - 1), where))
        states = [{plot.name: plot.start(where).add(plot.count(block)) for plot in plots} for block in blocks]
        kept = {name: [state[name].to_bytes() for state in states] for name in states[0]}
        merging, reading, slowest = 0.0, 0.0, ("", 0.0)
        for plot in plots:
            whole, begun = plot.start(where), time.thread_time()
            for number in range(chosen.files):
                whole.merge(states[number % DIFFERENT][plot.name])
            taken = time.thread_time() - begun
            merging, slowest = merging + taken, max(slowest, (plot.name, taken), key=lambda one: one[1])
            begun = time.thread_time()
            for content in kept[plot.name]:
                State.from_bytes(content, plot.name, plot.version, where.geometry_id, where)
            reading += (time.thread_time() - begun) / DIFFERENT * chosen.files
        size = sum(map(len, (contents[0] for contents in kept.values()))) / 1e6
        print(
            f"merging {chosen.files:,} files like {like}, {len(plots)} plots ({len(where.pixels):,} pixels); load"
            f" {os.getloadavg()[0]:.1f}; {peak_mb():.0f} MB"
        )
        print(
            f"  slowest {slowest[0]}: {slowest[1]:.2f} s; reading the states from {size:.1f} MB a file: {reading:.1f} s"
        )
        say(f"all plots: {merging:.2f} s of CPU", merging, GOAL_S[like] * chosen.files / 1000)


if __name__ == "__main__":
    main()
