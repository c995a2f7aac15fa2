"""The memory of this process, measured the same way everywhere."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil
import torch

MIB = 2**20


def own_bytes(name: str) -> int | None:
    """One of the sizes of this process in ``/proc/self/status``; None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def resident_mib() -> float:
    """Resident memory of this process now, in MiB."""
    return float(psutil.Process().memory_info().rss) / MIB


def peak_resident_mib() -> float:
    """The most resident memory that this process has had, in MiB.

    On Linux that of its present memory: what getrusage gives is never less than what the process that started it had.
    """
    own = own_bytes("VmHWM")
    if own is not None:
        return own / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def peak_device_mib(device: torch.device) -> float | None:
    """The most device memory that tensors of this process have had, in MiB; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None
