"""A watch over a folder with its own clock: tests say when time passes, nothing sleeps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dqm.demo import DemoRun, take_run
from dqm.ingest.executors import Executor
from dqm.ingest.oneshot import Sources
from dqm.ingest.service import Watch
from dqm.records import DataFile, Element
from dqm.settings import Settings
from dqm.store import Store, elements, files, open_store, runs
from plots.discovery import Limits, Shelf

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
    taken = take_run(run, folder, run_number=number, subrun_seconds=subrun_s, **kinds)
    paths = [path for subrun in taken.subruns for path in (subrun.raw, subrun.packets) if path]
    for path in paths:
        age(path)
    return paths


def age(path: Path, unix: float = 1_700_000_000) -> None:
    os.utime(path, (unix, unix))
