"""The innermost loops, compiled by numba where that is installed (the extra `fast`). NumPy does the same without it.

Whoever has such a loop asks ``loops_for(n)`` and does it in NumPy when the answer is None; tests hold both to the same
result. numba is loaded with the first large block, not at the start of a program.
"""

from __future__ import annotations

from functools import cache
from typing import Any

WORTH = 4096
"""For fewer rows than this NumPy is as fast, and numba need not be loaded."""
_allowed = True


def loops_for(rows: int) -> Any:
    """The module of compiled loops for so many rows, or None: then NumPy does it."""
    return _loops() if rows >= WORTH and _allowed else None


def allow(wanted: bool) -> None:
    """Whether this process uses compiled loops: not those that run other people's code within limits."""
    global _allowed
    _allowed = wanted


@cache
def _loops() -> Any:
    try:
        from numba import config

        from dqm.kernels import loops
    except Exception:  # not installed, of another NumPy, or without a place to keep what it compiles
        return None
    return None if getattr(config, "DISABLE_JIT", False) else loops
