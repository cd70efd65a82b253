"""Memory that a step frees is kept for the next one, where the C library would give it back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Of glibc's malloc.h: how much free memory at its end makes the heap shrink (-1: none does), the size from which pieces
# lie outside the heap, and how many may.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
KEPT = {TRIM_THRESHOLD: -1, MMAP_MAX: 0}
# What glibc comes to by itself where large pieces are freed; once told anything, it adapts no more.
AFTERWARDS = {TRIM_THRESHOLD: 64 * 1024**2, MMAP_THRESHOLD: 32 * 1024**2, MMAP_MAX: 65536}


@contextmanager
def kept() -> Iterator[None]:
    """Meanwhile this process keeps what its main thread frees; afterwards it gives back whole pages that are free.

    A step frees hundreds of megabytes in large pieces. What went back to the system comes anew page by page, which
    took 4 to 14 % of the step of a shipped recipe; at their peaks the processes were as large. Only glibc can be told
    so; with another C library nothing changes. One may not lie in another.
    """
    library = _glibc()
    if library is None:
        yield
        return
    for name, value in KEPT.items():
        library.mallopt(name, value)
    try:
        yield
    finally:
        for name, value in AFTERWARDS.items():
            library.mallopt(name, value)
        library.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
