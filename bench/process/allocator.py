"""Settings of glibc's allocator for large buffers, and the memory that it has given out.

By default every large tensor is mapped afresh and given back when it is freed, so that each outer step touches its
buffers' pages for the first time again: a third of a convolutional network's outer step and more. Here such memory
stays with the process, to be used again, and by all threads from one place: buffers that each thread keeps for itself,
in pieces of 64 MiB, would double what a step on two threads needs.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGEST = 2**30  # bytes: larger buffers are still mapped apart
NEVER_TRIM = 2**31 - 1


class _Mallinfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = [
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    ]


def keeps_large_buffers() -> bool:
    """Return whether the C library is one whose allocator can be told to."""
    return sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def keep_large_buffers() -> bool:
    """Make this process keep freed buffers of up to a GiB; False where the C library is not glibc, and nothing changes.

    Processes that do not call this, such as other libraries' in ``bench speed``, have the allocator as it comes.
    """
    if not keeps_large_buffers():
        return False
    library = ctypes.CDLL(None)
    settings = {M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: NEVER_TRIM, M_ARENA_MAX: 1}
    return all(library.mallopt(name, value) for name, value in settings.items())


def give_back_free_memory() -> None:
    """Return what was freed to the system, so that resident memory is what is in use; only glibc is told to."""
    if keeps_large_buffers():
        ctypes.CDLL(None).malloc_trim(0)


def bytes_in_use() -> int | None:
    """Bytes that were allocated and not freed, over all threads; None where the C library does not say (glibc >= 2.33).

    Unlike resident memory it falls as soon as something is freed, so that what a repeated piece of work leaves behind
    shows at once.
    """
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform.startswith("linux") else None
    if ask is None:
        return None
    ask.restype = _Mallinfo
    info = ask()
    return int(info.uordblks + info.hblkhd)
