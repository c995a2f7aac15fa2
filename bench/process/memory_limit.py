"""A limit on the memory of a cell's process.

The process limits itself, so that the allocation that is too much fails with an exception that says where; and the run
watches it, because not all memory is allocated in a way that such a limit sees.
"""

from __future__ import annotations

import errno
import re
import sys

import psutil
import torch

from bench.process.memory import MIB, own_bytes
from datasets import UserError
from datasets.core.printable import text_of

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SAID = (  # in the RuntimeErrors with which PyTorch and its libraries say that memory is out
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def parse_size(text: str) -> int:
    """``4GiB``, ``500MB`` or ``2g`` in bytes; raises UserError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", text.strip().lower())
    size = int(float(match[1]) * UNITS[match[2] or ""]) if match else 0
    if size < 1:
        raise UserError(f"got '{text}'; use a number and a unit, such as 4GiB or 500MB", "memory")
    return size


def size_text(size: int) -> str:
    """Bytes in words: ``500 MiB``, or ``1024 bytes`` where that is less than one."""
    return f"{size / MIB:.0f} MiB" if size >= MIB else f"{size} bytes"


def limit_own_memory(limit: int) -> None:
    """Let this process have ``limit`` bytes of resident memory, of which it has some already; more fails to allocate.

    It limits what is mapped for private data from now on (``RLIMIT_DATA``), which Linux alone counts; elsewhere the run
    alone watches.

    Raises:
        MemoryError: the process has more already.
    """
    resident, data = own_bytes("VmRSS"), own_bytes("VmData")
    if resident is None or data is None:
        return
    if resident >= limit:
        raise MemoryError(f"a cell's process starts with {resident / MIB:.0f} MiB; give cells more memory")
    import resource  # not to be had everywhere

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (data + limit - resident, hard))


def lift_own_limit() -> None:
    """Make room to say what happened."""
    if limits_itself():
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def limits_itself() -> bool:
    """Return whether a process can limit its own memory here."""
    return sys.platform.startswith("linux")


def resident_bytes(process: int) -> int:
    """Resident memory of a process; 0 where it is gone."""
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.Error:
        return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory, of the machine or of a device, was out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in text_of(error) for words in SAID)
