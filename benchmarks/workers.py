"""How the throughput of the ingest grows with its workers: a backlog of files, from none counted to all: ``make bench``.

The same files each time, a new store each time, warm in the page cache; ratios to the executor ``inline`` in the same run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).parent / "data" / "backlog"
RUN_S = 48
SUBRUN_S = 2
SETTLED = 1_700_000_000


def files() -> list[Path]:
    """A run of the demo detector in many files, made once."""
    from dqm.demo import DemoRun, take_run

    made = sorted(DATA.glob("packet-*.hdf5"))
    if not made:
        take_run(DemoRun(seed=2, duration_s=RUN_S, start_unix=1_750_000_000), DATA, subrun_seconds=SUBRUN_S, raw=False)
        made = sorted(DATA.glob("packet-*.hdf5"))
        for path in made:
            os.utime(path, (SETTLED, SETTLED))
    return made


def worked_off(executor: str, workers: int, expected: int) -> tuple[float, int]:
    """Seconds from the first look to the last file that is counted, and packets."""
    from dqm.ingest.service import Watch
    from dqm.records import FileState
    from dqm.settings import Settings
    from dqm.store import files as ledger
    from dqm.store import open_store, runs
    from dqm.worker import executor_of, sources_of
    from plots.discovery import Shelf

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data={"directory": folder},
            ingest={"roots": [DATA], "watch": "poll", "executor": executor, "workers": workers},
        )
        store = open_store(f"sqlite:///{folder}/larboard.sqlite", Path(folder) / "states")
        hands = executor_of(settings)
        watch = Watch(store, settings, sources_of(settings), Shelf(), executor=hands)
        if hands is not None:  # a worker that is being started counts nothing, and a service runs for months
            from dqm.ingest.work import Examine

            for future in [hands.submit(Examine(str(DATA)), 60) for _ in range(workers)]:
                future.result()
        start = time.perf_counter()
        done = 0
        while done < expected:
            if not watch.step():
                watch.hints.news.wait(0.5)
            with store.read() as tx:
                done = ledger.tally(tx).get(FileState.DONE, 0)
        seconds = time.perf_counter() - start
        with store.read() as tx:
            packets = sum(run.packets for run in runs.open_ones(tx))
        if hands is not None:
            hands.close()
        store.close()
    return seconds, packets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    chosen = parser.parse_args()
    made = files()
    inline, packets = worked_off("inline", 0, len(made))
    print(f"a backlog of {len(made)} files, {packets:,} packets, {len(os.sched_getaffinity(0))} cores")
    print(f"{'executor':<14}{'packets/s':>12}{'files/s':>10}{'ratio':>8}")
    print(f"{'inline':<14}{packets / inline:>12,.0f}{len(made) / inline:>10.1f}{1:>8.2f}")
    for number in chosen.workers:
        seconds, counted = worked_off("processes", number, len(made))
        assert counted == packets, f"{counted:,} packets were counted, not {packets:,}"
        name = f"processes {number}"
        print(f"{name:<14}{packets / seconds:>12,.0f}{len(made) / seconds:>10.1f}{inline / seconds:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
