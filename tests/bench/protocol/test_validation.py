"""A trial trains and validates as a cell does, and cannot touch the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import datasets
from bench.protocol.cell_run import run_cell, validate_cell
from bench.protocol.outcome import Diverged, Measurement
from bench.spec.cell import Cell
from datasets import Dataset, UserError
from datasets.core.episodes import EpisodeStream, ExampleStream, Kind, Shape, Split
from tests.bench.helpers import GLYPHS, SINUSOID, one_cell


class TestSplitTouched(Exception):
    """Somebody asked for test episodes."""

    __test__ = False


@dataclass(frozen=True)
class WithoutTest:
    """A dataset that has no test split at all: asking for it raises."""

    inner: Dataset

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def kind(self) -> Kind:
        return self.inner.kind

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inner.input_shape

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        if split == "test":
            raise TestSplitTouched
        return self.inner.stream(split, shape, seed, device)

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        return self.inner.examples(seed, device)


def cell_of(dataset: Any, algorithm: str, **changes: Any) -> Cell:
    return one_cell(datasets=[dict(dataset)], algorithms=[algorithm], **changes)


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "meta-sgd", "reptile", "finetune"])
@pytest.mark.parametrize("dataset", [SINUSOID, GLYPHS], ids=["sinusoid", "glyphs"])
def test_a_trial_cannot_touch_the_test_split(dataset: Any, algorithm: str) -> None:
    cell = cell_of(dataset, algorithm)
    guarded = WithoutTest(datasets.load(cell.dataset))
    found = validate_cell(cell, guarded)
    assert not found.stopped
    assert set(found.digests) == {"dataset", "val"}
    assert not [name for name in found.summary if "test" in name]
    with pytest.raises(TestSplitTouched):  # the guard holds: a cell that tests runs into it
        run_cell(cell, guarded)


@pytest.mark.parametrize("dataset", [SINUSOID, GLYPHS], ids=["sinusoid", "glyphs"])
def test_a_trial_validates_as_the_cell_does(dataset: Any) -> None:
    cell = cell_of(dataset, "maml", train={"episodes": 30, "n_query": 2, "eval_every": 2})
    loaded = datasets.load(cell.dataset)
    trial, whole = validate_cell(cell, loaded), run_cell(cell, loaded)
    column = "val_mse" if cell.dataset == "sinusoid" else "val_accuracy_transductive"
    best = whole.curve[column].min() if column == "val_mse" else whole.curve[column].max()
    assert trial.value == best
    assert trial.digests["val"] == whole.digests["val"]
    for name in ("outer_steps", "selected_outer_step", "train_episodes", "train_examples"):
        assert trial.summary[name] == whole.summary[name]


def test_it_ends_at_a_measurement_when_told_to_and_says_what_it_used() -> None:
    cell = cell_of(SINUSOID, "maml", train={"episodes": 50, "n_query": 2, "eval_every": 3})
    seen: list[Measurement] = []

    def go_on(measurement: Measurement) -> bool:
        seen.append(measurement)
        return measurement.number < 2

    found = validate_cell(cell, datasets.load("sinusoid"), go_on=go_on)
    assert found.stopped
    assert [(one.number, one.outer_steps, one.episodes) for one in seen] == [(1, 3, 12), (2, 6, 24)]
    assert found.summary["outer_steps"] == 6
    assert found.summary["train_episodes"] == 24
    assert found.value == min(one.value for one in seen)


def test_the_last_measurement_is_not_asked_about() -> None:
    cell = cell_of(SINUSOID, "maml", train={"episodes": 10, "n_query": 2, "eval_every": 1})
    seen: list[int] = []
    found = validate_cell(cell, datasets.load("sinusoid"), go_on=lambda one: (seen.append(one.number), True)[1])
    assert seen == [1, 2]
    assert found.summary["train_episodes"] == 10
    assert not found.stopped


def test_the_last_state_counts_where_it_is_the_one_that_would_be_tested() -> None:
    evaluation = {"val_episodes": 3, "test_episodes": 4, "n_query": 2, "select": "last"}
    cell = cell_of(SINUSOID, "maml", train={"episodes": 40, "n_query": 2, "eval_every": 2}, evaluation=evaluation)
    seen: list[float] = []
    found = validate_cell(cell, datasets.load("sinusoid"), go_on=lambda one: (seen.append(one.value), True)[1])
    assert found.value == run_cell(cell, datasets.load("sinusoid")).curve["val_mse"].iloc[-1]
    assert found.summary["selected_outer_step"] == 10


def test_a_diverged_training_is_an_error() -> None:
    cell = cell_of(SINUSOID, "maml", settings=[{"set": {"meta_batch": 1, "inner_lr": 1e30}}])
    with pytest.raises(Diverged):
        validate_cell(cell, datasets.load("sinusoid"))


def test_seconds_that_end_before_a_measurement_are_said() -> None:
    cell = cell_of(SINUSOID, "maml", train={"seconds": 1e-9, "n_query": 2, "eval_every": 1000})
    with pytest.raises(UserError, match=r"train\.eval_every"):
        validate_cell(cell, datasets.load("sinusoid"))
