"""The papers' settings, each line checked against the paper or its authors' code; see docs/algorithms.md."""

from __future__ import annotations

from typing import Any

import pytest

from algorithms import ALGORITHMS
from algorithms.core.hyperparameters import Choice, Range, tuning_space

MAML_OMNIGLOT = {"train_steps": 1, "test_steps": 3, "meta_batch": 32, "inner_lr": 0.4, "outer_lr": 1e-3}
MAML_OMNIGLOT_20 = {"train_steps": 5, "test_steps": 5, "meta_batch": 16, "inner_lr": 0.1}
MAML_MINI = {"train_steps": 5, "test_steps": 10, "inner_lr": 0.01, "clip": 10.0, "loss_reduction": "sum_over_classes"}


@pytest.mark.parametrize(
    ("name", "family", "n_way", "n_shot", "expected"),
    [
        ("maml", "sinusoid", 1, 10, {"meta_batch": 25, "inner_lr": 0.01, "train_steps": 1, "test_steps": 10}),
        ("maml", "omniglot", 5, 1, MAML_OMNIGLOT | {"loss_reduction": "sum_over_classes", "adapt_norm": False}),
        ("maml", "omniglot", 5, 5, MAML_OMNIGLOT),
        ("maml", "omniglot", 20, 1, MAML_OMNIGLOT_20 | {"loss_reduction": "sum_over_classes"}),
        ("fomaml", "omniglot", 20, 5, MAML_OMNIGLOT_20),
        ("anil", "omniglot", 20, 1, MAML_OMNIGLOT_20),
        ("maml", "mini-imagenet", 5, 1, MAML_MINI | {"meta_batch": 4}),
        ("maml", "mini-imagenet", 5, 5, MAML_MINI | {"meta_batch": 2}),
        ("maml@learn2learn", "mini-imagenet", 5, 5, MAML_MINI | {"meta_batch": 2}),
        ("meta-sgd", "omniglot", 5, 1, {"train_steps": 1, "test_steps": 1, "rate_low": 0.005, "rate_high": 0.1}),
        (
            "reptile",
            "omniglot",
            5,
            1,
            {"inner_lr": 1e-3, "train_steps": 5, "test_steps": 50, "inner_batch": 10, "test_batch": 5}
            | {"train_shots": 10, "meta_batch": 5, "outer_step_size": 1.0, "final_outer_step_size": 0.0},
        ),
        (
            "reptile",
            "omniglot",
            20,
            5,
            {"inner_lr": 5e-4, "train_steps": 10, "inner_batch": 20, "test_batch": 10, "train_shots": 10},
        ),
        (
            "reptile",
            "mini-imagenet",
            5,
            1,
            {"inner_lr": 1e-3, "train_steps": 8, "inner_batch": 10, "test_batch": 5, "train_shots": 15},
        ),
        ("reptile", "mini-imagenet", 5, 5, {"train_steps": 8, "test_batch": 15, "train_shots": 15}),
        (
            "finetune",
            "mini-imagenet",
            5,
            1,
            {"batch_size": 16, "test_steps": 100, "head_batch": 4, "head_lr": 0.01}
            | {"head_momentum": 0.9, "head_dampening": 0.9, "head_weight_decay": 1e-3},
        ),
        ("finetune", "sinusoid", 1, 10, {"meta_batch": 25, "batch_size": 250, "test_steps": 10}),
        ("finetune-cosine", "mini-imagenet", 5, 1, {"scale": 2.0, "scale_many": 10.0, "test_steps": 100}),
        ("protonet", "omniglot", 5, 1, {"train_ways": 60, "train_queries": 5, "lr": 1e-3, "halve_every": 2000}),
        ("protonet", "mini-imagenet", 5, 1, {"train_ways": 30, "train_queries": 15}),
        ("protonet", "mini-imagenet", 5, 5, {"train_ways": 20, "train_queries": 15}),
    ],
)
def test_paper_settings(name: str, family: str, n_way: int, n_shot: int, expected: dict[str, Any]) -> None:
    settings = ALGORITHMS[name].settings(family, n_way, n_shot).model_dump()
    assert {key: settings[key] for key in expected} == expected


@pytest.mark.parametrize("entry", list(ALGORITHMS), ids=lambda entry: entry.name)
def test_every_hyper_parameter_says_what_it_is_and_where_it_comes_from(entry: Any) -> None:
    for name, field in entry.hparams.model_fields.items():
        assert field.description, name
        if name != "meta_batch":
            assert field.json_schema_extra["source"], name
    defaults = entry.hparams()
    for name, space in tuning_space(entry.hparams).items():
        if isinstance(space, Range):
            assert space.low < space.high, name
            assert space.low <= getattr(defaults, name) <= space.high, name
        else:
            assert isinstance(space, Choice)
            assert getattr(defaults, name) in space.options, name


@pytest.mark.parametrize("entry", list(ALGORITHMS), ids=lambda entry: entry.name)
def test_presets_change_only_what_exists(entry: Any) -> None:
    for preset in entry.presets:
        assert set(preset.values) <= set(entry.hparams.model_fields), preset
        assert preset.source
