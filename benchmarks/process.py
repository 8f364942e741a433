"""Speed and memory of reading, and of all plots in one pass: ``make bench``.

Each figure is a ratio to reading the same HDF5 dataset bare, in 65,536-row blocks into nothing, in the same run and in a
process of its own, files warm in the page cache; the best of several interleaved rounds. The pass is from the first block to
the last; starting (imports, opening, loading what is compiled) and drawing the figures are printed apart. The files are made
once (benchmarks.files): like Module 0 and like the 2x2, uncompressed and gzip-4, in the chunks of the DAQ or larpix-control.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.files import CHUNKS, LIKE, make_file

MEMORY_LIMIT_MB, GROWTH_LIMIT_MB = 400, 50
PLAIN_NS, GZIP_RATIO = 100, 1.5


def bare(path: Path) -> None:
    """Every row once, as fast as h5py does it."""
    import h5py
    import numpy as np

    with h5py.File(path) as file:
        dset = file["packets"]
        step = max(65_536 // dset.chunks[0], 1) * dset.chunks[0]
        block = np.empty(step, dset.dtype)
        for start in range(0, len(dset), step):
            stop = min(start + step, len(dset))
            dset.read_direct(block, np.s_[start:stop], np.s_[: stop - start])


def through_plots(path: Path, numba: bool, plots: bool = True) -> dict[str, float]:
    """What ``larboard process`` does, all built-in plots (or none), without writing."""
    begun = time.perf_counter()
    from benchmarks.files import Known
    from dqm import kernels
    from dqm.formats import open_file
    from dqm.formats.scan import Scan
    from dqm.ingest.engine import feed, finish, prepare
    from plots.discovery import discover

    kernels.allow(numba)
    chosen = [found.plot for found in discover().plots.values()] if plots else []
    with open_file(path) as reader:  # what is compiled is loaded with the first block
        reader.detector = Known().match(reader).detector
        feed(prepare(chosen, reader), next(reader.blocks()))
    with open_file(path) as reader:
        reader.detector = Known().match(reader).detector
        elements, scan = prepare(chosen, reader), Scan()
        started, cpu = time.perf_counter(), time.process_time()
        for packets in reader.blocks():
            scan.feed(packets)
            feed(elements, packets)
        passed, cpu = time.perf_counter(), time.process_time() - cpu
        finish(elements, reader.detector)
    assert scan.rows == reader.rows
    assert not [element for element in elements if element.broken]
    ended = time.perf_counter()
    return {"start": started - begun, "pass": passed - started, "cpu": cpu, "draw": ended - passed}


def peak_mb() -> float:
    """Most memory of this process; getrusage would tell of the one that started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def run_task(task: str, path: Path) -> None:
    if task == "bare":
        import h5py  # noqa: F401  (imports are not what is measured)
        import numpy as np  # noqa: F401

        begun = time.perf_counter()
        bare(path)
        found = {"pass": time.perf_counter() - begun}
    else:
        found = through_plots(path, task != "numpy", task != "reader")
    found["mb"] = peak_mb()
    print(json.dumps(found))


TASKS = {
    "bare": "bare read",
    "reader": "reader, derived columns",
    "plots": "all plots",
    "numpy": "all plots, without numba",
}


def measure(task: str, path: Path) -> dict[str, float]:
    """One task in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.process", "--task", task, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(path: Path, packets: int, rounds: int) -> dict[str, float]:
    """Prints the table of one file; the best of each task, and the most memory of the pass."""
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for task in TASKS:
            found = measure(task, path)
            before = best.get(task, found)
            best[task] = {key: (max if key == "mb" else min)(found[key], before[key]) for key in found}
    print(f"\n{path.name}: {path.stat().st_size / 1e6:,.0f} MB, {packets:,} packets; load {os.getloadavg()[0]:.1f}")
    print(f"{'':26}{'ns/packet':>10}{'x bare':>8}{'CPU ns':>8}{'start s':>9}{'draw s':>8}{'memory':>10}")
    for task, found in best.items():
        ratio, cpu = found["pass"] / best["bare"]["pass"], found.get("cpu", 0) / packets * 1e9
        print(
            f"{TASKS[task]:26}{found['pass'] / packets * 1e9:>10.1f}{ratio:>8.2f}{cpu:>8.0f}{found.get('start', 0):>9.2f}"
            f"{found.get('draw', 0):>8.2f}{found['mb']:>7.0f} MB"
        )
    plots, plain = best["plots"], "plain" in path.name
    if plain:
        say(
            f"all plots, uncompressed: {plots['pass'] / packets * 1e9:.0f} ns/packet",
            plots["pass"] / packets * 1e9,
            PLAIN_NS,
        )
    else:
        ratio = plots["pass"] / best["bare"]["pass"]
        say(f"all plots, gzip: {ratio:.2f} x the bare read", ratio, GZIP_RATIO)
    say(f"memory: {plots['mb']:.0f} MB", plots["mb"], MEMORY_LIMIT_MB)
    return plots


def say(what: str, value: float, limit: float, least: bool = False) -> None:
    """A number beside its goal."""
    kept = value >= limit if least else value <= limit
    print(f"  {what}: {'within' if kept else 'NOT within'} the goal of {limit:g}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--packets", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--hundred", action="store_true", help="100 million packets, too: files of 3.6 GB")
    parser.add_argument("--like", nargs="*", default=LIKE, choices=LIKE)
    parser.add_argument("--chunks", nargs="*", default=["daq"], choices=CHUNKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("path", nargs="?", type=Path)
    chosen = parser.parse_args()
    if chosen.task:
        run_task(chosen.task, chosen.path)
        return
    for like in chosen.like:
        for chunks in chosen.chunks:
            for compression in (None, "gzip"):
                memory = {}
                for packets in [*chosen.packets, *([100_000_000] if chosen.hundred else [])]:
                    path = make_file(packets, like, compression, chunks)
                    memory[packets] = compare(path, packets, chosen.rounds)["mb"]
                sizes = sorted(memory)
                if len(sizes) > 1:
                    grown = memory[sizes[-1]] - memory[sizes[-2]]
                    say(f"memory from {sizes[-2]:,} to {sizes[-1]:,}: {grown:+.0f} MB", grown, GROWTH_LIMIT_MB)


if __name__ == "__main__":
    main()
