"""Cases that may crash, hang or eat memory, in a process that may: with limits, and a name for each end.

    outcomes = run("tests.formats.corpus", "inspected", names)

starts ``python -m tests.formats.limited``, which forks a worker that calls ``inspected(name)`` for one name after the other
and, when that worker dies or is too late, says of which case and goes on with the next one in a new worker.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SECONDS = 10.0
MEGABYTES = 400
SPARE_MEGABYTES = 1024
"""Address space beyond the limit: asking for memory is not using it, but must end somewhere."""
REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Outcome:
    """What became of a case: what its function returned, or how it ended."""

    name: Any
    value: Any = None
    end: str = ""
    """How it went wrong: a signal, the time limit, the memory limit, an exception; empty when it did not."""
    seconds: float = 0.0
    megabytes: int = 0
    """By how much the largest memory of the worker grew in this case."""


def run(
    module: str, function: str, names: Sequence[Any], *, seconds: float = SECONDS, megabytes: int = MEGABYTES
) -> list[Outcome]:
    """The outcome of each case, in order."""
    return list(stream(module, function, names, seconds=seconds, megabytes=megabytes))


def stream(
    module: str, function: str, names: Sequence[Any], *, seconds: float = SECONDS, megabytes: int = MEGABYTES
) -> Iterator[Outcome]:
    """The outcomes as they come."""
    process = start(module, function, names, seconds=seconds, megabytes=megabytes)
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            yield Outcome(**json.loads(line))
    if process.returncode:
        raise RuntimeError(f"the runner of {module}.{function} ended with {process.returncode}")


def start(
    module: str, function: str, names: Sequence[Any], *, seconds: float = SECONDS, megabytes: int = MEGABYTES
) -> subprocess.Popen[str]:
    """The process that runs the cases and writes an outcome as JSON in each line."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONFAULTHANDLER": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.formats.limited", module, function, str(seconds), str(megabytes)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(list(names)))
    process.stdin.close()
    process.stdin = None
    return process


# -- the process that forks -----------------------------------------------------------------------------------------------


def serve(act: Callable[[Any], Any], names: list[Any], seconds: float, megabytes: int, out: IO[str]) -> None:
    """Writes the outcome of each of `names`."""
    at = 0
    while at < len(names):
        reading, writing = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(reading)
            _work(act, names[at:], megabytes, writing)
        os.close(writing)
        at += _follow(reading, worker, names[at:], seconds, out)
        os.close(reading)


def _work(act: Callable[[Any], Any], names: list[Any], megabytes: int, pipe: int) -> None:
    """The worker: never returns."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = now + (megabytes + SPARE_MEGABYTES) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name in names:
        before, begun = _peak(), time.perf_counter()
        value, end = None, ""
        try:
            value = act(name)
        except BaseException as error:
            end = f"{type(error).__name__}: {error}"
        grown = (_peak() - before) >> 10
        if grown > megabytes and not end:
            end = f"used {grown} MiB, allowed are {megabytes}"
        record = {"value": value, "end": end, "seconds": round(time.perf_counter() - begun, 4), "megabytes": grown}
        os.write(pipe, json.dumps(record).encode() + b"\n")
        if end:
            os._exit(0)  # what is left of it must not spoil the next ones
    os._exit(0)


def _peak() -> int:
    """The most memory that this process had at any time [KiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _follow(pipe: int, worker: int, names: list[Any], seconds: float, out: IO[str]) -> int:
    """Passes on what the worker says, until it ends; how many of the names are done."""
    done, buffer = 0, b""
    while done < len(names):
        ready, _, _ = select.select([pipe], [], [], seconds)
        got = os.read(pipe, 1 << 16) if ready else b""
        buffer += got
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            _say(out, {"name": names[done]} | json.loads(line))
            done += 1
        if not ready:
            os.kill(worker, signal.SIGKILL)
        if not got:
            break
    _, status = os.waitpid(worker, 0)
    if not ready:
        _say(out, {"name": names[done], "end": f"took more than {seconds:g} s"})
        return done + 1
    if os.WIFSIGNALED(status):
        _say(out, {"name": names[done], "end": f"killed by {signal.Signals(os.WTERMSIG(status)).name}"})
        return done + 1
    return done


def _say(out: IO[str], record: dict[str, Any]) -> None:
    out.write(json.dumps(record) + "\n")
    out.flush()


if __name__ == "__main__":
    _module, _function, _seconds, _megabytes = sys.argv[1:]
    serve(
        getattr(importlib.import_module(_module), _function),
        json.loads(sys.stdin.read()), float(_seconds), int(_megabytes), sys.stdout,
    )  # fmt: skip
