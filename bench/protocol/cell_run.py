"""One cell from start to end: train, select, test; and a trial of a search, which is not tested.

No files and no processes; every number is defined in docs/protocol.md.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch
from torch import Generator

from bench.process.stopwatch import Stopwatch
from bench.protocol.checkpoint import Checkpoints
from bench.protocol.evaluation import check_finite, evaluate, shown_value, test_means
from bench.protocol.numerics import versions
from bench.protocol.outcome import AtBudget, Diverged, GoOn, OnProgress, Outcome, Validated
from bench.protocol.setup import EVALUATION_SEED, CellSetup, test_shape
from bench.protocol.timing import adaptation_seconds, milliseconds
from bench.protocol.training import NO_CHECKPOINTS, TrainingRun, train, training_summary
from bench.spec.cell import Cell
from datasets import Dataset, UserError
from datasets.core.episodes import EpisodeStream, digest


def run_cell(
    cell: Cell,
    dataset: Dataset,
    on_progress: OnProgress = lambda progress: None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Outcome:
    """Train the cell's algorithm on its budget, select by meta-validation, test the selected meta-state once.

    Training continues from the checkpoint of ``checkpoints``, if there is one, to the same outcome.

    Raises:
        Diverged: the training loss stopped being finite, or nothing finite could be measured.
        UserError: the dataset cannot give episodes of the shape.
    """
    setup = CellSetup(cell, dataset, torch.device(cell.device))
    test = dataset.stream("test", test_shape(cell), EVALUATION_SEED, setup.device)
    done = train(setup, on_progress, lambda measurement: True, checkpoints)
    testing = Stopwatch(setup.device)
    with testing():
        episodes = evaluate(setup, test, done.state)
    check_finite(episodes)
    latency = adaptation_seconds(setup, test, cell.evaluation.test_episodes, done.state)
    summary = {
        **test_means(episodes, cell, dataset.kind),
        **training_summary(setup, done),
        "test_seconds": testing.wall,
        **dict(zip(("adapt_q1_ms", "adapt_ms", "adapt_q3_ms"), milliseconds(latency), strict=True)),
        "parameters": sum(value.numel() for value in setup.network.init(Generator()).values()),
    }
    digests = _digests(setup, done.outer_steps) | {"test": digest(test, cell.evaluation.test_episodes)}
    numerics = versions(cell.algorithm, setup.algorithm.net.engine, cell.precision)
    budgets = _at_budgets(setup, test, done, episodes)
    curve, engine = pd.DataFrame(done.curve), {"name": setup.algorithm.net.engine, "reason": setup.engine_reason}
    return Outcome(summary, digests, episodes, curve, done.state, numerics, budgets, engine)


def _at_budgets(setup: CellSetup, test: EpisodeStream, done: TrainingRun, final: pd.DataFrame) -> list[AtBudget]:
    """Test what was selected by each of the earlier budgets; what was tested already is not tested again.

    Args:
        setup: of the cell.
        test: its test episodes.
        done: its training.
        final: what testing the finally selected meta-state gave.
    """
    tested = {done.selected: final}
    results = []
    for point in done.points:
        numbers: dict[str, Any] = {
            "budget": point.episodes,
            "outer_steps": point.outer_steps,
            "selected_outer_step": point.selected,
            "train_seconds": point.train_seconds,
        }
        if point.selected == 0:  # no measurement until then was finite
            results.append(AtBudget(numbers, None))
            continue
        if point.selected not in tested:
            tested[point.selected] = evaluate(setup, test, point.state)
        episodes = tested[point.selected]
        try:
            check_finite(episodes)
        except Diverged:  # the cell has a result at its whole budget still
            results.append(AtBudget(numbers, None))
        else:
            results.append(AtBudget(numbers | test_means(episodes, setup.cell, setup.dataset.kind), episodes))
    return results


def validate_cell(
    cell: Cell,
    dataset: Dataset,
    on_progress: OnProgress = lambda progress: None,
    go_on: GoOn = lambda measurement: True,
) -> Validated:
    """The same training and selection without testing: what a trial of a search does. No test episode is asked for.

    ``go_on`` is asked after each measurement whether to train further.

    Raises:
        Diverged: as in ``run_cell``, or what was selected has no finite value.
        UserError: the dataset cannot give episodes of the shape, or a budget in seconds ended without a measurement.
    """
    setup = CellSetup(cell, dataset, torch.device(cell.device))
    done = train(setup, on_progress, go_on, NO_CHECKPOINTS)
    if done.value is None:
        raise UserError("train.seconds ended before the first measurement; raise it, or lower train.eval_every")
    if not math.isfinite(done.value):
        raise Diverged(f"the last measurement on the validation episodes is {done.value}")
    n_episodes = cell.evaluation.val_episodes
    latency = adaptation_seconds(setup, setup.val, n_episodes, done.state)
    summary = {**training_summary(setup, done), "adapt_ms": milliseconds(latency)[1]}
    digests = {"dataset": dataset.fingerprint, "val": digest(setup.val, n_episodes)}
    return Validated(shown_value(done.value, dataset.kind), done.stopped, summary, digests)


def _digests(setup: CellSetup, outer_steps: int) -> dict[str, str]:
    n_train = setup.episodes_used(outer_steps)
    return {
        "dataset": setup.dataset.fingerprint,
        "train": digest(setup.train, n_train) if setup.algorithm.consumes == "episodes" else "plain batches",
        "val": digest(setup.val, setup.cell.evaluation.val_episodes),
    }
