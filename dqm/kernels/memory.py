"""Memory that is freed stays with the process, up to a bound: the columns of the next block are as large as those before.

glibc gives large arrays back to the system at once, and each page of the next one costs a fault: as much time as all of
NumPy's own work on it.
"""

from __future__ import annotations

import ctypes
from functools import cache

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # malloc.h
LARGE_BYTES = 32 * 2**20
"""The largest value that glibc takes for MMAP_THRESHOLD: arrays from this size on go back at once."""
KEPT_BYTES = 64 * 2**20


@cache
def keep_freed() -> bool:
    """Asks glibc for it, once in a process; False where there is another one."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = {MMAP_THRESHOLD: LARGE_BYTES, TRIM_THRESHOLD: KEPT_BYTES, TOP_PAD: KEPT_BYTES // 4}
    return 0 not in [mallopt(what, size) for what, size in wanted.items()]
