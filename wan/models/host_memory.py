"""Host memory that is freed is kept for the next tensor, where the C library is glibc."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # numbers of mallopt in malloc.h
_NEVER = 2**31 - 1
_STEP_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Stop giving freed memory back to the system; whether that could be done.

    By itself glibc maps every tensor above 32 MiB anew, and the system clears its pages: half of the time where batches
    of large tensors come and go on a CPU. The process keeps its peak until it ends, and other threads than the main one
    are not concerned. ``mallopt(3)``.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _STEP_BYTES}
    done = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(done)
