"""Settings measured in rounds: each round visits all of them, in a fresh random order, one process at a time.

A process that lived through all rounds would repeat itself more exactly than another one repeats it, and many of them
at once need the memory of all; so every visit has a new process, and the interval has the differences between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.cost.visit import LEAST_LAPS
from bench.spec.cell import Cell
from bench.store.cost_file import Round
from bench.store.store import Failure

SHARE = 0.06  # of the wall seconds that a setting's cells added to the run, for all rounds of the setting
FEW_ROUNDS, MOST_ROUNDS = 3, 5  # two rounds have an interval that says nothing: Student's t is 12.7
PROCESS_SECONDS = 0.3  # to start a process and load the data
FIXED_LAPS = 1 + LEAST_LAPS  # outer steps, and adaptations, that every process takes

Sample = Callable[[Cell, float, bool], Round | Failure]
"""Measures a setting once, in a process of its own: given a cell of it, seconds, and whether it is tested too."""


@dataclass(frozen=True)
class Setting:
    """A setting to measure.

    Attributes:
        cell: a finished cell of the setting.
        digest: SHA-256 of the setting.
        seconds: wall seconds that all its cells added to the run.
        lap_seconds: of one outer step and one adaptation, as the cells took them.
    """

    cell: Cell
    digest: str
    seconds: float
    lap_seconds: float = 0.0

    def rounds(self, least: int = 1) -> int:
        """Return how often it is measured: as often as its share of time allows, once otherwise, at least ``least``."""
        affordable = int(SHARE * self.seconds / self._fixed_seconds)
        return max(min(affordable, MOST_ROUNDS) if affordable >= FEW_ROUNDS else 1, least)

    def timed_seconds(self, rounds: int) -> float:
        """Return what is left of its share for each of so many rounds, once every process has taken its fixed time."""
        return max(SHARE * self.seconds / rounds - self._fixed_seconds, 0.0)

    @property
    def _fixed_seconds(self) -> float:
        return PROCESS_SECONDS + FIXED_LAPS * self.lap_seconds

    @property
    def label(self) -> str:
        """The setting's name in messages."""
        return f"{self.cell.algorithm} on {self.cell.dataset} {self.cell.shape}"


def measure_in_rounds(
    settings: Sequence[Setting],
    sample: Sample,
    rng: np.random.Generator,
    say: Callable[[str], None] = lambda text: None,
    rounds: int | None = None,
    least_rounds: int = 1,
) -> list[list[Round] | Failure]:
    """Return the rounds of each setting, or how measuring it failed; then it is not tried again, and others go on.

    Args:
        settings: what is measured.
        sample: measures one of them once.
        rng: draws the order within each round.
        say: told what is measured next.
        rounds: of every setting; by default its own number.
        least_rounds: of every setting, whatever its share of time.
    """
    measured: list[list[Round] | Failure] = [[] for _ in settings]
    numbers = [rounds or setting.rounds(least_rounds) for setting in settings]
    for turn in range(max(numbers, default=0)):
        for place in rng.permutation(len(settings)):
            done, setting = measured[place], settings[place]
            if isinstance(done, Failure) or turn >= numbers[place]:
                continue
            say(f"cost, round {turn + 1} of {max(numbers)}: {setting.label}")
            outcome = sample(setting.cell, setting.timed_seconds(numbers[place]), turn == 0)
            if isinstance(outcome, Failure):
                measured[place] = outcome
            else:
                done.append(outcome)
    return measured
