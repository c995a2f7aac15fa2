"""The protocol of a cell: shared episodes, both modes measured, nothing that depends on the order of calls."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import datasets
from algorithms.core.algorithm import MODES
from algorithms.maml import MAML
from algorithms.networks.conv4 import Conv4
from bench.protocol import evaluation
from bench.protocol.outcome import Outcome
from bench.protocol.setup import CellSetup
from bench.protocol.setup import test_shape as shape_of_tests
from bench.protocol.timing import time_whole_cell
from datasets.core.episodes import Shape, digest
from tests.bench.helpers import GLYPHS, SINUSOID, one_cell, tiny
from tests.bench.protocol.helpers import ALL, TIMES, outcome_of


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

    monkeypatch.setattr(Conv4, "_normalize", shifted)
    for algorithm in ALL:
        rows = outcome_of(one_cell(algorithms=[algorithm], datasets=[dict(GLYPHS)])).episodes
        assert (rows["nll_transductive"] == rows["nll_inductive"]).all()
        assert (rows["n_correct_transductive"] == rows["n_correct_inductive"]).all()


def test_sinusoids_have_one_error_and_no_modes(outcomes: dict[tuple[str, str, int], Outcome]) -> None:
    assert list(outcomes["maml", "sinusoid", 0].episodes.columns) == ["episode", "step", "class_ids", "n_query", "mse"]


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
