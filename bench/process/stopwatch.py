"""Time of this process, measured the same way everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


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
        """Return the reading, JSON-ready, to continue with: ``Stopwatch(device, **reading)``."""
        return {"wall": self.wall, "cpu": self.cpu, "laps": self.laps}

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass
class DeviceStopwatch(Stopwatch):
    """A stopwatch whose laps on a GPU are the device's own time, from events before and after a block."""

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Time a block."""
        if self.device.type != "cuda":
            with super().__call__():
                yield
            return
        with torch.cuda.device(self.device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            with super().__call__():
                start.record()
                yield
                end.record()
        self.laps[-1] = start.elapsed_time(end) / 1000


def quartiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile."""
    low, middle, high = np.percentile(np.asarray(seconds, dtype=float), [25, 50, 75])
    return float(low), float(middle), float(high)
