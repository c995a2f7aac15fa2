"""A switch between gradients per task and summed over tasks, for weights that the tasks share.

The inner loop needs each task's own gradient, although it starts from the same weights for all. The outer loop needs
only the sum, which an engine can compute in one operation for all tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_summed = ContextVar("summed", default=False)


@contextmanager
def summed_over_tasks() -> Iterator[None]:
    """Around a backward pass by nothing that has an axis of tasks: there, what is given to tasks that share their
    weights (views of T tasks on the memory of one) counts by its sum alone. Holds for this thread."""
    token = _summed.set(True)
    try:
        yield
    finally:
        _summed.reset(token)


@contextmanager
def each_task() -> Iterator[None]:
    """Around work within such a backward pass that wants the derivatives of each task again. Holds for this thread."""
    token = _summed.set(False)
    try:
        yield
    finally:
        _summed.reset(token)


def are_summed() -> bool:
    """Return whether only the sums are wanted here."""
    return _summed.get()
