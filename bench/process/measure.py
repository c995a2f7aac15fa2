"""Time and memory of this process, measured the same way everywhere."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

MIB = 2**20


@dataclass
class Stopwatch:
    """Adds up wall and CPU seconds of this process over the blocks that it times.

    Attributes:
        wall: seconds on the clock.
        cpu: seconds of processor time, user and system, over all threads.
        laps: wall seconds of each block.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    wall: float = 0.0
    cpu: float = 0.0
    laps: list[float] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Time a block; on a GPU until its work is done, not merely queued."""
        self._settle()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self._settle()
        lap = time.perf_counter() - wall
        self.wall += lap
        self.cpu += time.process_time() - cpu
        self.laps.append(lap)

    def reading(self) -> dict[str, Any]:
        """What it shows, JSON-ready, with which another goes on: ``Stopwatch(device, **reading)``."""
        return {"wall": self.wall, "cpu": self.cpu, "laps": self.laps}

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def quartiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile."""
    low, middle, high = np.percentile(np.asarray(seconds, dtype=float), [25, 50, 75])
    return float(low), float(middle), float(high)


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
