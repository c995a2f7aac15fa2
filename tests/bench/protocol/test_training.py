"""Training: exactly the budget is used, and the best measurement on validation is selected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import datasets
from algorithms import ALGORITHMS
from algorithms.core.algorithm import MODES
from algorithms.finetune import Finetune
from algorithms.maml import MAML
from algorithms.reptile import Reptile
from bench.protocol import cell_run, evaluation, training
from bench.protocol.cell_run import run_cell
from bench.protocol.outcome import Progress
from bench.protocol.setup import CellSetup
from datasets.core.episodes import Episodes, Examples
from tests.bench.helpers import GLYPHS, SINUSOID, one_cell
from tests.bench.protocol.helpers import ALL, outcome_of, validating


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Episodes | Examples]:
    """Return what the algorithms are given in outer steps, the warm-up's first."""
    seen: list[Episodes | Examples] = []
    for factory in (MAML, Reptile, Finetune):

        def spying(self: Any, state: Any, batch: Any, real: Any = factory.outer_step) -> Any:
            seen.append(batch)
            return real(self, state, batch)

        monkeypatch.setattr(factory, "outer_step", spying)
    return seen


@pytest.mark.parametrize(("episodes", "sizes"), [(10, [4, 4, 2]), (8, [4, 4]), (1, [1]), (4, [4]), (5, [4, 1])])
@pytest.mark.parametrize("algorithm", ["maml", "reptile"])
def test_exactly_the_budgets_episodes_are_trained_on_in_order(
    algorithm: str, episodes: int, sizes: list[int], batches: list[Any]
) -> None:
    cell = one_cell(algorithms=[algorithm], train={"episodes": episodes, "n_query": 2, "eval_every": 2})
    outcome = outcome_of(cell)
    assert [len(batch) for batch in batches[1:]] == sizes
    assert np.concatenate([batch.index for batch in batches[1:]]).tolist() == list(range(episodes))
    assert outcome.summary["outer_steps"] == len(sizes)
    assert outcome.summary["train_episodes"] == episodes
    assert outcome.summary["train_examples"] == episodes * 7


@pytest.mark.parametrize("dataset", ["sinusoid", "glyphs"])
@pytest.mark.parametrize("episodes", [10, 1])
def test_finetune_sees_exactly_as_many_examples(dataset: str, episodes: int, batches: list[Any]) -> None:
    uses = {"sinusoid": dict(SINUSOID), "glyphs": dict(GLYPHS)}
    train = {"episodes": episodes, "n_query": 2, "eval_every": 2}
    outcome = outcome_of(one_cell(algorithms=["finetune"], datasets=[uses[dataset]], train=train))
    per_episode = {"sinusoid": 5 + 2, "glyphs": 3 * (1 + 2)}[dataset]
    assert sum(len(batch.x) for batch in batches[1:]) == episodes * per_episode
    assert outcome.summary["train_examples"] == episodes * per_episode
    stream = datasets.load(dataset, Path("/nowhere")).examples(0)
    seen = torch.cat([batch.x for batch in batches[1:]])
    assert torch.equal(seen, stream.batch(0, episodes * per_episode).x)


def test_reptiles_own_shots_are_recorded_as_what_they_cost(batches: list[Any]) -> None:
    settings = [{"set": {"meta_batch": 4, "test_steps": 2}}, {"algorithms": ["reptile"], "set": {"train_shots": 6}}]
    outcome = outcome_of(one_cell(algorithms=["reptile"], datasets=[dict(GLYPHS)], settings=settings))
    assert outcome.summary["train_episodes"] == 10
    assert (
        outcome.summary["train_examples"] == 10 * 3 * 6 == sum(b.support.x[:, :, 0, 0, 0].numel() for b in batches[1:])
    )


@pytest.mark.parametrize("algorithm", ALL)
def test_a_budget_in_seconds_ends_and_says_what_was_consumed(algorithm: str) -> None:
    cell = one_cell(algorithms=[algorithm], train={"seconds": 0.05, "n_query": 2, "eval_every": 3})
    summary = outcome_of(cell).summary
    assert summary["train_seconds"] >= 0.05
    assert summary["outer_steps"] >= 1
    assert summary["train_episodes"] == 4 * summary["outer_steps"]
    assert 0 < summary["selected_outer_step"] <= summary["outer_steps"]
    assert math.isfinite(summary["test_mse"])


def test_a_budget_of_less_than_a_step_is_one_step_and_its_state_is_tested() -> None:
    summary = outcome_of(one_cell(train={"seconds": 1e-9, "n_query": 2, "eval_every": 100})).summary
    assert (summary["outer_steps"], summary["selected_outer_step"]) == (1, 1)


