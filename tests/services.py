"""Commands that go on, as a user starts them: their lines, their API, their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import REPOSITORY


class Service:
    """A command that goes on; its lines, and a way to wait for one."""

    def __init__(self, *arguments: object, cwd: Path, **environment: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from dqm.cli import main; main()", *map(str, arguments)],
            cwd=cwd, env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, text: str, at_most_s: float = 60) -> str:
        """The first line that holds `text`."""
        until = time.monotonic() + at_most_s
        with self._news:
            while True:
                if found := next((line for line in self.lines if text in line), None):
                    return found
                left = until - time.monotonic()
                assert left > 0, "\n".join(self.lines)
                assert self.process.poll() is None, "\n".join(self.lines)
                self._news.wait(min(left, 0.5))

    def stop(self, how: int = signal.SIGINT) -> int:
        family = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        self._reader.join()
        assert self.process.stdout
        self.process.stdout.close()
        assert psutil.wait_procs(family, timeout=10)[1] == [], "a child is left"
        assert not any("Traceback" in line for line in self.lines), "\n".join(self.lines)
        return code


@contextmanager
def running(*arguments: object, cwd: Path, **environment: str) -> Iterator[Service]:
    service = Service(*arguments, cwd=cwd, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop(signal.SIGTERM)
        else:
            service._reader.join()
            assert service.process.stdout
            service.process.stdout.close()


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


def until(question: Callable[[], Any], at_most_s: float = 60) -> Any:
    """The first true answer."""
    end = time.monotonic() + at_most_s
    while True:
        try:
            if answer := question():
                return answer
        except (urllib.error.URLError, OSError):
            pass
        assert time.monotonic() < end, "no answer in time"
        threading.Event().wait(0.1)


def newest_run(port: int) -> dict[str, Any]:
    """The run that the site names first, when there is one."""
    return until(lambda: ask(f"http://127.0.0.1:{port}/api/v1/runs")["runs"])[0]
