"""Tasks that do harm, for tests of executors. A worker imports this file: it needs nothing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Pid:
    """Says who did it."""

    def run(self, bench: object) -> int:
        return os.getpid()


@dataclass(frozen=True)
class Die:
    number: int

    def run(self, bench: object) -> None:
        os.kill(os.getpid(), self.number)


@dataclass(frozen=True)
class Hang:
    def run(self, bench: object) -> None:
        time.sleep(3600)


@dataclass(frozen=True)
class Eat:
    megabytes: int

    def run(self, bench: object) -> int:
        return len(bytearray(self.megabytes << 20))


@dataclass(frozen=True)
class Fail:
    def run(self, bench: object) -> None:
        raise ZeroDivisionError("of all things")
