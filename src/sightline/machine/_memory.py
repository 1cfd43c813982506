"""Freed memory: kept for the next step where steps are alike, given back at once where they are not.

A training step frees and asks for the same large blocks again and again. By default glibc returns them to
the kernel each time, which must then hand out and clear every page anew: thousands of page faults a step.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed until the process ends; -> whether it was told.

    Does nothing on other systems, or where the user has set the allocator up (`MALLOC_TRIM_THRESHOLD_`,
    `MALLOC_MMAP_THRESHOLD_`, `GLIBC_TUNABLES`, `LD_PRELOAD`).
    """
    return _tell((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1))


def return_large_blocks() -> bool:
    """Tell glibc's allocator to give every block of a megabyte back as soon as it is freed; -> as above.

    For processes that decode: between their batches they free many small blocks of all sizes, among which a
    batch's place is not found again, and they grew by a twentieth of all they decoded.
    """
    return _tell((_M_MMAP_THRESHOLD, 1 << 20))


def _tell(*settings: tuple[int, int]) -> bool:
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _USERS_OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(bool(mallopt(which, value)) for which, value in settings)
