"""Tasks done at once, in the process of the ingest: for tests and very small machines. Nothing limits them."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from dqm.ingest.executors.base import Task, try_to_run
from dqm.ingest.work import Bench


@dataclass
class Inline:
    """Does each task while it is handed in."""

    bench: Bench
    slots: int = 1
    problem: str = ""

    def submit(self, task: Task, limit_s: float) -> Future:
        future: Future = Future()
        try:
            future.set_result(try_to_run(task, self.bench))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        return
