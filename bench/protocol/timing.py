"""The time that adapting a task takes, and an estimate of a whole cell's."""

from __future__ import annotations

import math

import torch

from algorithms.core.meta_state import State
from bench.process.stopwatch import Stopwatch, quartiles
from bench.protocol.evaluation import measured_steps
from bench.protocol.setup import CellSetup
from bench.spec.cell import Cell
from datasets import Dataset
from datasets.core.episodes import EpisodeStream

LATENCY_EPISODES = 20  # adapted one at a time to measure the time that adapting a task takes


def adaptation_seconds(setup: CellSetup, stream: EpisodeStream, n_episodes: int, state: State) -> list[float]:
    """Wall seconds of adapting single tasks with all test steps, one warm-up apart."""
    watch = Stopwatch(setup.device)
    for index in range(-1, min(LATENCY_EPISODES, n_episodes)):
        adapt_once(setup, stream, max(index, 0), state, watch)
    return watch.laps[1:]


def adapt_once(setup: CellSetup, stream: EpisodeStream, index: int, state: State, watch: Stopwatch) -> None:
    """Adapt to episode ``index`` of the stream with all test steps, as one block of ``watch``."""
    support = stream.batch([index]).support
    with watch():
        for _ in setup.algorithm.adapt(state, support, setup.algorithm.test_steps):
            pass


def time_whole_cell(cell: Cell, dataset: Dataset, processor: bool = False) -> float:
    """Seconds that the cell would take, from two outer steps and the evaluation of a few episodes.

    With ``processor`` it is processor time, which says the same whatever else the machine does.
    """
    setup = CellSetup(cell, dataset, torch.device(cell.device))
    state, few = setup.first_state(), setup.val.batch(range(min(5, cell.evaluation.val_episodes)))
    outer, last, every = (Stopwatch(setup.device) for _ in range(3))
    setup.algorithm.outer_step(state, setup.batch(0))
    for step in (0, 1):
        with outer():
            setup.algorithm.outer_step(state, setup.batch(min(step, (setup.n_outer or 1) - 1)))
    for watch, last_only in ((last, True), (every, False)):
        with watch():
            for _ in measured_steps(setup, state, few, last_only):
                pass
    n_outer = setup.n_outer or 0
    validations = math.ceil(n_outer / cell.train.eval_every) * cell.evaluation.val_episodes
    a_step, validating, testing = (
        (outer.cpu / 2, last.cpu, every.cpu) if processor else (min(outer.laps), last.wall, every.wall)
    )
    training = n_outer * a_step if setup.n_outer else cell.train.seconds or 0.0
    return training + (validations * validating + cell.evaluation.test_episodes * testing) / len(few)


def milliseconds(seconds: list[float]) -> list[float]:
    return [1000 * value for value in quartiles(seconds)]
