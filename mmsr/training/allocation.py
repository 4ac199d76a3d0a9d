"""How this process gets and returns memory."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, from its `malloc.h`."""
_LARGEST = 32 * 2**20
"""Bytes; the most that glibc takes for `M_MMAP_THRESHOLD` on a 64-bit machine."""


def keep_freed_memory() -> bool:
    """Keep what is freed for what is allocated next, in place of returning it to the system.

    A training step frees some dozens of megabytes at its end and asks for as much in the next. What
    glibc returns in between costs a page fault for each 4 KB when it comes back, 3 to 6 % of a step
    on a virtual machine. Peak memory stays as it is. Blocks of 32 MB and more are returned as
    before.

    Returns
    -------
    Whether it was set: False where the C library is another one than glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    # Both: to set one of them ends that glibc adapts the other by itself.
    return all([mallopt(_M_MMAP_THRESHOLD, _LARGEST), mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)])
