"""Tasks done by the workers of a Dask cluster, on this host or others that see the same files under the same names."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dqm import logs
from dqm.ingest.executors.base import Away, Lost, MakeBench, Task, TooLong, perform

log = logging.getLogger("larboard.watch")

CONNECT_S = 3.0
AGAIN_S = 5.0
LOOK_S = 0.5


@dataclass
class _Given:
    """A task that is on the cluster."""

    answer: Future
    limit_s: float
    until: float | None = None
    """When it is too late, from when a worker has it on."""
    inner: Any = None


class Dask:
    """A client that comes back by itself when the scheduler does. Dask gives a task to another worker when one dies."""

    def __init__(self, make: MakeBench, address: str):
        self.address = address
        self.slots = 2
        self._problem = ""
        self._make = make
        self._client: Any = None
        self._given: set[int] = set()
        self._tasks: dict[int, _Given] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._count = 0
        self._connect()
        self._minder = threading.Thread(target=self._mind, name="dask", daemon=True)
        self._minder.start()

    @property
    def problem(self) -> str:
        return self._problem

    def submit(self, task: Task, limit_s: float) -> Future:
        answer: Future = Future()
        answer.set_running_or_notify_cancel()  # what is on the cluster cannot be called back
        client = self._client
        if client is None or self._problem:
            answer.set_exception(Away(self._problem))
            return answer
        with self._lock:
            self._count += 1
            number = self._count
            given = self._tasks[number] = _Given(answer, limit_s)
        try:
            key = f"larboard-{id(self):x}-{number}"
            given.inner = client.submit(perform, self._make, task, logs.carry(), pure=False, key=key)
            given.inner.add_done_callback(lambda done: self._done(number, done))
        except Exception as error:  # the connection broke while it was handed in
            self._fail(number, Away(f"Dask at {self.address} did not take a task: {type(error).__name__}"))
        return answer

    def _done(self, number: int, done: Any) -> None:
        """Hands on what a task gave, whatever became of it; runs in a thread of the client."""
        if done.status == "finished":
            try:
                value = done.result(timeout=CONNECT_S)
            except Exception as error:
                self._fail(number, Away(f"the answer of a Dask worker was lost: {type(error).__name__}"))
            else:
                self._settle(number, value)
        elif done.status == "error":
            self._fail(number, _as_ours(done.exception(timeout=CONNECT_S)))
        else:
            self._fail(number, Away(f"Dask at {self.address} gave up a task ({done.status})"))

    def _settle(self, number: int, value: Any) -> None:
        with self._lock:
            given = self._tasks.pop(number, None)
        if given is not None:
            given.answer.set_result(value)

    def _fail(self, number: int, error: BaseException) -> None:
        with self._lock:
            given = self._tasks.pop(number, None)
        if given is not None:
            given.answer.set_exception(error)

    # -- looked after in a thread of its own --------------------------------------------------------------------------

    def _mind(self) -> None:
        """Connects again when the scheduler went, and ends workers that hang."""
        while not self._stop.wait(LOOK_S):
            try:
                self._look()
            except Exception as error:  # the network may say anything, and somebody must go on looking
                log.warning("Dask at %s: %s: %s", self.address, type(error).__name__, error)

    def _look(self) -> None:
        if self._client is None or self._client.status != "running":
            self._give_all_back()
            self._connect()
            if self._client is None:
                self._stop.wait(AGAIN_S - LOOK_S)
            return
        self._count_workers()
        if not self._tasks:
            return
        held = {key for keys in self._client.processing().values() for key in keys}
        for number, given in list(self._tasks.items()):
            if given.until is None and given.inner is not None and given.inner.key in held:
                given.until = time.monotonic() + given.limit_s
            if given.until is not None and time.monotonic() > given.until:
                self._end_hanging(number, given)

    def _connect(self) -> None:
        from distributed import Client

        for name in ("distributed.client", "distributed.core", "distributed.comm"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it is said in one line, as a problem of the ingest
        self._leave()
        try:
            self._client = Client(self.address, timeout=CONNECT_S, set_as_default=False, name="larboard")
            self._problem = ""
            self._count_workers()
        except Exception as error:  # whatever the network says
            self._client = None
            what = type(error).__name__
            self._problem = f"no Dask scheduler answers at {self.address} ({what}): start it, or set ingest.executor"

    def _count_workers(self) -> None:
        try:
            threads = sum(self._client.nthreads().values())
        except Exception:
            return  # the connection is just going; the next look sees it
        self.slots = max(2, threads + 1)
        self._problem = "" if threads else f"the Dask scheduler at {self.address} has no workers: start some"

    def _give_all_back(self) -> None:
        for number in list(self._tasks):
            self._fail(number, Away(f"the Dask scheduler at {self.address} went away"))

    def _end_hanging(self, number: int, given: _Given) -> None:
        """A task cannot be stopped, its worker can (its nanny starts it anew)."""
        self._fail(number, TooLong(f"reading it took longer than {given.limit_s:g} s; the worker was ended"))
        with suppress(Exception):
            key = given.inner.key
            workers = [address for address, keys in self._client.processing().items() if key in keys]
            given.inner.cancel(force=True)
            if workers:
                self._client.restart_workers(workers, timeout=CONNECT_S, raise_for_error=False)

    def _leave(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                self._client.close(timeout=1)
            self._client = None

    def close(self) -> None:
        self._stop.set()
        self._minder.join()
        self._give_all_back()
        self._leave()


def _as_ours(error: BaseException | None) -> BaseException:
    """KilledWorker is a death over the task; any other error is that of the task."""
    if type(error).__name__ == "KilledWorker":
        return Lost("the Dask workers that read it died, one after the other")
    return error or Lost("a Dask worker gave no reason")
