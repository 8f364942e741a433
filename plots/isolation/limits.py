"""What a plug-in may use, and the sentences that say which limit it went over."""

from __future__ import annotations

import signal
from dataclasses import dataclass, fields
from typing import Any

MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of one plug-in process."""

    block_s: float = 10.0
    """Of each call: counting a block, drawing a figure, reading trends [s]."""
    start_s: float = 20.0
    """Of importing it [s]."""
    memory_mb: int = 1024
    """Above what Python and the libraries take [MB]."""
    output_mb: int = 32
    """Of a state, of a figure, of what a call prints, of a file that it writes [MB]."""
    idle_s: float = 300.0
    """A process that nobody called for so long is ended [s]."""
    rest_s: float = 50.0
    """A plot that went over a limit is not called again for so long; shorter than the first back-off of ingest [s]."""

    @classmethod
    def of(cls, settings: Any) -> Limits:
        """The limits that settings with fields of these names set; others keep their defaults."""
        return cls(**{f.name: getattr(settings, f.name) for f in fields(cls) if hasattr(settings, f.name)})

    @property
    def output_bytes(self) -> int:
        return self.output_mb * MB


def too_slow(name: str, seconds: float, doing: str) -> str:
    return f"{name} took more than {seconds:g} s {doing}"


def too_much_memory(name: str, limits: Limits, doing: str) -> str:
    return f"{name} used more than {limits.memory_mb:,} MB of memory {doing}"


def too_much_output(name: str, size: int, limits: Limits, doing: str) -> str:
    return f"{name} gave {size / MB:,.0f} MB {doing}, more than the {limits.output_mb:,} MB that are allowed"


def too_much_print(name: str, limits: Limits, doing: str) -> str:
    return f"{name} printed more than {limits.output_mb:,} MB {doing}"


def garbage(name: str, doing: str) -> str:
    return f"{name} wrote bytes of its own into the channel of its answers {doing}"


def closed(name: str, doing: str) -> str:
    return f"{name} closed the channel of its answers {doing}"


def left_processes(name: str, doing: str) -> str:
    return f"{name} left processes running when its call had returned ({doing})"


def stray(name: str) -> str:
    return f"{name} goes on computing after its call has returned"


def died(name: str, code: int, doing: str) -> str:
    """`code` as subprocess gives it: the number of a signal, negative, or an exit code."""
    if code >= 0:
        return f"{name} ended its process (exit code {code}) {doing}"
    try:
        word = signal.Signals(-code).name
    except ValueError:
        word = f"signal {-code}"
    said = signal.strsignal(-code) or word
    memory = ", perhaps by the system for want of memory" if -code == signal.SIGKILL else ""
    return f"{name} was ended by {word} ({said.lower()}{memory}) {doing}"
