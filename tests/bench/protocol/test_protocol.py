"""The protocol of a cell: equal budgets, shared episodes, selection on validation, both modes measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import datasets
from algorithms import ALGORITHMS
from algorithms.core.algorithm import MODES
from algorithms.finetune import Finetune
from algorithms.maml import MAML
from algorithms.networks.conv4 import Conv4
from algorithms.reptile import Reptile
from bench.protocol import cell_run, evaluation, training
from bench.protocol.cell_run import run_cell
from bench.protocol.outcome import Diverged, Outcome, Progress
from bench.protocol.setup import CellSetup
from bench.protocol.setup import test_shape as shape_of_tests
from bench.protocol.timing import time_whole_cell
from bench.spec.cell import Cell
from datasets.core.episodes import Episodes, Examples, Shape, digest
from tests.bench.helpers import GLYPHS, SINUSOID, one_cell, tiny

ALL = ["maml", "fomaml", "reptile", "meta-sgd", "finetune"]
TIMES = ("seconds", "_ms", "per_second")


def outcome_of(cell: Cell) -> Outcome:
    return run_cell(cell, datasets.load(cell.dataset, Path("/nowhere")))


def numbers(outcome: Outcome) -> dict[str, Any]:
    """The summary without what a clock measured."""
    return {name: value for name, value in outcome.summary.items() if not name.endswith(TIMES)}


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str, int], Outcome]:
    """Every algorithm under two seeds on sinusoids and glyphs, by (algorithm, dataset, seed)."""
    torch.set_num_threads(1)
    grid = tiny(algorithms=ALL, datasets=[dict(SINUSOID), dict(GLYPHS)], seeds=[0, 1])
    return {(cell.algorithm, cell.dataset, cell.seed): outcome_of(cell) for cell in grid.cells()}


@pytest.mark.parametrize("dataset", ["sinusoid", "glyphs"])
def test_all_algorithms_and_seeds_are_tested_on_the_same_episodes(
    outcomes: dict[tuple[str, str, int], Outcome], dataset: str
) -> None:
    found = [outcome for (_, name, _), outcome in outcomes.items() if name == dataset]
    for which in ("dataset", "val", "test"):
        assert len({outcome.digests[which] for outcome in found}) == 1
    classes = {str(outcome.episodes.query("step == 0")["class_ids"].tolist()) for outcome in found}
    assert len(classes) == 1


@pytest.mark.parametrize("dataset", ["sinusoid", "glyphs"])
def test_the_training_stream_is_shared_by_the_algorithms_of_a_seed_and_differs_between_seeds(
    outcomes: dict[tuple[str, str, int], Outcome], dataset: str
) -> None:
    by_seed = [
        {outcomes[name, dataset, seed].digests["train"] for name in ("maml", "fomaml", "meta-sgd")} for seed in (0, 1)
    ]
    assert [len(digests) for digests in by_seed] == [1, 1]
    assert by_seed[0] != by_seed[1]
    assert outcomes["finetune", dataset, 0].digests["train"] == "plain batches"


def test_the_digests_are_those_of_the_lists_that_were_used(outcomes: dict[tuple[str, str, int], Outcome]) -> None:
    cell = one_cell(datasets=[dict(GLYPHS)])
    data = datasets.load("glyphs", Path("/nowhere"))
    found = outcomes["maml", "glyphs", 0].digests
    assert found["train"] == digest(data.stream("train", Shape(3, 1, 2), 0), 10)
    assert found["val"] == digest(data.stream("val", shape_of_tests(cell), 0), 3)
    assert found["test"] == digest(data.stream("test", shape_of_tests(cell), 0), 4)
    assert found["dataset"] == data.fingerprint
    listed = data.stream("test", shape_of_tests(cell), 0).batch(range(4)).class_ids.tolist()
    rows = outcomes["maml", "glyphs", 0].episodes.query("step == 0")
    assert [list(ids) for ids in rows["class_ids"]] == listed


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize("dataset", ["sinusoid", "glyphs"])
def test_every_episode_is_measured_after_every_inner_step(
    outcomes: dict[tuple[str, str, int], Outcome], algorithm: str, dataset: str
) -> None:
    rows = outcomes[algorithm, dataset, 0].episodes
    assert list(zip(rows["episode"], rows["step"], strict=True)) == [(e, k) for e in range(4) for k in range(3)]
    if dataset == "sinusoid":
        assert set(rows["n_query"]) == {2}
        assert np.isfinite(rows["mse"]).all()
        assert (rows["mse"] >= 0).all()
    else:
        assert set(rows["n_query"]) == {6}
        for mode in MODES:
            assert rows[f"n_correct_{mode}"].between(0, rows["n_query"]).all()
            assert (rows[f"nll_{mode}"] > 0).all()


@pytest.mark.parametrize("algorithm", ALL)
def test_the_summary_is_the_mean_after_the_last_step(
    outcomes: dict[tuple[str, str, int], Outcome], algorithm: str
) -> None:
    sinusoid, glyphs = outcomes[algorithm, "sinusoid", 0], outcomes[algorithm, "glyphs", 0]
    assert sinusoid.summary["test_mse"] == pytest.approx(sinusoid.episodes.query("step == 2")["mse"].mean())
    for mode in MODES:
        last = glyphs.episodes.query("step == 2")
        expected = last[f"n_correct_{mode}"].sum() / 24
        assert glyphs.summary[f"test_accuracy_{mode}"] == pytest.approx(expected)


def test_the_modes_differ_with_batch_norm(outcomes: dict[tuple[str, str, int], Outcome]) -> None:
    for algorithm in ALL:
        rows = outcomes[algorithm, "glyphs", 0].episodes
        assert not np.allclose(rows["nll_transductive"], rows["nll_inductive"])


def test_the_modes_are_equal_without_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conv4, "norm_layers", ())

    def shifted(self: Any, weights: Any, i: int, x: torch.Tensor, statistics: Any) -> torch.Tensor:
        return torch.relu(x + weights[f"norm{i}.bias"][None, :, None, None])

    monkeypatch.setattr(Conv4, "_normalise", shifted)
    for algorithm in ALL:
        rows = outcome_of(one_cell(algorithms=[algorithm], datasets=[dict(GLYPHS)])).episodes
        assert (rows["nll_transductive"] == rows["nll_inductive"]).all()
        assert (rows["n_correct_transductive"] == rows["n_correct_inductive"]).all()


def test_sinusoids_have_one_error_and_no_modes(outcomes: dict[tuple[str, str, int], Outcome]) -> None:
    assert list(outcomes["maml", "sinusoid", 0].episodes.columns) == ["episode", "step", "class_ids", "n_query", "mse"]


# the budget


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Episodes | Examples]:
    """What the algorithms are given in outer steps, the warm-up's first."""
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


