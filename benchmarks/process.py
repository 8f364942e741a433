"""Speed and memory of reading, and of all plots, over 10 million packets: ``make bench``.

Each figure is a ratio to reading the same HDF5 dataset bare, in 65,536-row blocks into nothing, in the same run and in a
process of its own, files warm in the page cache; the best of several interleaved rounds. The file is made by the demo
detector, once.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

DATA = Path(__file__).parent / "data"
ROUNDS = 3
MEMORY_LIMIT_MB = 400


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


def through_reader(path: Path) -> None:
    """Blocks with all derived columns, no plots."""
    from dqm.detector import demo_detector
    from dqm.formats import open_file

    with open_file(path, demo_detector()) as reader:
        for packets in reader.blocks():
            packets["unix_time"], packets["time_ticks"], packets["tile"], packets["pixel"]


def all_plots(path: Path) -> None:
    """What ``larboard process`` does, all built-in plots, without writing."""
    from dqm.ingest.oneshot import Sources, process
    from plots.discovery import discover

    report = process(path, [found.plot for found in discover().plots.values()], Sources())
    assert report.state == "ok", report.reason
    assert not report.broken


TASKS = {"bare": bare, "reader": through_reader, "plots": all_plots}
NAMES = {"bare": "bare read", "reader": "reader, derived columns", "plots": "all plots (larboard process)"}


def measure(task: str, path: Path) -> tuple[float, float]:
    """Seconds and peak memory [MB] of one task in a fresh process; the time leaves out starting Python."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.process", "--task", task, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def run_task(task: str, path: Path) -> None:
    import plots.discovery  # noqa: F401  (imports are not what is measured)

    start = time.perf_counter()
    TASKS[task](path)
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make_file(packets: int, compression: str | None) -> Path:
    """The demo detector's file of so many packets, made when it is not there."""
    from dqm.demo import DemoRun, take_run

    folder = DATA / f"{packets}-{compression or 'plain'}"
    found = list(folder.glob("packet-*.hdf5"))
    if not found:
        print(f"making {packets:,} packets, {compression or 'uncompressed'} ...", flush=True)
        taken = take_run(DemoRun.of_packets(packets), folder, raw=False, compression=compression)
        found = [taken.packets] if taken.packets else []
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=10_000_000)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("path", nargs="?", type=Path)
    options = parser.parse_args()
    if options.task:
        run_task(options.task, options.path)
        return
    for compression in (None, "gzip"):
        path = make_file(options.packets, compression)
        best: dict[str, tuple[float, float]] = {}
        for _ in range(ROUNDS):
            for task in TASKS:
                seconds, megabytes = measure(task, path)
                before = best.get(task, (float("inf"), 0.0))
                best[task] = (min(before[0], seconds), max(before[1], megabytes))
        print(f"\n{compression or 'uncompressed'}: {path.stat().st_size / 1e6:.0f} MB, {options.packets:,} packets")
        print(f"{'':32}{'packets/s':>12}{'ratio to bare':>15}{'peak memory':>13}")
        for task, (seconds, megabytes) in best.items():
            ratio = seconds / best["bare"][0]
            print(f"{NAMES[task]:32}{options.packets / seconds:>12.3g}{ratio:>15.2f}{megabytes:>10.0f} MB")
        peak = best["plots"][1]
        verdict = "within" if peak <= MEMORY_LIMIT_MB else "ABOVE"
        print(f"memory of larboard process: {peak:.0f} MB, {verdict} the {MEMORY_LIMIT_MB} MB that are promised")


if __name__ == "__main__":
    main()
