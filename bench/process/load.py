"""The load that other processes put on the processors that this one may use."""

from __future__ import annotations

import os
import time

import psutil

IDLE = ("idle", "iowait")
WITHIN_USER = ("guest", "guest_nice")  # counted in ``user`` and ``nice`` already


class OtherLoad:
    """Counts from here on how many processors others kept busy, of those that this process may use."""

    def __init__(self) -> None:
        self._wall, self._busy, self._own = time.perf_counter(), busy_seconds(), time.process_time()

    def reading(self) -> float:
        """Return the mean number of processors that others kept busy up to now; 0 where this cannot be known."""
        wall = time.perf_counter() - self._wall
        others = busy_seconds() - self._busy - (time.process_time() - self._own)
        return max(others, 0.0) / wall if wall > 0 else 0.0


def busy_seconds() -> float:
    """Return the seconds that these processors have been at work since the machine began, over all processes."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    processors = psutil.cpu_times(percpu=True)
    chosen = [times for place, times in enumerate(processors) if usable is None or place in usable]
    left_out = (*IDLE, *WITHIN_USER)
    return sum(sum(value for name, value in times._asdict().items() if name not in left_out) for times in chosen)
