"""A backlog of thousands of files at the start: newest first, what comes meanwhile is next, and it does not slow down.

`python -m tests.soak.backlog --files 10000` starts a real `larboard watch` over a full directory and prints how fast it is
worked off in each tenth: an ingest whose work grew with the number of files would be slower in the last than in the first.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import sqlalchemy as sa

from dqm.records import FileState
from dqm.store import Store, files, open_store, watchers
from dqm.store import tables as t
from tests.ingest.watching import backlog
from tests.soak.fleet import Fleet

PATIENCE_S = 120.0
"""Without one more file for so long the backlog stands still."""
NEWEST_SHARE = 0.9


@dataclass
class Backlog:
    """What was measured."""

    files: int
    making_s: float = 0.0
    noted_s: float = 0.0
    """Until the first file was counted: searching, and writing the ledger."""
    seconds: float = 0.0
    tenths: list[float] = field(default_factory=list)
    """Files per second in each tenth of the backlog."""
    late_s: float | None = None
    """How long a file took that came in the middle."""
    said_left: bool = False
    newest_share: float = 0.0
    """Of the first fifth that was counted, the share that is among the newest fifth of all."""
    problems: list[str] = field(default_factory=list)

    def summary(self) -> str:
        rates = " ".join(f"{rate:.1f}" for rate in self.tenths)
        return (
            f"backlog of {self.files:,} files: first counted after {self.noted_s:.1f} s, all after {self.seconds:.0f} s; "
            f"files/s in each tenth: {rates}; a file that came in the middle was counted after {self.late_s or -1:.1f} s; "
            f"{100 * self.newest_share:.0f} % of the first fifth were the newest; "
            + (f"{len(self.problems)} PROBLEMS" if self.problems else "none lost")
        )


def work_off(count: int, per_run: int = 10, **settings: object) -> Backlog:
    """Makes `count` files, starts a watch over them, and waits until all are counted."""
    place = Path(tempfile.mkdtemp(prefix="larboard-backlog-"))
    result = Backlog(count)
    begun = time.monotonic()
    for number in range(0, count, per_run):
        folder = place / "data" / f"{number // 1000}"
        folder.mkdir(parents=True, exist_ok=True)
        backlog(folder, min(per_run, count - number), first=number, run=number // per_run + 1)
    result.making_s = time.monotonic() - begun
    url = f"sqlite:///{place}/larboard.sqlite"
    store = open_store(url, place / "state" / "states", migrate=True)
    environment = {
        "LARBOARD_STORE__URL": url,
        "LARBOARD_DATA__DIRECTORY": str(place / "state"),
        "LARBOARD_INGEST__ROOTS": f'["{place / "data"}"]',
        **{f"LARBOARD_INGEST__{name.upper()}": str(value) for name, value in settings.items()},
    }
    fleet = Fleet(place, environment)
    fleet.add("watch", "watch")
    try:
        fleet.start()
        _follow(store, place, result)
    finally:
        result.problems += fleet.stop() + fleet.complaints()
        store.close()
        shutil.rmtree(place, ignore_errors=True)
    return result


def _follow(store: Store, place: Path, result: Backlog) -> None:
    begun, marks, late, late_at = time.monotonic(), [0.0], None, 0.0
    done = before = 0
    moved = begun
    while done < result.files + (late is not None):
        threading.Event().wait(0.05)
        now = time.monotonic()
        with store.read() as tx:
            tally = files.tally(tx)
            leader = next(iter(watchers.alive(tx, 0)), None)
            late_row = files.at(tx, str(late)) if late is not None and result.late_s is None else None
        done = tally.get(FileState.DONE, 0)
        if done > before:
            before, moved = done, now
            if not result.noted_s:
                result.noted_s = now - begun
                marks = [result.noted_s]
        while len(marks) < 11 and done >= result.files * len(marks) / 10:
            marks.append(now - begun)
        if not result.newest_share and done >= result.files / 5:
            result.newest_share = _newest_share(store, result.files // 5)
        result.said_left = result.said_left or bool(leader and leader.queue and leader.backlog_s)
        if late is None and done >= result.files / 2:
            (late,), late_at = backlog(place / "data", 1, first=10**6), now
        if late_row is not None and late_row.state is FileState.DONE:
            result.late_s = now - late_at
        if now - moved > PATIENCE_S:
            result.problems.append(
                f"after {done:,} of {result.files:,} files nothing was counted for {PATIENCE_S:g} s: {tally}"
            )
            break
    result.seconds = time.monotonic() - begun
    result.tenths = [result.files / 10 / max(b - a, 1e-3) for a, b in pairwise(marks)]
    if not result.said_left:
        result.problems.append("the leader never said how much is left")
    if result.newest_share < NEWEST_SHARE:
        result.problems.append(f"only {100 * result.newest_share:.0f} % of what was counted first is the newest")


def _newest_share(store: Store, count: int) -> float:
    """How many of the `count` newest files are among those that are done."""
    newest = sa.select(t.files.c.state).where(t.files.c.current).order_by(t.files.c.mtime_ns.desc()).limit(count)
    with store.read() as tx:
        states = list(tx.scalars(newest))
    return sum(state == FileState.DONE for state in states) / max(len(states), 1)


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.soak.backlog", description=__doc__)
    asked.add_argument("--files", type=int, default=10_000)
    asked.add_argument("--per-run", type=int, default=10)
    options = asked.parse_args()
    result = work_off(options.files, options.per_run)
    print(result.summary())
    for problem in result.problems:
        print(f"  {problem}")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
