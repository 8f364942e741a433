"""What else goes wrong under ground: disks that are full or read-only, a database that is away, a clock that is set.

Each is a context: the fault is there inside it. Those that need a mount need root, as a container has it; without it they
are left out, and the summary does not count them.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.postgresql import Server
from tests.soak.fleet import Fleet
from tests.soak.inside import set_clock

DISK_MB = 400


@dataclass(frozen=True)
class Fault:
    """A fault by its name; how to bring it about, and how long it may last [s]."""

    name: str
    make: Callable[[], AbstractContextManager[Any]]
    at_least_s: float = 2.0
    at_most_s: float = 7.0


class Faults:
    """The faults that can be had here, in turn."""

    def __init__(self, state: Path, clock: Path, fleet: Fleet, server: Server | None, random: Random):
        self.state, self.clock, self.fleet, self.server, self.random = state, clock, fleet, server, random
        self._turn = 0
        self.kinds = [Fault("clock set back", self._clock_back, 3, 9), Fault("no file may grow", self._no_growth)]
        if server is not None:
            self.kinds += [Fault("database away", self._away, 1, 8)]
        else:
            self.kinds += [Fault("database held", self._held, 11, 13)]  # longer than a transaction waits for its turn
        if server is None and may_mount():
            self.kinds += [Fault("disk full", self._full), Fault("states read-only", self._read_only)]

    def next(self) -> Fault:
        self._turn += 1
        return self.kinds[(self._turn - 1) % len(self.kinds)]

    @contextmanager
    def _clock_back(self) -> Iterator[None]:
        """Back by some seconds or hours, and forward again."""
        set_clock(self.clock, -self.random.choice([5.0, 90.0, 7200.0]))
        try:
            yield
        finally:
            set_clock(self.clock, 0.0)

    @contextmanager
    def _no_growth(self) -> Iterator[None]:
        """The processes of the ingest may write to no place of a file beyond its first 4 KiB: a quota."""
        self._limit(4096)
        try:
            yield
        finally:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        for role, process in self.fleet.processes():
            if role.endswith(("watch", "standby")):
                with suppress(OSError):
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    @contextmanager
    def _away(self) -> Iterator[None]:
        assert self.server is not None
        self.server.stop()
        try:
            yield
        finally:
            self.server.start()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Another program holds the database."""
        other = sqlite3.connect(self.state / "larboard.sqlite", isolation_level=None, timeout=60)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.close()

    @contextmanager
    def _full(self) -> Iterator[None]:
        filler = self.state / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def _read_only(self) -> Iterator[None]:
        states = str(self.state / "states")
        _run("mount", "--bind", states, states)
        _run("mount", "-o", "remount,bind,ro", states)
        try:
            yield
        finally:
            _run("umount", "--lazy", states)


def may_mount() -> bool:
    """Whether a file system of limited size can be had."""
    if os.geteuid() != 0:
        return False
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True)
    return probe.returncode == 0


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for the state, where that can be had."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = may_mount() and _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder))
    try:
        yield
    finally:
        if mounted:
            _run("umount", "--lazy", str(folder))


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0
