"""A process of its own that opens a file first: HDF5 may crash, hang or take all memory over a damaged one.

HDF5 walks in circles over some damage (a global heap of zeros, an index that says it is endless), holding the interpreter
while it does. So every file is first opened, with all that opening reads, by a helper with limits. If the helper does not
come back, the file is quarantined with the reason, and nothing in this process has touched it.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import math
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SECONDS = 10.0
"""How long opening may take: shorter than the lease of the ingest that waits for it."""
MEMORY_BYTES = 2 * 2**30
MOST_OPENED_BYTES = 256 * 2**20
"""What opening may take of that; beyond it, it is a text or an index that says it is gigabytes long."""
SPARE_S = 2
"""A helper over whose question nobody waits any more ends itself so long after whoever asked would have ended it."""
PR_SET_PDEATHSIG = 1
REMEMBERED = 1000
REMEMBERED_S = 60.0
OPENED = "opened"


class Doorkeeper:
    """Asks a helper process, which is started when it is first needed and anew when it died."""

    def __init__(self, seconds: float | None = None):
        self.seconds = seconds
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._refused: dict[tuple[Any, ...], tuple[float, str]] = {}

    def objection(self, path: Path, provisional: bool = False) -> str:
        """Why the file must not be opened in this process; empty when it may be."""
        try:
            info = path.stat()
        except OSError:
            return ""
        known = (str(path), info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
        with self._lock:
            before, reason = self._refused.get(known, (0.0, ""))
            if reason and time.monotonic() - before < REMEMBERED_S:
                return reason
            answer = self._ask(path, provisional)
            if answer is None:  # the helper was killed, or the thread that started it ended: that says nothing
                answer = self._ask(path, provisional)
            reason = answer or ""
            if reason:
                self._refused = dict(list(self._refused.items())[-REMEMBERED:]) | {known: (time.monotonic(), reason)}
            return reason

    def _ask(self, path: Path, provisional: bool) -> str | None:
        """What the helper objects; None when it was killed over it."""
        helper = self._running()
        if helper is None:
            return ""  # no process to be had: reading must go on
        seconds = self.seconds or SECONDS
        question = json.dumps([os.fsencode(path).hex(), provisional, seconds]).encode() + b"\n"
        try:
            assert helper.stdin
            assert helper.stdout
            helper.stdin.write(question)
            helper.stdin.flush()
            came, _, _ = select.select([helper.stdout], [], [], seconds)
            if came and (answer := helper.stdout.readline().decode().strip()):
                if answer != OPENED:
                    self._end(helper)  # what it took it may keep
                return "" if answer == OPENED else answer
        except OSError:
            came = [helper.stdout] if helper.stdout else []
        ended = self._end(helper)
        if not came:
            return f"HDF5 did not come to an end with it within {seconds:g} s: its structure is damaged"
        if ended == signal.SIGKILL:
            return None
        return f"HDF5 crashed over it ({_name(ended)}): its structure is damaged"

    def _running(self) -> subprocess.Popen[bytes] | None:
        if self._helper is not None and self._helper.poll() is None and self._owner == os.getpid():
            return self._helper
        if self._helper is not None and self._owner == os.getpid():
            self._end(self._helper)  # it died: its pipes are closed now, not whenever they are collected
        code = "from dqm.formats.doorkeeper import serve; serve()"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [_home(), os.environ.get("PYTHONPATH")]))
        }
        with suppress(OSError):
            self._helper = subprocess.Popen(  # noqa: S603 (this very interpreter)
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                start_new_session=True,
            )  # fmt: skip
            self._owner = os.getpid()
            return self._helper
        return None

    def _end(self, helper: subprocess.Popen[bytes]) -> int:
        """Ends the helper; the signal that it died of by itself, or 0."""
        self._helper = None
        with suppress(subprocess.TimeoutExpired):
            helper.wait(0.2)
        ended = -helper.returncode if helper.returncode is not None and helper.returncode < 0 else 0
        helper.kill()
        helper.wait()
        for pipe in (helper.stdin, helper.stdout):
            with suppress(OSError):
                if pipe:
                    pipe.close()
        return ended

    def close(self) -> None:
        """Ends the helper, if it is that of this process."""
        helper, self._helper = self._helper, None
        if helper is not None and self._owner == os.getpid():
            self._end(helper)


def _home() -> str:
    return str(Path(__file__).parent.parent.parent)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "out of memory, or ended by itself"


DOORKEEPER = Doorkeeper()
atexit.register(DOORKEEPER.close)


# -- in the helper ---------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Opens one file after the other, as long as somebody asks."""
    _end_with_parent()
    from dqm.formats import reader
    from dqm.formats.configuration import touch
    from dqm.formats.hdf5 import READ_ERRORS, UnreadableFile

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # no handler of Python: HDF5 holds the interpreter while it walks in circles
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = now + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    for line in sys.stdin.buffer:
        asked, provisional, seconds = json.loads(line)
        signal.alarm(math.ceil(seconds) + SPARE_S)
        path, answer, before = Path(os.fsdecode(bytes.fromhex(asked))), OPENED, _peak()
        try:
            with reader.open_here(path, None, provisional) as opened:
                _ = opened.created
                touch(opened._file)
        except MemoryError:
            answer = TOO_MUCH
        except (UnreadableFile, *READ_ERRORS) as error:
            answer = TOO_MUCH if "memory allocation" in str(error) else OPENED
        if _peak() - before > MOST_OPENED_BYTES:
            answer = TOO_MUCH
        signal.alarm(0)
        try:
            sys.stdout.write(answer + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(0)  # whoever asked has gone, and nobody need be told


def _end_with_parent() -> None:
    """Lets the kernel end this process with the one that asks, however that ends (where the kernel can do so)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


TOO_MUCH = f"opening it takes more than {MOST_OPENED_BYTES >> 20} MiB: its structure is damaged"


def _peak() -> int:
    """The most memory that this process had at any time [bytes]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
