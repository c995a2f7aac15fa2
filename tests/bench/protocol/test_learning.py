"""That cells learn, on real drawings too: small budgets, fixed seeds, and thresholds well below what was measured.

Measured with these settings under seeds 0 and 1: glyphs 70 and 68% (maml), 69 and 64% (reptile), 54 and 50% (finetune);
omniglot-small 44 and 50% (maml); sinusoids 2.96 before and 0.87 after one step, 0.46 after five,
and 2.97 for finetune.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import datasets
from bench.execution.in_process import set_up_process
from bench.protocol.cell_run import run_cell
from bench.protocol.outcome import Outcome
from tests.bench.helpers import one_cell

DATA = os.environ.get("BENCH_DATA")  # as it was before the tests hid it
IMAGES: dict[str, Any] = {
    "train": {"episodes": 400, "n_query": 5, "eval_every": 50},
    "evaluation": {"val_episodes": 20, "test_episodes": 60, "n_query": 5},
    "settings": [
        {"set": {"meta_batch": 4}},
        {"algorithms": ["maml"], "set": {"inner_lr": 0.4, "outer_lr": 0.003}},
        {"algorithms": ["reptile"], "set": {"train_shots": None, "test_steps": 10, "inner_lr": 0.003}},
    ],
}
SINUSOIDS: dict[str, Any] = {
    "datasets": [{"name": "sinusoid", "shots": [10]}],
    "train": {"episodes": 10_000, "n_query": 10, "eval_every": 200},
    "evaluation": {"val_episodes": 20, "test_episodes": 200, "n_query": 10},
    "settings": [{"set": {"meta_batch": 10, "test_steps": 5}}, {"algorithms": ["maml"], "set": {"outer_lr": 0.01}}],
}
CHANCE = 0.2


@cache
def trained(algorithm: str, dataset: str) -> Outcome:
    set_up_process()
    changes = dict(SINUSOIDS)
    if dataset != "sinusoid":
        changes = {"datasets": [{"name": dataset, "shots": [1], "network": {"channels": 16}}], **IMAGES}
    cell = one_cell(algorithms=[algorithm], **changes)
    return run_cell(cell, datasets.load(dataset, Path(DATA) if DATA else None))


def by_step(outcome: Outcome) -> pd.Series:
    return outcome.episodes.groupby("step")["mse"].mean()


@pytest.mark.parametrize(
    ("algorithm", "dataset", "least"),
    [
        ("maml", "glyphs", 0.50),
        ("reptile", "glyphs", 0.45),
        ("maml", "omniglot-small", 0.33),
    ],
)
def test_accuracy_is_well_above_chance(algorithm: str, dataset: str, least: float) -> None:
    if dataset == "omniglot-small" and not DATA:
        pytest.skip("BENCH_DATA is not set: the real drawings are not at hand")
    summary = trained(algorithm, dataset).summary
    assert least > CHANCE + 0.05
    assert summary["test_accuracy_transductive"] > least
    assert summary["test_accuracy_inductive"] > least
    assert summary["selected_outer_step"] > 0


def test_adaptation_is_what_makes_maml_accurate() -> None:
    episodes = trained("maml", "glyphs").episodes
    accuracy = (episodes["n_correct_transductive"] / episodes["n_query"]).groupby(episodes["step"]).mean()
    assert accuracy[0] < CHANCE + 0.1
    assert accuracy[1] > accuracy[0] + 0.15


def test_maml_is_above_finetune_on_glyphs_after_as_many_images() -> None:
    maml, finetune = trained("maml", "glyphs").summary, trained("finetune", "glyphs").summary
    assert maml["train_examples"] == finetune["train_examples"]
    assert maml["test_accuracy_transductive"] > finetune["test_accuracy_transductive"] + 0.05


def test_mamls_first_inner_step_lowers_the_error_on_sinusoids() -> None:
    errors = by_step(trained("maml", "sinusoid"))
    assert list(errors.index) == [0, 1, 2, 3, 4, 5]
    assert errors[1] < 0.5 * errors[0]
    assert errors[5] < errors[1]
    assert errors[5] < 1.0


def test_maml_beats_finetune_on_sinusoids_after_as_many_points() -> None:
    maml, finetune = trained("maml", "sinusoid"), trained("finetune", "sinusoid")
    assert maml.summary["train_examples"] == finetune.summary["train_examples"] == 200_000
    assert maml.summary["test_mse"] < 0.4 * finetune.summary["test_mse"]
