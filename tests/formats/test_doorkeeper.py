"""The helper that opens files first ends with whoever asked it, and by itself when nobody waits any more."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dqm.formats import doorkeeper
from dqm.formats.doorkeeper import Doorkeeper
from tests.conftest import REPOSITORY

HANGS = "import dqm.formats.reader as r\ndef hang(*about):\n    while True: pass\nr.open_here = hang\n"
"""HDF5 that walks in circles, in the helper."""
ASKS = f"""
import subprocess, sys
from pathlib import Path
from dqm.formats import doorkeeper
start = subprocess.Popen
doorkeeper.subprocess.Popen = lambda args, **how: start([*args[:2], {HANGS!r} + args[2]], **how)
keeper = doorkeeper.Doorkeeper(float(sys.argv[2]))
print(keeper._running().pid, flush=True)
keeper.objection(Path(sys.argv[1]))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.h5"
    path.write_bytes(b"x" * 100)
    return path


@pytest.fixture
def asking(file: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A worker that waits for its helper, which hangs, and that helper."""
    worker = subprocess.Popen(
        [sys.executable, "-c", ASKS, str(file), "600"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert worker.stdout is not None
    with worker:
        helper = psutil.Process(int(worker.stdout.readline()))
        yield worker, helper
        worker.kill()
    if helper.is_running():
        helper.kill()


def test_a_helper_that_hangs_ends_with_its_worker(asking: tuple[subprocess.Popen[str], psutil.Process]) -> None:
    worker, helper = asking
    while helper.is_running() and helper.cpu_times().user < 1.5:  # it walks in circles
        assert worker.poll() is None
    worker.send_signal(signal.SIGKILL)
    helper.wait(20)  # raises when it goes on


def test_a_helper_over_which_nobody_waits_ends_itself(file: Path) -> None:
    code = HANGS + "import dqm.formats.doorkeeper as d\nd.SPARE_S = 0\nd.serve()"
    question = f'["{bytes(str(file), "utf-8").hex()}", false, 1]\n'
    helper = subprocess.run([sys.executable, "-c", code], input=question, text=True, cwd=REPOSITORY, timeout=60)
    assert helper.returncode == -signal.SIGALRM


def test_a_helper_whose_worker_has_gone_says_nothing(file: Path) -> None:
    helper = subprocess.Popen(
        [sys.executable, "-c", "from dqm.formats.doorkeeper import serve; serve()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert helper.stdin is not None
    assert helper.stdout is not None
    assert helper.stderr is not None
    with helper:
        helper.stdout.close()
        helper.stdin.write(f'["{bytes(str(file), "utf-8").hex()}", false, 10]\n')
        helper.stdin.close()
        assert helper.stderr.read() == ""


def test_a_helper_that_somebody_killed_is_asked_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, starts = Doorkeeper(), []
    dies = "import os, signal; input(); os.kill(os.getpid(), signal.SIGKILL)"
    answers = "input(); print('too strange', flush=True); input()"
    start = subprocess.Popen

    def popen(args: list[str], **how: object) -> subprocess.Popen[bytes]:
        starts.append(args)
        return start([sys.executable, "-c", dies if len(starts) == 1 else answers], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(doorkeeper.subprocess, "Popen", popen)
    assert keeper.objection(file) == "too strange"
    assert len(starts) == 2
    keeper.close()
