"""A watch over a folder with its own clock: tests say when time passes, nothing sleeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dqm.demo import DemoRun, take_run
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter
from dqm.ingest.executors import Executor
from dqm.ingest.oneshot import Sources
from dqm.ingest.service import Watch
from dqm.records import DataFile, Element, Run, Watcher
from dqm.settings import Settings
from dqm.store import Store, elements, files, open_store, runs, watchers
from plots.discovery import Limits, Shelf
from tests.conftest import REPOSITORY

SHORT = DemoRun(seed=3, duration_s=4, start_unix=1_750_000_000).busier(0.1)


class Clock:
    """Time that passes when it is told to. It begins well after the files of a test are made."""

    def __init__(self) -> None:
        self.now = 4_000_000_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A data root, a store, a watch."""

    def __init__(
        self, folder: Path, *, store: Store | None = None, plugins: Iterable[Path] = (),
        executor: Executor | None = None, **ingest: Any,
    ):  # fmt: skip
        self.folder = folder
        self.root = folder / "data"
        self.root.mkdir(parents=True, exist_ok=True)
        roots = ingest.pop("roots", [self.root])
        self.settings = Settings(
            data={"directory": folder / "state"},
            ingest={"roots": roots, "watch": "poll", **ingest},
            plots={"paths": list(plugins)},
        )
        self.store = store or open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states")
        self.clock = Clock()
        self.executor = executor
        self.watch = self.new_watch()

    def new_watch(self) -> Watch:
        """A watch as after a kill and a restart: it knows nothing but the store, and the lease of the old one is over."""
        if isinstance(self.clock, Clock):
            self.clock.now += 20
        shelf = Shelf(self.settings.plots.paths, Limits.of(self.settings.plots))
        return Watch(self.store, self.settings, Sources(), shelf, self.clock, self.executor)

    def scan(self) -> None:
        """Looks at everything once, and works until nothing is due at this moment."""
        self.watch._next["scan"] = 0.0
        for _ in range(2000):
            if self.watch.step():
                continue
            if not self.watch.flights.in_air:
                return
            assert self.watch.hints.news.wait(60), "a worker does not answer"
        raise AssertionError("the watch does not come to rest")

    def settle(self, seconds: float = 2.0, times: int = 4) -> None:
        """Lets time pass until files that do not change are done."""
        for _ in range(times):
            self.clock.now += seconds
            self.scan()

    def file(self, name: str) -> DataFile:
        with self.store.read() as tx:
            found = [file for file in files.search(tx, limit=1000) if Path(file.path).name == name]
        assert len(found) == 1, f"{len(found)} rows for {name}"
        return found[0]

    def states(self) -> dict[str, str]:
        """State of every current file by name."""
        with self.store.read() as tx:
            return {Path(file.path).name: str(file.state) for file in files.search(tx, limit=1000)}

    def done(self) -> list[str]:
        """Names of the files that are done, newest first."""
        with self.store.read() as tx:
            return [Path(file.path).name for file in files.search(tx, state="done", limit=100_000)]

    def newest(self, count: int) -> list[str]:
        """Names of the newest files, newest first."""
        with self.store.read() as tx:
            return [Path(file.path).name for file in files.search(tx, limit=count)]

    def leader(self) -> Watcher:
        with self.store.read() as tx:
            return watchers.alive(tx, 0)[0]

    def run(self, key: str) -> Run:
        with self.store.read() as tx:
            found = runs.get(tx, key)
        assert found
        return found

    def elements(self, run: str) -> dict[str, Element]:
        with self.store.read() as tx:
            found = runs.get(tx, run)
            assert found
            return elements.of_run(tx, found.id)

    def bases(self, run: str) -> dict[str, str | None]:
        """Content addresses of what is merged in a run: equal addresses are equal bits."""
        return {name: element.base for name, element in self.elements(run).items()}


def take(folder: Path, run: DemoRun = SHORT, number: int = 5, subrun_s: int = 2, **kinds: bool) -> list[Path]:
    """Files of a run, old enough to be stable; in the order of time."""
    made, places = _taken(run, number, subrun_s, tuple(sorted(kinds.items())))
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made / place, folder / place)
        age(folder / place)
    return [folder / place for place in places]


MADE = tempfile.TemporaryDirectory(prefix="larboard-made-")


@cache
def _taken(run: DemoRun, number: int, subrun_s: int, kinds: tuple[tuple[str, bool], ...]) -> tuple[Path, list[Path]]:
    """Where the files of a run are, made once, and their places in it."""
    into = Path(tempfile.mkdtemp(dir=MADE.name))
    taken = take_run(run, into, run_number=number, subrun_seconds=subrun_s, **dict(kinds))
    paths = [path for subrun in taken.subruns for path in (subrun.raw, subrun.packets) if path]
    return into, [path.relative_to(into) for path in paths]


def age(path: Path, unix: float = 1_700_000_000) -> None:
    os.utime(path, (unix, unix))


def backlog(folder: Path, count: int, first: int = 0, run: int | None = None, rows: int = 20) -> list[Path]:
    """Tiny packet files, each newer than the one before; ten of a run, or all of `run`."""
    made = []
    for number in range(first, first + count):
        key, stamp = number // 10 + 1 if run is None else run, datetime.fromtimestamp(1_750_000_000 + number, UTC)
        path = folder / f"packet-{key:07d}-{stamp:%Y_%m_%d_%H_%M_%S}_UTC.h5"
        packets = np.zeros(rows, PACKET_DTYPE)
        packets["io_group"], packets["timestamp"], packets["receipt_timestamp"] = 1, np.arange(rows) + number, number
        packets["packet_type"][0], packets["timestamp"][0] = 4, 1_750_000_000 + number
        with PacketWriter(path, created=float(number), chunk_rows=rows) as writer:
            writer.write(packets)
        age(path, 1_700_000_000 + number)
        made.append(path)
    return made


WRITER = """
import sys, h5py
from dqm.formats.writers import PacketWriter
from dqm.formats import open_file
with open_file(sys.argv[1]) as source:
    rows = source._file["packets"][:]
writer, at = PacketWriter(sys.argv[2], swmr=sys.argv[3] == "swmr"), 0
for line in sys.stdin:
    verb, _, number = line.strip().partition(" ")
    if verb == "write":
        writer.write(rows[at : at + int(number)])
        at += int(number)
        writer._file.flush()
    else:
        writer.close()
    print("done", flush=True)
"""


class Writer:
    """Another process that has a file open, as a DAQ has."""

    def __init__(self, source: Path, target: Path, swmr: bool = False):
        command = [sys.executable, "-c", WRITER, str(source), str(target), "swmr" if swmr else ""]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )

    def do(self, what: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(what, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate(timeout=20)
