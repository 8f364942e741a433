"""Raw PACMAN messages to packet rows, on one core, with numba and without; h5py has read them already: ``make bench``."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from benchmarks.process import say

DATA = Path(__file__).parent / "data" / "decoding"
GOAL = {True: 30, False: 5}  # million packets/s
MESSAGES = 1024
ROUNDS = 5


def main() -> None:
    from dqm import kernels
    from dqm.demo import DemoRun, take_run
    from dqm.formats import open_file, words
    from dqm.kernels.memory import keep_freed

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--packets", type=int, default=2_000_000)
    chosen = parser.parse_args()
    folder = DATA / str(chosen.packets)
    made = next(iter(folder.glob("binary-*")), None)
    raw = made or take_run(DemoRun.of_packets(chosen.packets), folder, packets=False).raw
    with open_file(raw) as reader:
        begun = time.perf_counter()
        portions = [
            (reader._read_messages(at, min(at + MESSAGES, reader.messages)), reader._io_groups(at, at + MESSAGES))
            for at in range(0, reader.messages, MESSAGES)
        ]
        reading = time.perf_counter() - begun
    keep_freed()
    print(
        f"{chosen.packets:,} packets in {sum(len(one) for one, _ in portions):,} messages; load {os.getloadavg()[0]:.1f}"
    )
    for numba in (True, False):
        kernels.allow(numba)
        if numba and kernels.loops_for(kernels.WORTH) is None:
            print("  numba is not installed")
            continue
        best = float("inf")
        for _ in range(ROUNDS + 1):  # the first loads what is compiled
            begun, rows = time.thread_time(), 0
            for payloads, io_groups in portions:
                rows += len(words.decode(payloads, io_groups)[0])
            best = min(best, time.thread_time() - begun)
        speed = rows / best / 1e6
        name = "with numba" if numba else "without"
        say(
            f"{name}: {speed:.1f} million packets/s of CPU, {best / reading:.2f} x reading them",
            speed,
            GOAL[numba],
            True,
        )


if __name__ == "__main__":
    main()
