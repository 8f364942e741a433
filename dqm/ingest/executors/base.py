"""What every executor promises: a task handed in comes back as a future, done once, or failed with one of these errors.

A task has no effect but its result, so that one that was lost is simply handed in again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from dqm import logs
from dqm.ingest.work import Bench
from plots.base import HostTrouble


class WorkerTrouble(Exception):
    """The worker did not give an answer; the message says why."""


class Lost(WorkerTrouble):
    """The worker died over the task."""


class TooLong(WorkerTrouble):
    """The task took longer than it may; its worker was ended."""


class Away(WorkerTrouble):
    """There is nobody who could do it now; it is no fault of the task."""


class Task(Protocol):
    """Something to be done with what a worker has at hand."""

    def run(self, bench: Bench) -> Any: ...


class Executor(Protocol):
    """`submit` never blocks for long; `done` of a future may be called in any thread."""

    slots: int
    """So many tasks at once keep all workers busy."""

    @property
    def problem(self) -> str:
        """Why nothing can be done at present; empty when all is well."""

    def submit(self, task: Task, limit_s: float) -> Future: ...

    def close(self) -> None: ...


MakeBench = Callable[[], Bench]
"""Picklable: each worker makes its own bench, once."""

_BENCHES: dict[Any, Bench] = {}


def perform(make: MakeBench, task: Task, about: logs.Carried = None) -> Any:
    """What runs in a worker: the task, with the bench of this process; `about` is the file that lines of the log name."""
    key = getattr(make, "key", make)
    bench = _BENCHES.get(key)
    if bench is None:
        bench = _BENCHES[key] = make()
    with logs.within(about):
        return try_to_run(task, bench)


def try_to_run(task: Task, bench: Bench) -> Any:
    """The task; Away when this machine cannot call plug-ins now."""
    try:
        return task.run(bench)
    except HostTrouble as error:
        raise Away(str(error)) from None
