"""Several Larboard processes from one command: started, started again when one dies, and stopped together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

BAD_INPUT = 2
STOP_S = 8.0
BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
HEALTHY_S = 60.0
PR_SET_PDEATHSIG = 1


@dataclass
class _Child:
    name: str
    arguments: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen | None = None
    starts: int = 0
    failures: int = 0
    began: float = 0.0
    again: float = 0.0

    def start(self) -> None:
        command = [sys.executable, "-m", "dqm.cli", *self.arguments]
        # a group of its own: Ctrl-C comes to us alone, and we stop the children in our order
        self.process = subprocess.Popen(  # noqa: S603
            command, env={**os.environ, **self.environment}, start_new_session=True, preexec_fn=_die_with(os.getpid())
        )
        self.began = time.monotonic()
        self.starts += 1


@dataclass
class Family:
    """Child processes. `run` returns an exit code: 0 when it was told to stop, 2 when a child says its input is bad."""

    say: Callable[[str], None]
    children: list[_Child] = field(default_factory=list)

    def add(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """A process ``larboard ARGUMENTS``, called `name` in what is said about it."""
        self.children.append(_Child(name, list(arguments), environment or {}))

    def run(self, stop: threading.Event) -> int:
        try:
            for child in self.children:
                child.start()
            while not stop.wait(0.2):
                for child in self.children:
                    code = self._look_after(child)
                    if code is not None:
                        return code
            return 0
        finally:
            self._stop()

    def _look_after(self, child: _Child) -> int | None:
        """Starts a child again that died; gives an exit code when that would be of no use."""
        now = time.monotonic()
        if child.process is None:
            if now >= child.again:
                child.start()
            return None
        code = child.process.poll()
        if code is None:
            return None
        if code == BAD_INPUT and child.starts == 1 and now - child.began < HEALTHY_S:
            return BAD_INPUT  # it has said why; later it may be a database that is away for a moment
        child.failures = 1 if now - child.began > HEALTHY_S else child.failures + 1
        wait = BACK_OFF_S[min(child.failures, len(BACK_OFF_S)) - 1]
        self.say(f"{child.name} ended with code {code}; it is started again in {wait:g} s")
        child.process, child.again = None, now + wait
        return None

    def _stop(self) -> None:
        living = [child.process for child in self.children if child.process is not None]
        for process in living:
            process.terminate()
        until = time.monotonic() + STOP_S
        for process in living:
            try:
                process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _die_with(parent: int) -> Callable[[], None]:
    """Lets a child end when its parent is gone, however the parent went (Linux)."""

    def prepare() -> None:
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        except (OSError, AttributeError):
            return
        if os.getppid() != parent:  # it went between fork and here
            os._exit(1)

    return prepare


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
