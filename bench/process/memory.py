"""The memory of this process, measured the same way everywhere."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch

from bench.process.allocator import give_back_free_memory

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


class MemoryRise:
    """The rise of this process's resident memory from here on, and the baseline over which it rises.

    On Linux pages of files, which are code and mapped data, belong to the baseline whenever they are first touched: how
    many of them are resident says nothing of what the work needs. Elsewhere all resident memory counts.
    """

    def __init__(self) -> None:
        give_back_free_memory()  # or the work would use what loading the data has left, without a rise
        with suppress(OSError):  # elsewhere, or not permitted: the peak is then never less than what came before
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        self._anonymous = own_bytes("RssAnon")
        self._resident = resident_mib()

    def reading(self) -> tuple[float, float]:
        """Return the baseline and the rise over it up to now, in MiB; together they are the peak."""
        peak, mapped = peak_resident_mib(), own_bytes("RssFile")
        if self._anonymous is None or mapped is None:
            baseline = self._resident
        else:
            baseline = (self._anonymous + mapped + (own_bytes("RssShmem") or 0)) / MIB
        return min(baseline, peak), max(peak - baseline, 0.0)


def peak_device_mib(device: torch.device) -> float | None:
    """The most device memory that tensors of this process have had, in MiB; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None
