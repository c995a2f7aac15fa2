"""What glibc's allocator does with large buffers, set in one place.

By default every large tensor is mapped afresh and given back when it is freed, so that each outer step touches its
buffers' pages for the first time again: a third of a convolutional network's outer step and more. Here such memory
stays with the process, to be used again.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**30  # bytes: larger buffers are still mapped apart
NEVER_TRIM = 2**31 - 1


def keeps_large_buffers() -> bool:
    """Whether the C library is one whose allocator can be told to."""
    return sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def keep_large_buffers() -> bool:
    """Make this process keep freed buffers of up to a GiB; False where the C library is not glibc, and nothing changes.

    Processes that do not call this, such as other libraries' in ``bench speed``, have the allocator as it comes.
    """
    if not keeps_large_buffers():
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_THRESHOLD, LARGEST) and library.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM))
