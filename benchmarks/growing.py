"""A file that grows under a watch: what each update costs, and all of them beside one pass over the file: ``make bench``.

The real parts: a writer with SWMR, the ingest with its store (SQLite) and all built-in plots, in one process; after each
update the watch looks until nothing is due, and what it counted is committed. Time that a file rests between two looks does
not pass here. ``--packets 100000000 --updates 1000`` is the goal's size and takes most of an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.files import rows_of, stretch
from benchmarks.process import peak_mb, say
from dqm.ingest.outcomes import GROWING_LOOK_S

TIMES, LATE = 3, 1.3
LOOK_S = GROWING_LOOK_S + 1
"""Time that passes between two updates: a file that grows is not looked at more often."""
NAME = "packet-0000001-2024_07_03_09_46_40_UTC.hdf5"


def updates_of(packets: int, updates: int) -> Iterator[np.ndarray]:
    """The rows of the file in so many portions."""
    size, left = -(-packets // updates), np.zeros(0, stretch("module0").dtype)
    for rows in rows_of("module0", packets):
        left = np.concatenate([left, rows])
        while len(left) >= size:
            yield left[:size]
            left = left[size:]
    if len(left):
        yield left


def grow(packets: int, updates: int, folder: Path) -> dict[str, list[float] | float]:
    """Seconds of each update, and of closing the file."""
    from dqm import kernels
    from dqm.formats.writers import PacketWriter
    from tests.ingest.watching import Site

    kernels.allow(True)
    site, seconds = Site(folder, plots=None), []
    path = site.root / NAME
    with PacketWriter(path, swmr=True) as writer:
        for rows in updates_of(packets, updates):
            writer.write(rows)
            begun = time.perf_counter()
            site.settle(seconds=LOOK_S, times=1)
            while (
                site.file(NAME).rows_done < writer.rows
            ):  # it rests for as long as the last look took, several times over
                site.settle(seconds=LOOK_S, times=1)
            seconds.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    site.settle()
    closing = time.perf_counter() - begun
    assert site.file(NAME).state == "done"
    site.store.close()
    return {"seconds": seconds, "closing": closing, "mb": peak_mb()}


def one_pass(path: Path) -> float:
    from benchmarks.process import through_plots

    return through_plots(path, True)["pass"]


def in_a_process(*arguments: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.growing", *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--packets", type=int, default=5_000_000)
    parser.add_argument("--updates", type=int, default=250)
    parser.add_argument("--grow", type=Path)
    parser.add_argument("--whole", type=Path)
    chosen = parser.parse_args()
    if chosen.grow:
        print(json.dumps(grow(chosen.packets, chosen.updates, chosen.grow)))
        return
    if chosen.whole:
        print(json.dumps({"seconds": one_pass(chosen.whole)}))
        return
    with tempfile.TemporaryDirectory() as name:
        size = "--packets", str(chosen.packets), "--updates", str(chosen.updates)
        grown = in_a_process(*size, "--grow", name)
        path = Path(name) / "data" / NAME
        whole = min(in_a_process("--whole", str(path))["seconds"] for _ in range(2))
    seconds, total = grown["seconds"], sum(grown["seconds"]) + grown["closing"]
    some = min(100, len(seconds) // 3)
    first, last = np.median(seconds[:some]), np.median(seconds[-some:])
    print(f"a file that grows to {chosen.packets:,} packets in {len(seconds)} updates; load {os.getloadavg()[0]:.1f}")
    print(f"  one pass over all of it: {whole:.1f} s; all updates {total:.1f} s, memory {grown['mb']:.0f} MB")
    print(f"  an update: median {first * 1e3:.0f} ms of the first {some}, {last * 1e3:.0f} ms of the last")
    say(f"all updates, committed: {total / whole:.2f} x one pass", total / whole, TIMES)
    say(f"the last {some} updates: {last / first:.2f} x the first", last / first, LATE)


if __name__ == "__main__":
    main()
