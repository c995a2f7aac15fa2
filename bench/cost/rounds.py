"""Settings measured in rounds: each round visits all of them, in a fresh random order, one process at a time.

A process that lived through all rounds would repeat itself more exactly than another one repeats it, and many of them
at once need the memory of all; so every visit has a new process, and the interval has the differences between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.spec.cell import Cell
from bench.store.cost_file import Round
from bench.store.store import Failure

SHARE = (
    0.05  # of the wall seconds of a setting's cells are timed; warm-ups, tests and processes take about as much again
)
LEAST_ROUNDS, MOST_ROUNDS = 2, 5
VISIT_SECONDS = 0.5  # about what a process takes without what it times

Sample = Callable[[Cell, float, bool], Round | Failure]
"""Measures a setting once, in a process of its own: given a cell of it, seconds, and whether it is tested too."""


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        cell: a finished cell of the setting.
        digest: SHA-256 of the setting.
        seconds: wall seconds that all its cells added to the run.
    """

    cell: Cell
    digest: str
    seconds: float

    @property
    def rounds(self) -> int:
        """How often it is measured."""
        return min(max(int(SHARE * self.seconds / VISIT_SECONDS), LEAST_ROUNDS), MOST_ROUNDS)

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.cell.algorithm} on {self.cell.dataset} {self.cell.shape}"


def measure_in_rounds(
    settings: Sequence[Setting],
    sample: Sample,
    rng: np.random.Generator,
    say: Callable[[str], None] = lambda text: None,
    rounds: int | None = None,
) -> list[list[Round] | Failure]:
    """Return the rounds of each setting, or how measuring it failed; then it is not tried again, and others go on.

    Args:
        settings: what is measured.
        sample: measures one of them once.
        rng: draws the order within each round.
        say: told what is measured next.
        rounds: of every setting; by default its own number.
    """
    measured: list[list[Round] | Failure] = [[] for _ in settings]
    numbers = [rounds or setting.rounds for setting in settings]
    for turn in range(max(numbers, default=0)):
        for place in rng.permutation(len(settings)):
            done, setting = measured[place], settings[place]
            if isinstance(done, Failure) or turn >= numbers[place]:
                continue
            say(f"cost, round {turn + 1} of {max(numbers)}: {setting.label}")
            outcome = sample(setting.cell, SHARE * setting.seconds / numbers[place], turn == 0)
            if isinstance(outcome, Failure):
                measured[place] = outcome
            else:
                done.append(outcome)
    return measured
