"""Files that are being taken side by side: each a generator that yields tasks, driven on when a worker has done one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from dqm.ingest.executors import Away, Executor
from dqm.ingest.take import Steps, Task
from dqm.records import DataFile

PARKED = 4
"""So many more files may be half done than tasks are given out: a new one goes before a long one."""


@dataclass
class Flight:
    """A file under way."""

    file: DataFile
    steps: Steps
    closed: bool
    begun: float = field(default_factory=time.monotonic)
    task: Task | None = None
    """What is to be done next."""
    future: Future | None = None
    """What is being done."""
    disturbed: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun


class Flights:
    """All files under way. `limit_s` says how long a task may take; `news` is called, in any thread, when one is done."""

    def __init__(self, executor: Executor, limit_s: Callable[[], float], news: Callable[[], None]):
        self._executor = executor
        self._limit_s = limit_s
        self._news = news
        self._flights: dict[int, Flight] = {}

    @property
    def ids(self) -> set[int]:
        """Files that are under way."""
        return set(self._flights)

    @property
    def have_room(self) -> bool:
        """Whether a worker could do another task now."""
        return self.in_air < self._executor.slots

    @property
    def in_air(self) -> int:
        """How many tasks are with workers."""
        return sum(flight.future is not None for flight in self._flights.values())

    @property
    def many(self) -> bool:
        """Whether no further file should be begun."""
        return len(self._flights) >= self._executor.slots + PARKED

    def add(self, file: DataFile, steps: Steps, closed: bool) -> Flight:
        flight = self._flights[file.id] = Flight(file, steps, closed)
        return flight

    def landed_tasks(self) -> Iterator[Flight]:
        """Files whose task is done."""
        for flight in list(self._flights.values()):
            if flight.future is not None and flight.future.done():
                yield flight

    def newest_ready(self) -> Flight | None:
        """The newest file that waits for a worker."""
        ready = [flight for flight in self._flights.values() if flight.future is None]
        return max(ready, key=lambda flight: flight.file.mtime_ns, default=None)

    def take_in(self, flight: Flight) -> bool:
        """Goes on with what a worker has done, to the next task of the file; True when the file is over.

        Raises what its steps raise, and what befell its worker (WorkerTrouble); then the file is over too.
        """
        future, flight.future = flight.future, None
        assert future is not None
        if flight.disturbed:  # what it began with is not so any more: it is due again, from what is saved
            self._drop(flight)
            return True
        return self._advance(flight, future)

    def give(self, flight: Flight) -> bool:
        """Gives the next task of a file to a worker; True when the file is over before that. Raises as `take_in`."""
        if flight.task is None and self._advance(flight, None):
            return True
        assert flight.task is not None
        task, flight.task = flight.task, None
        try:
            flight.future = self._executor.submit(task, self._limit_s())
        except Exception as error:
            self._drop(flight)
            raise Away(f"no worker could be asked: {type(error).__name__}: {error}") from error
        flight.future.add_done_callback(lambda _: self._news())
        return False

    def _advance(self, flight: Flight, future: Future | None) -> bool:
        try:
            flight.task = flight.steps.send(future.result() if future is not None else None)
        except StopIteration:
            self._flights.pop(flight.file.id, None)
            return True
        except BaseException:
            self._drop(flight)
            raise
        return False

    def disturb(self, file_id: int) -> None:
        """What was counted of a file was taken away, or it went: its task is given up when it comes back."""
        if file_id in self._flights:
            self._flights[file_id].disturbed = True

    def drop_all(self) -> None:
        """Gives up all tasks; what is not saved is done anew by whoever leads."""
        for flight in list(self._flights.values()):
            self._drop(flight)

    def _drop(self, flight: Flight) -> None:
        self._flights.pop(flight.file.id, None)
        if flight.future is not None:
            flight.future.cancel()
        flight.steps.close()
