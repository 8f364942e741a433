"""The real processes: `larboard watch` (twice, one stands by) and `larboard serve`, as a supervisor keeps them alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dqm.supervise import _die_with
from tests.conftest import REPOSITORY

COMMAND = "from dqm.cli import main; main()"
MARK = "SOAK_FAMILY"
ORPHANS_S = 20.0
"""How long a child may live on when its parent was killed: it has to find out by itself."""
STOP_S = 40.0
OF_KILLED_RELATIVES = ("KeyError: '/mp-", "BrokenPipeError", "EOFError", "ConnectionResetError")
WITHOUT_DATABASE = ("the database cannot be used", "Worker failed to boot")
"""How a process ends that was started while its database was away: with a sentence, to be started again."""


@dataclass
class Member:
    """A process that is started again whenever it is gone."""

    role: str
    arguments: tuple[str, ...]
    log: Path
    process: subprocess.Popen | None = None
    starts: int = 0

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Fleet:
    """All of them. `code` is what their Python runs: a test may put a broken double in its place."""

    folder: Path
    environment: dict[str, str]
    code: str = COMMAND
    members: list[Member] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    """Processes that ended though nobody had killed them, with their exit code."""

    def __post_init__(self) -> None:
        self.mark = uuid.uuid4().hex
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)

    def add(self, role: str, *arguments: str) -> None:
        self.members.append(Member(role, arguments, self.folder / "logs" / f"{role}.log"))

    def start(self) -> None:
        """Starts whatever does not live."""
        for member in self.members:
            if not member.lives:
                self._start(member)

    def _start(self, member: Member) -> None:
        if member.process is not None and member.process.returncode not in (-signal.SIGKILL, None):
            why = last_line(member.log)
            if not any(words in why for words in WITHOUT_DATABASE):
                self.ends.append(f"{member.role} ended with code {member.process.returncode}: {why}")
        with member.log.open("ab") as log:
            member.process = subprocess.Popen(
                [sys.executable, "-c", self.code, *member.arguments], cwd=self.folder, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), MARK: self.mark, **self.environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with(os.getpid()),
            )  # fmt: skip
        member.starts += 1

    def processes(self) -> list[tuple[str, psutil.Process]]:
        """Every living process with what it is: the member itself, or a child of it."""
        found = []
        for member in self.members:
            if not member.lives:
                continue
            assert member.process is not None
            try:
                parent = psutil.Process(member.process.pid)
                found.append((member.role, parent))
                children = [c for c in parent.children(recursive=True) if c.status() != psutil.STATUS_ZOMBIE]
                found += [(f"child of {member.role}", child) for child in children]
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, victim: psutil.Process) -> None:
        """SIGKILL; waits until it is gone, and what it was the parent of, too."""
        try:
            children = victim.children(recursive=True)
            victim.kill()
        except psutil.NoSuchProcess:
            return
        for member in self.members:
            if member.process is not None and member.process.pid == victim.pid:
                member.process.wait(30)
        psutil.wait_procs([victim], timeout=30)
        left = psutil.wait_procs(children, timeout=ORPHANS_S)[1]
        if left:
            self.ends += [f"{' '.join(_cmdline(p))} lives on though its parent was killed" for p in left]
            for process in left:
                process.kill()

    def stop(self) -> list[str]:
        """Tells all to end; gives what did not end as it should."""
        wrong = list(self.ends)
        living = [member for member in self.members if member.lives]
        for member in living:
            assert member.process is not None
            member.process.terminate()
        until = time.monotonic() + STOP_S
        for member in living:
            assert member.process is not None
            try:
                code = member.process.wait(max(until - time.monotonic(), 0.1))
                if code:
                    wrong.append(f"{member.role} stopped with code {code}: {last_line(member.log)}")
            except subprocess.TimeoutExpired:
                wrong.append(f"{member.role} did not stop within {STOP_S:g} s")
                member.process.kill()
                member.process.wait()
        for process in psutil.wait_procs(list(self.strays()), timeout=ORPHANS_S)[1]:
            wrong.append(f"{' '.join(_cmdline(process))} is left")
            process.kill()
        return wrong

    def strays(self) -> Iterator[psutil.Process]:
        """Processes of this fleet that still live, wherever they hang in the tree."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    yield process
            except psutil.Error:
                continue

    def complaints(self) -> list[str]:
        """Tracebacks and surprises in the logs, but for what Python itself says when its relatives are killed."""
        found = []
        for member in self.members:
            lines = member.log.read_text(errors="replace").splitlines() if member.log.exists() else []
            for number, line in enumerate(lines):
                if "Traceback" in line:
                    line = "" if _of_killed_relatives(rest := lines[number + 1 :]) else f"Traceback ... {_end_of(rest)}"
                elif " unexpected: " not in line and "exception calling callback" not in line:
                    line = ""
                if line:
                    found.append(f"{member.log.name}:{number + 1}: {line}")
        return found


def _end_of(traceback: list[str]) -> str:
    """The line that says what was raised; two processes may write theirs into each other."""
    return next((line for line in traceback if line and not line.startswith((" ", "Traceback"))), "")


def _of_killed_relatives(traceback: list[str]) -> bool:
    """Whether Python says that a process is gone that it was told of; also of one that was just beginning to live."""
    end = _end_of(traceback)
    own = traceback[: traceback.index(end)] if end else traceback
    begins = any("multiprocessing/spawn.py" in line and line.endswith("in _main") for line in own)
    return end.startswith(OF_KILLED_RELATIVES) or (begins and end.startswith("FileNotFoundError"))


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "without a word"


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()[-3:]
    except psutil.Error:
        return [str(process.pid)]