# selection


def validating(monkeypatch: pytest.MonkeyPatch, values: list[float], name: str) -> list[Mapping[str, Any]]:
    """Replace the measurements on validation; returns the states that were measured, as they come."""
    states: list[Mapping[str, Any]] = []

    def measured(run: Any, state: Mapping[str, Any]) -> dict[str, float]:
        states.append(state)
        return {name: values[len(states) - 1]}

    monkeypatch.setattr(training, "validate", measured)
    return states


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


# the whole of a cell


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize("dataset", ["sinusoid", "glyphs"])
def test_warming_up_and_measuring_change_nothing(
    outcomes: dict[tuple[str, str, int], Outcome], algorithm: str, dataset: str
) -> None:
    """A loop of outer steps alone arrives at the same state, bit for bit."""
    use = dict(SINUSOID) if dataset == "sinusoid" else dict(GLYPHS)
    cell = one_cell(algorithms=[algorithm], datasets=[use], seeds=[1])
    run = CellSetup(cell, datasets.load(dataset, Path("/nowhere")), torch.device("cpu"))
    state = run.first_state()
    selected = outcomes[algorithm, dataset, 1].summary["selected_outer_step"]
    for step in range(selected):
        state, _ = run.algorithm.outer_step(state, run.batch(step))
    found = outcomes[algorithm, dataset, 1].state
    assert set(found) == set(state)
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("algorithm", ALL)
def test_a_cell_does_not_depend_on_the_global_generators(algorithm: str) -> None:
    cell = one_cell(algorithms=[algorithm], datasets=[dict(GLYPHS)])
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # that is the generator which must not matter
        found.append(outcome_of(cell))
    pd.testing.assert_frame_equal(found[0].episodes, found[1].episodes)
    pd.testing.assert_frame_equal(found[0].curve, found[1].curve)
    assert numbers(found[0]) == numbers(found[1])


def test_all_algorithms_of_a_seed_start_from_the_same_weights() -> None:
    data = datasets.load("sinusoid", Path("/nowhere"))
    starts = {}
    for cell in tiny(algorithms=["maml", "fomaml", "reptile", "meta-sgd", "finetune"], seeds=[0, 1]).cells():
        state = CellSetup(cell, data, torch.device("cpu")).first_state()
        starts[cell.algorithm, cell.seed] = {n: v for n, v in state.items() if n.startswith("weights/")}
    for (algorithm, seed), weights in starts.items():
        for name, value in starts["maml", seed].items():
            assert torch.equal(weights[name], value), algorithm
        name = "weights/layer1.weight"
        assert not torch.equal(weights[name], starts["maml", 1 - seed][name])


def test_the_parameters_are_counted(outcomes: dict[tuple[str, str, int], Outcome]) -> None:
    assert outcomes["maml", "sinusoid", 0].summary["parameters"] == (8 + 8) + (8 + 1)
    convolutions = 4 * 1 * 9 + 3 * (4 * 4 * 9)
    assert outcomes["maml", "glyphs", 0].summary["parameters"] == convolutions + 4 * 4 + (4 * 3 + 3)


