"""Tasks done in a pool of processes on this host, each with a limit of time and memory: what kills one harms no other."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from dqm import logs
from dqm.ingest.executors.base import Away, Lost, MakeBench, Task, TooLong, WorkerTrouble, perform

MB = 1 << 20
PR_SET_PDEATHSIG = 1
STOP_S = 5.0
BEGIN_S = 30.0
"""A worker that was idle begins with its task within so many seconds. One that was killed while it took the task out of the
pipe never does: the pool knows nothing of it, and its limit of time counts from the beginning."""
TRIES = 3
MOST_BY_ITSELF = 4
PRELOADED = ["dqm.worker"]


class Processes:
    """Workers that are started anew when they die, and end when the process that made them does.

    Each worker has a pool, and with it pipes, of its own: one that is killed in the middle of an answer garbles only that.
    """

    def __init__(self, make: MakeBench, workers: int = 0, memory_mb: int = 2048):
        self.workers = workers or min(len(os.sched_getaffinity(0)), MOST_BY_ITSELF)
        self.slots = self.workers + 1  # one waits, so that no worker does while its answer is written down
        self.problem = ""
        self._make = make
        self._memory_mb = memory_mb
        self._lock = threading.Lock()
        self._waiting: deque[_Given] = deque()
        self._idle = [self._new_pool() for _ in range(self.workers)]
        self._all = set(self._idle)

    def _new_pool(self) -> ProcessPool:
        # not forked from here: HDF5 and the threads of the ingest do not survive that; from a process that only imported
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        return ProcessPool(max_workers=1, context=context, initializer=_begin, initargs=[self._memory_mb])

    def submit(self, task: Task, limit_s: float) -> Future:
        given = _Given(task, limit_s)
        with self._lock:
            self._waiting.append(given)
        self._hand_out()
        return given.answer

    def _hand_out(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or not self._idle:
                    return
                given = self._waiting.popleft()
                if not given.running and not given.answer.set_running_or_notify_cancel():
                    continue  # nobody waits for it any more
                given.running = True
                pool = self._idle.pop()
            try:
                inner = pool.schedule(perform, args=[self._make, given.task, given.about], timeout=given.limit_s)
            except (RuntimeError, OSError) as error:  # its worker died while it had nothing to do, or cannot be started
                self._replace(pool)
                given.tries += 1
                if given.tries < TRIES:
                    with self._lock:
                        self._waiting.appendleft(given)
                else:
                    given.answer.set_exception(Away(f"no process to read in can be started: {error}"))
                continue
            watch = threading.Timer(BEGIN_S, _give_up, [given, inner])
            watch.daemon = True
            watch.start()
            inner.add_done_callback(partial(self._done, pool, given, watch))

    def _done(self, pool: ProcessPool, given: _Given, watch: threading.Timer, done: Future) -> None:
        """Hands on what became of a task; runs in a thread of the pool."""
        watch.cancel()
        error, value = _outcome(done, given.limit_s)
        if given.never_begun and error is not None:
            error = Away(f"no worker began with it in {BEGIN_S:g} s")
        if isinstance(error, WorkerTrouble):
            self._replace(pool)
        else:
            with self._lock:
                self._idle.append(pool)
        self._hand_out()
        with suppress(InvalidStateError):  # cancelled: the lead was lost, and nobody wants the answer any more
            if error is None:
                given.answer.set_result(value)
            else:
                given.answer.set_exception(error)

    def _replace(self, pool: ProcessPool) -> None:
        with self._lock:
            if pool not in self._all:  # closed meanwhile
                return
            self._all.discard(pool)
        # this may be a thread of the pool itself, which cannot wait for its own end
        threading.Thread(target=_end, args=[[pool]], name="end of a worker", daemon=True).start()
        new = self._new_pool()
        with self._lock:
            self._all.add(new)
            self._idle.append(new)

    def close(self) -> None:
        with self._lock:
            pools, self._all, self._idle = list(self._all), set(), []
        _end(pools)


@dataclass
class _Given:
    task: Task
    limit_s: float
    about: logs.Carried = field(default_factory=logs.carry)
    answer: Future = field(default_factory=Future)
    tries: int = 0
    running: bool = False
    """From here on it cannot be called back."""
    never_begun: bool = False


def _give_up(given: _Given, inner: Future) -> None:
    """Ends a task that nobody has begun with."""
    if not inner.running() and not inner.done():
        given.never_begun = True
        inner.cancel()


def _end(pools: list[ProcessPool]) -> None:
    for pool in pools:
        pool.stop()
    for pool in pools:
        with suppress(TimeoutError, RuntimeError):
            pool.join(STOP_S)


def _outcome(done: Future, limit_s: float) -> tuple[BaseException | None, Any]:
    """(what went wrong, the answer)."""
    try:
        return None, done.result()
    except ProcessExpired as error:
        return Lost(f"the worker that read it died ({_cause(error)})"), None
    except TimeoutError:
        return TooLong(f"reading it took longer than {limit_s:g} s; the worker was ended"), None
    except (CancelledError, BrokenExecutor):
        return Lost("the worker that read it died"), None
    except Exception as error:
        return error, None


def _cause(error: ProcessExpired) -> str:
    code = error.exitcode or 0
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _begin(memory_mb: int) -> None:
    """Once in each worker: it dies with its parent, leaves Ctrl-C to it, and may only use so much memory more.

    Its parent is the process that workers are forked from, which in turn ends with the one that made the pool.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it went before we could ask
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = memory_used() + memory_mb * MB
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def memory_used() -> int:
    """Bytes of data of this process that RLIMIT_DATA counts (Linux: VmData)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
