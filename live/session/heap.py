"""Giving memory back that is free, in a process that lives for a day.

Each utterance is as long as nobody's before, so its arrays leave holes of new sizes, which the allocator keeps; and
libraries keep a compiled kernel for each length. The first is returned now and then, the second bounded.
"""

import ctypes
import os
import sys
import time

EVERY_S = 30.0
KERNELS = "64"  # of a cache; a thousand by default, each for one length of input


def bound_kernel_caches() -> None:
    """Before torch is imported."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS)
    os.environ.setdefault("LRU_CACHE_CAPACITY", KERNELS)


class Heap:
    """`trim` often; something happens every `EVERY_S`, where the C library can do it (glibc)."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()
        self._trim = None
        if sys.platform == "linux":
            self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def trim(self) -> None:
        """Return what is free to the system."""
        if self._trim is not None and time.monotonic() - self._last_s >= EVERY_S:
            self._last_s = time.monotonic()
            self._trim(0)
