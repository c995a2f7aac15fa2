"""Measurements without a clock: what a process would have measured is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.spec.cell import Cell
from bench.store.cost_file import Round
from bench.store.store import Failure

QUIET: Mapping[str, Any] = {
    "outer_step_seconds": [0.010, 0.011, 0.012],
    "adapt_seconds": [0.002, 0.003],
    "timed_seconds": 0.038,
    "timed_cpu_seconds": 0.038,
    "busy_elsewhere": 0.0,
    "cpus": 2,
    "threads": 1,
    "baseline_mib": 400.0,
    "rise_mib": 60.0,
    "device_mib": None,
    "numerics": {"protocol": 1},
}


def a_round(**changes: Any) -> Round:
    """A round of a quiet machine."""
    return Round.model_validate({**QUIET, **changes})


class Sampler:
    """Stands for processes that measure: gives the same round, and takes down what was asked of it.

    Attributes:
        asked: algorithm, dataset, seconds and whether it was tested, of every measurement.
    """

    def __init__(self, outcome: Callable[[Cell], Round | Failure] = lambda cell: a_round()) -> None:
        self.asked: list[tuple[str, str, float, bool]] = []
        self._outcome = outcome

    def __call__(self, cell: Cell, seconds: float, testing: bool) -> Round | Failure:
        self.asked.append((cell.algorithm, cell.dataset, seconds, testing))
        return self._outcome(cell)

    @property
    def algorithms(self) -> list[str]:
        """The algorithms in the order in which they were measured."""
        return [algorithm for algorithm, _, _, _ in self.asked]
