"""The innermost loops, compiled by numba where that is installed (the extra `fast`). NumPy does the same without it.

Whoever has such a loop asks ``loops_for(n)`` and does it in NumPy when the answer is None; tests hold both to the same
result. Loading numba and what it has compiled takes most of a second, so that it is left alone until a process has so many
rows to read that they are worth it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

WORTH = 4096
"""For fewer rows at once than this NumPy is as fast."""
WORTH_LOADING = 4_000_000
_expected = 0
_allowed: bool | None = None


def expect(rows: int) -> None:
    """So many rows more are going to be read by this process."""
    global _expected
    _expected += rows


def loops_for(rows: int) -> Any:
    """The module of compiled loops for so many rows, or None: then NumPy does it."""
    if rows < WORTH or _allowed is False or (_allowed is None and _expected < WORTH_LOADING):
        return None
    return _loops()


def allow(wanted: bool | None) -> None:
    """Whether this process uses compiled loops; None: when it has read enough to be worth it.

    False for those that run other people's code within limits.
    """
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
