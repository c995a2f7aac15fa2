"""One process's measurement of a setting: outer steps, adaptations to one task, and the memory that they add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from algorithms.core.meta_state import State
from bench.execution.cell_process import Done
from bench.execution.in_process import seed_everything, set_up_process
from bench.process.load import OtherLoad
from bench.process.memory import MemoryRise, peak_device_mib
from bench.process.resources import available_cpus
from bench.process.stopwatch import DeviceStopwatch, Stopwatch
from bench.protocol.evaluation import episode_batches
from bench.protocol.numerics import versions
from bench.protocol.outcome import GoOn, OnProgress
from bench.protocol.setup import EVALUATION_SEED, CellSetup, test_shape
from bench.protocol.timing import adapt_once
from bench.spec.cell import Cell
from bench.store.store import Failure
from datasets import Dataset
from datasets.core.control import ControlEpisodes
from datasets.core.episodes import Episodes

LEAST_LAPS, MOST_LAPS = 2, 20  # timed outer steps, and adaptations, of one process, after one that warms up
TEST_STEPS = 1  # inner steps on a batch of test episodes: later ones need no more memory
MOST_SECONDS = 6.0  # for those beyond the least number
STEPS_SHARE = 2 / 3  # of the seconds; the rest is for adaptations


@dataclass(frozen=True)
class Visit:
    """Measure a cell's setting in a process of its own; the result is what a ``Round`` holds.

    Attributes:
        seconds: about what may be timed, once the least number of outer steps and adaptations is.
        testing: whether the first inner step of a batch of test episodes is taken and evaluated too, for its memory.
    """

    seconds: float
    testing: bool

    def attempt(self, cell: Cell) -> int:
        return 1

    def run(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        set_up_process(cell.device)
        seed_everything(cell.seed)
        measured = measure(cell, cell.entry.load(data_root), self.seconds, self.testing)
        return Done(measured["outer_step_seconds"][0], measured)

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Whoever measures keeps it."""


def measure(cell: Cell, dataset: Dataset, seconds: float, testing: bool) -> dict[str, Any]:
    """Return what this process measures of a cell's setting, as a ``Round`` holds it.

    Args:
        cell: any of the setting; its seed draws the weights and the training episodes.
        dataset: its dataset, loaded.
        seconds: as in ``Visit``.
        testing: as in ``Visit``.
    """
    device, seconds = torch.device(cell.device), min(seconds, MOST_SECONDS)
    setup = CellSetup(cell, dataset, device)
    test = dataset.stream("test", test_shape(cell), EVALUATION_SEED, device)
    memory, others = MemoryRise(), OtherLoad()
    state, whole_steps = setup.first_state(), _whole_steps(setup)
    steps, adapting = DeviceStopwatch(device), DeviceStopwatch(device)
    state, _ = setup.algorithm.outer_step(state, setup.batch(0))
    while _more(steps, STEPS_SHARE * seconds):
        with steps():
            state, _ = setup.algorithm.outer_step(state, setup.batch(len(steps.laps) % whole_steps))
    n_test = cell.evaluation.test_episodes
    adapt_once(setup, test, 0, state, Stopwatch(device))
    while _more(adapting, (1 - STEPS_SHARE) * seconds):
        adapt_once(setup, test, len(adapting.laps) % n_test, state, adapting)
    if testing:
        episodes = next(episode_batches(setup, test, n_test))
        _test(setup, state, episodes)
    baseline, rise = memory.reading()
    return {
        "outer_step_seconds": [_rounded(lap) for lap in steps.laps],
        "adapt_seconds": [_rounded(lap) for lap in adapting.laps],
        "timed_seconds": _rounded(steps.wall + adapting.wall),
        "timed_cpu_seconds": _rounded(steps.cpu + adapting.cpu),
        "busy_elsewhere": round(others.reading(), 2),
        "cpus": available_cpus(),
        "threads": torch.get_num_threads(),
        "baseline_mib": round(baseline, 1),
        "rise_mib": round(rise, 1),
        "device_mib": peak_device_mib(device),
        "numerics": versions(cell.algorithm, setup.algorithm.net.engine, cell.precision),
    }


def _test(setup: CellSetup, state: State, episodes: Episodes | ControlEpisodes) -> None:
    """Adapt to the episodes by a few steps, and compute what would be measured."""
    algorithm = setup.algorithm
    if isinstance(episodes, ControlEpisodes):
        for _ in setup.returns(state, episodes, last_only=True):
            pass
        return
    for _ in algorithm.outputs(state, episodes.support, episodes.query_x, TEST_STEPS, last_only=True):
        pass


def _whole_steps(setup: CellSetup) -> int:
    """Return how many outer steps the budget has before the last one, which may have fewer episodes."""
    episodes = setup.cell.train.episodes
    return max(1, episodes // int(setup.hparams.meta_batch)) if episodes else 2**62


def _more(watch: Stopwatch, seconds: float) -> bool:
    """Return whether another block is to be timed."""
    laps = len(watch.laps)
    return laps < LEAST_LAPS or (laps < MOST_LAPS and watch.wall < seconds)


def _rounded(seconds: float) -> float:
    """Return the seconds with five digits, more than any clock is worth."""
    return float(f"{seconds:.5g}")
