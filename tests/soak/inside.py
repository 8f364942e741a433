"""What the processes of a soak run before Larboard: a clock that the harness sets, as an operator sets that of a host."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

FILE = "SOAK_CLOCK"
CODE = "import tests.soak.inside as i; i.install(); from dqm.cli import main; main()"


def install() -> None:
    """From now on time.time() is ahead of the clock of the host by what stands in the file."""
    with open(os.environ[FILE], "rb") as file:
        ahead = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    real = time.time
    time.time = lambda: real() + struct.unpack("<d", ahead[:8])[0]


def set_clock(file: Path, ahead_s: float) -> None:
    """The clock of all processes that look into this file."""
    if not file.exists():
        file.write_bytes(struct.pack("<d", ahead_s))
    with file.open("r+b") as opened:
        opened.write(struct.pack("<d", ahead_s))