def test_reptile_does_not_walk_backwards_under_a_budget_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outer step falls linearly over the outer steps, whose number such a budget does not say."""
    monkeypatch.setattr(training.Stopwatch, "__call__", _a_second_a_block)
    validating(monkeypatch, [float(-i) for i in range(15)], "val_mse")
    cell = one_cell(algorithms=["reptile"], train={"seconds": 30, "n_query": 2, "eval_every": 2})
    outcome = outcome_of(cell)
    assert outcome.summary["outer_steps"] == outcome.summary["selected_outer_step"] == 30
    start = CellSetup(cell, datasets.load("sinusoid", Path("/nowhere")), torch.device("cpu")).first_state()
    moved = max(float((outcome.state[n] - start[n]).abs().max()) for n in start if n.startswith("weights"))
    assert 0 < moved < 1


@contextmanager
def _a_second_a_block(self: Any) -> Iterator[None]:
    """A stopwatch on which every block takes a second."""
    yield
    self.wall += 1.0
    self.laps.append(1.0)


@pytest.mark.parametrize(
    ("values", "best"),
    [([3.0, 1.0, 2.0, 4.0, 5.0], 1), ([5.0, 4.0, 3.0, 2.0, 1.0], 4), ([1.0, 1.0, 2.0, 2.0, 2.0], 0)],
)
def test_the_best_measurement_on_validation_is_tested(
    monkeypatch: pytest.MonkeyPatch, values: list[float], best: int
) -> None:
    """The first of equals; the last outer step is measured too, though ``eval_every`` does not divide it."""
    states = validating(monkeypatch, values, "val_mse")
    tested: list[Mapping[str, Any]] = []
    real = cell_run.evaluate
    monkeypatch.setattr(
        cell_run, "evaluate", lambda run, test, state: (tested.append(state), real(run, test, state))[1]
    )
    outcome = outcome_of(one_cell(train={"episodes": 36, "n_query": 2, "eval_every": 2}))
    assert outcome.curve["outer_step"].tolist() == [2, 4, 6, 8, 9]
    assert outcome.curve["val_mse"].tolist() == values
    assert outcome.summary["selected_outer_step"] == [2, 4, 6, 8, 9][best]
    assert len(tested) == 1
    assert tested[0] is states[best]
    assert outcome.state is states[best]


@pytest.mark.parametrize(("mode", "best"), [("transductive", 2), ("inductive", 3)])
def test_accuracy_is_selected_by_in_the_chosen_mode(monkeypatch: pytest.MonkeyPatch, mode: str, best: int) -> None:
    pairs = iter([(0.2, 0.2), (0.9, 0.3), (0.4, 0.8)])

    def measured(run: Any, state: Any) -> dict[str, float]:
        transductive, inductive = next(pairs)
        return {"val_accuracy_transductive": transductive, "val_accuracy_inductive": inductive}

    monkeypatch.setattr(training, "validate", measured)
    cell = one_cell(
        datasets=[dict(GLYPHS)],
        train={"episodes": 12, "n_query": 2, "eval_every": 1},
        evaluation={"val_episodes": 3, "test_episodes": 4, "n_query": 2, "select_by": mode},
    )
    assert outcome_of(cell).summary["selected_outer_step"] == best


@pytest.mark.parametrize("algorithm", ALL)
def test_the_measurement_on_validation_is_the_mean_of_its_episodes(algorithm: str) -> None:
    """Recomputed from the list itself, one episode at a time, with all steps."""
    cell = one_cell(algorithms=[algorithm], datasets=[dict(GLYPHS)])
    run = CellSetup(cell, datasets.load("glyphs", Path("/nowhere")), torch.device("cpu"))
    state = run.first_state()
    correct = dict.fromkeys(MODES, 0)
    for i in range(3):
        episode = run.val.batch([i])
        *_, (step, outputs) = run.algorithm.outputs(state, episode.support, episode.query_x, 2)
        assert step == 2
        for mode in MODES:
            correct[mode] += int((outputs[mode].argmax(-1) == episode.query_y).sum())
    found = evaluation.validate(run, state)
    assert found == {f"val_accuracy_{mode}": pytest.approx(correct[mode] / 18) for mode in MODES}


def test_progress_is_told_every_ten_outer_steps_and_at_the_end() -> None:
    cell = one_cell(train={"episodes": 100, "n_query": 2, "eval_every": 7})
    told: list[Progress] = []
    outcome = run_cell(cell, datasets.load("sinusoid", Path("/nowhere")), told.append)
    assert [(one.done, one.total) for one in told] == [(10, 25), (20, 25), (25, 25)]
    measured = dict(zip(outcome.curve["outer_step"], outcome.curve["val_mse"], strict=True))
    assert [one.validation for one in told] == [measured[7], measured[14], measured[25]]


def test_hyper_parameters_reach_the_algorithm() -> None:
    cell = one_cell(settings=[{"set": {"meta_batch": 3, "inner_lr": 0.25, "test_steps": 7}}])
    run = CellSetup(cell, datasets.load("sinusoid", Path("/nowhere")), torch.device("cpu"))
    assert run.hparams == ALGORITHMS["maml"].settings(
        "sinusoid", 1, 5, {"meta_batch": 3, "inner_lr": 0.25, "test_steps": 7}
    )
    assert run.algorithm.test_steps == 7
    assert run.n_outer == 4
    assert replace(run).algorithm.problem.n_outer == 4
