"""A module for ``bench run --import``: counts the processor's seconds that a cell's process spends in its algorithm.

``$BENCH_INSIDE`` is a folder; each process keeps its count there in a file of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from algorithms import ALGORITHMS

METHODS = ("outer_step", "adapt", "predict")  # training, adaptation at test time, and what follows from it

_spent = 0.0
_depth = 0


class _Counted:
    """Counts while it is entered; what is called within what is counted is not counted twice."""

    def __enter__(self) -> None:
        global _depth
        self.start = time.process_time()
        _depth += 1

    def __exit__(self, *_: object) -> None:
        global _depth, _spent
        _depth -= 1
        if not _depth:
            _spent += time.process_time() - self.start
            (Path(os.environ["BENCH_INSIDE"]) / str(os.getpid())).write_text(str(_spent), encoding="utf-8")


def _counting(method: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        with _Counted():
            found = method(*arguments, **options)
        return _each(found) if isinstance(found, Iterator) else found

    return counted


def _each(steps: Iterator[Any]) -> Iterator[Any]:
    """A generator works when it is asked."""
    while True:
        with _Counted():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


for _class in {ALGORITHMS[name].factory for name in ALGORITHMS.names()}:
    for _name in METHODS:
        _own = next(base for base in _class.__mro__ if _name in vars(base))
        _method = vars(_own)[_name]
        if getattr(_method, "__name__", "") != "counted":
            setattr(_own, _name, _counting(_method))