@pytest.mark.parametrize("algorithm", ALL)
def test_every_number_of_a_summary_is_finite_and_times_are_positive(
    outcomes: dict[tuple[str, str, int], Outcome], algorithm: str
) -> None:
    for dataset in ("sinusoid", "glyphs"):
        summary = outcomes[algorithm, dataset, 0].summary
        assert all(math.isfinite(value) for value in summary.values())
        for name in summary:
            if name.endswith(TIMES) and "cpu" not in name:
                assert summary[name] > 0
        assert summary["adapt_q1_ms"] <= summary["adapt_ms"] <= summary["adapt_q3_ms"]
        assert summary["outer_step_q1_ms"] <= summary["outer_step_ms"] <= summary["outer_step_q3_ms"]


def test_progress_is_told_every_ten_outer_steps_and_at_the_end() -> None:
    cell = one_cell(train={"episodes": 100, "n_query": 2, "eval_every": 7})
    told: list[Progress] = []
    outcome = run_cell(cell, datasets.load("sinusoid", Path("/nowhere")), told.append)
    assert [(one.done, one.total) for one in told] == [(10, 25), (20, 25), (25, 25)]
    measured = dict(zip(outcome.curve["outer_step"], outcome.curve["val_mse"], strict=True))
    assert [one.validation for one in told] == [measured[7], measured[14], measured[25]]


# divergence


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_loss_that_is_not_finite_ends_the_cell(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    real, calls = MAML.outer_step, 0

    def diverging(self: MAML, state: Any, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        state, metrics = real(self, state, batch)
        return state, {"loss": value} if calls == 3 else metrics

    monkeypatch.setattr(MAML, "outer_step", diverging)
    with pytest.raises(Diverged, match=f"training loss is {value} at outer step 2"):
        outcome_of(one_cell())


def test_weights_that_diverge_in_the_last_step_are_not_taken_for_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a step is that before its update, so that only the measurements can tell."""
    real = MAML.outer_step

    def diverging(self: MAML, state: Any, batch: Any) -> Any:
        state, metrics = real(self, state, batch)
        return {n: torch.full_like(v, math.nan) if n.startswith("weights") else v for n, v in state.items()}, metrics

    monkeypatch.setattr(MAML, "outer_step", diverging)
    for use in (dict(SINUSOID), dict(GLYPHS)):
        with pytest.raises(Diverged):
            outcome_of(one_cell(datasets=[use], train={"episodes": 4, "n_query": 2, "eval_every": 1}))


def test_an_adaptation_that_diverges_on_test_episodes_is_not_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = one_cell(settings=[{"set": {"meta_batch": 4, "inner_lr": 1e9, "test_steps": 40}}])
    with pytest.raises(Diverged):
        outcome_of(cell)


def test_an_earlier_checkpoint_survives_a_later_measurement_that_is_not_finite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    validating(monkeypatch, [3.0, 2.0, math.nan, math.nan, math.nan], "val_mse")
    outcome = outcome_of(one_cell(train={"episodes": 36, "n_query": 2, "eval_every": 2}))
    assert outcome.summary["selected_outer_step"] == 4


# the estimate


@pytest.mark.parametrize("algorithm", ALL)
def test_the_time_of_a_cell_is_estimated_from_single_steps(algorithm: str) -> None:
    cell = one_cell(algorithms=[algorithm])
    data = datasets.load("sinusoid", Path("/nowhere"))
    seconds = time_whole_cell(cell, data)
    assert 0 < seconds < 60
    longer = cell.model_copy(update={"train": cell.train.model_copy(update={"episodes": 400_000})})
    assert time_whole_cell(longer, data) > 10 * seconds
    timed = cell.model_copy(update={"train": cell.train.model_copy(update={"episodes": None, "seconds": 123.0})})
    assert 123 < time_whole_cell(timed, data) < 183


def test_hyper_parameters_reach_the_algorithm() -> None:
    cell = one_cell(settings=[{"set": {"meta_batch": 3, "inner_lr": 0.25, "test_steps": 7}}])
    run = CellSetup(cell, datasets.load("sinusoid", Path("/nowhere")), torch.device("cpu"))
    assert run.hparams == ALGORITHMS["maml"].settings(
        "sinusoid", 1, 5, {"meta_batch": 3, "inner_lr": 0.25, "test_steps": 7}
    )
    assert run.algorithm.test_steps == 7
    assert run.n_outer == 4
    assert replace(run).algorithm.problem.n_outer == 4


@pytest.mark.parametrize("dataset", [SINUSOID, GLYPHS], ids=["sinusoid", "glyphs"])
def test_evaluation_takes_as_many_episodes_at_once_as_fit(
    dataset: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tiny(datasets=[dataset]).cells()[0]
    whole = outcome_of(cell)
    seen: list[int] = []
    outputs = MAML.outputs

    def spying(self: MAML, state: Any, support: Any, *rest: Any, **options: Any) -> Any:
        seen.append(len(support))
        return outputs(self, state, support, *rest, **options)

    monkeypatch.setattr(MAML, "outputs", spying)
    monkeypatch.setattr(evaluation, "VALUES_AT_ONCE", 1)
    one_by_one = outcome_of(cell)
    assert seen == [1] * len(seen)
    assert len(seen) > cell.evaluation.test_episodes
    pd.testing.assert_frame_equal(one_by_one.episodes, whole.episodes, rtol=1e-3)
