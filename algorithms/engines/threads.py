"""Independent pieces of work on the threads that PyTorch has been given.

On a CPU two tasks side by side on a thread each scale better than two threads inside each small operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

P = TypeVar("P")
R = TypeVar("R")


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Around operations that are too small for several threads, and whose sums must not depend on their number."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(work: Callable[[P], R], parts: Sequence[P]) -> list[R]:
    """Return ``work`` of each part, in the order of the parts; where there are several, each on one thread.

    >>> side_by_side(abs, [-2, 3])
    [2, 3]
    """
    before = torch.get_num_threads()
    if before == 1 or len(parts) < 2:
        return [work(part) for part in parts]
    try:
        with ThreadPoolExecutor(before, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, parts))
    finally:
        torch.set_num_threads(before)  # PyTorch keeps one number for threads to come, beside each thread's own
