"""Speed and memory of ``larboard convert`` over some million packets of the demo detector: ``python -m benchmarks.convert``.

As a ratio to writing the same rows, which are in memory already, to the same kind of file, in the same run, files warm in
the page cache; the best of several interleaved rounds, each in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

DATA = Path(__file__).parent / "data" / "convert"
ROUNDS = 3


def write_alone(raw: Path, target: Path) -> tuple[int, float]:
    from dqm.formats import open_file
    from dqm.formats.convert import rows_of_today
    from dqm.formats.writers import PacketWriter

    with open_file(raw) as reader:
        blocks = [rows_of_today(packets) for packets in reader.blocks()]
    begun = time.perf_counter()
    with PacketWriter(target) as writer:
        for rows in blocks:
            writer.write(rows)
    return sum(map(len, blocks)), time.perf_counter() - begun


def convert(raw: Path, target: Path) -> tuple[int, float]:
    from dqm.formats import open_file
    from dqm.formats.convert import convert_raw

    with open_file(raw) as reader:
        begun = time.perf_counter()
        rows = convert_raw(reader, target)
        return rows, time.perf_counter() - begun


TASKS = {"write": write_alone, "convert": convert}


def measure(task: str, raw: Path) -> tuple[int, float, float]:
    """Rows, seconds and peak memory [MB] of one task in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.convert", "--task", task, str(raw)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, seconds, megabytes = done.stdout.split()
    return int(rows), float(seconds), float(megabytes)


def run_task(task: str, raw: Path) -> None:
    target = raw.with_name(f"{task}.hdf5")
    try:
        rows, seconds = TASKS[task](raw, target)
    finally:
        target.unlink(missing_ok=True)
    print(rows, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("raw", type=Path, nargs="?")
    parser.add_argument("--packets", type=int, default=4_000_000)
    parser.add_argument("--task", choices=TASKS)
    options = parser.parse_args()
    if options.task:
        run_task(options.task, options.raw)
        return
    raw = options.raw or made(options.packets)
    rounds = [{task: measure(task, raw) for task in TASKS} for _ in range(ROUNDS)]
    best = {task: min((found[task] for found in rounds), key=lambda one: one[1]) for task in TASKS}
    for task, (rows, seconds, megabytes) in best.items():
        ratio = seconds / best["write"][1]
        speed = f"{rows / seconds / 1e6:.1f} million/s, {ratio:.1f} x writing"
        print(f"{task:<8} {rows:,} packets in {seconds:.2f} s: {speed}, {megabytes:.0f} MB")


def made(packets: int) -> Path:
    from dqm.demo import DemoRun, take_run

    folder = DATA / str(packets)
    for path in folder.glob("binary-*"):
        return path
    raw = take_run(DemoRun.of_packets(packets), folder, packets=False).raw
    assert raw is not None
    return raw


if __name__ == "__main__":
    main()
