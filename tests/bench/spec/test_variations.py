"""Parts of a grid, and grids with other values than their own."""

from __future__ import annotations

from typing import Any

import pytest

from bench.spec.variations import changed, narrowed
from datasets import UserError
from tests.bench.helpers import GLYPHS, SINUSOID, tiny


def test_only_named_parts_of_a_grid_are_kept() -> None:
    grid = tiny(
        algorithms=["maml", "reptile"],
        datasets=[{"name": "sinusoid", "shots": [5, 10]}, {"name": "glyphs", "ways": [3], "shots": [1, 5]}],
        seeds=[0, 1],
    )
    part = narrowed(grid, ["finetune"], ["glyphs"], [5, 1], [7])
    found = [(cell.algorithm, cell.dataset, cell.n_shot, cell.seed) for cell in part.cells()]
    assert found == [("finetune", "glyphs", 1, 7), ("finetune", "glyphs", 5, 7)]
    assert part.train == grid.train
    assert narrowed(grid) == grid
    assert {cell.id for cell in narrowed(grid, seeds=[1]).cells()} < {cell.id for cell in grid.cells()}


def test_only_named_ways_are_kept_and_datasets_without_classes_are_not() -> None:
    grid = tiny(datasets=[dict(SINUSOID), {"name": "glyphs", "ways": [3, 5], "shots": [1]}])
    part = narrowed(grid, ways=[5])
    assert {(cell.dataset, cell.n_way) for cell in part.cells()} == {("glyphs", 5)}
    assert {cell.id for cell in part.cells()} < {cell.id for cell in grid.cells()}
    with pytest.raises(UserError, match=r"ways: .*has no cells with 20; it has: 3, 5"):
        narrowed(grid, ways=[3, 20])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithms": ["mamal"]}, "did you mean 'maml'"),
        ({"algorithms": ["maml", "maml"]}, "more than once"),
        ({"datasets": ["sinusoids"]}, "datasets: .*'sinusoids'.*sinusoid"),
        ({"shots": [99]}, "shots: .*99.* 5"),
        ({"shots": [5, 99]}, "shots: .*99.* 5"),
        ({"ways": [5]}, "ways: .*no datasets with ways: regression and control have none"),
        ({"seeds": [1, 1]}, "more than once"),
    ],
)
def test_a_part_that_the_grid_has_not_is_a_users_mistake(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        narrowed(tiny(), **options)


def test_a_value_reaches_every_algorithm_that_has_it_or_the_one_that_is_named() -> None:
    grid = tiny(algorithms=["maml", "reptile", "finetune"])
    values = {"meta_batch": 5, "maml.test_steps": 7, "reptile": {"train_steps": 3}}
    found = {cell.algorithm: cell.hparams for cell in changed(grid, values).cells()}
    before = {cell.algorithm: cell.hparams for cell in grid.cells()}
    assert (found["maml"]["meta_batch"], found["reptile"]["meta_batch"]) == (5, 5)
    assert (found["maml"]["test_steps"], found["reptile"]["test_steps"]) == (7, before["reptile"]["test_steps"])
    assert found["reptile"]["train_steps"] == 3
    assert "train_steps" not in found["finetune"]
    assert changed(grid, {}) is grid


def test_a_budget_reaches_every_dataset_also_one_with_a_budget_of_its_own() -> None:
    own = dict(GLYPHS) | {"train": {"seconds": 5, "eval_every": 3}, "evaluation": {"val_episodes": 2}}
    grid = changed(tiny(datasets=[dict(SINUSOID), own]), {"train.episodes": 40, "evaluation": {"test_episodes": 9}})
    for cell in grid.cells():
        assert (cell.train.episodes, cell.train.seconds, cell.evaluation.test_episodes) == (40, None, 9)
    sinusoid, glyphs = grid.cells()
    assert (sinusoid.train.eval_every, glyphs.train.eval_every) == (2, 3)
    assert glyphs.evaluation.val_episodes == 2
    assert {cell.train.seconds for cell in changed(grid, {"train.seconds": 1.5}).cells()} == {1.5}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "name": (
        {"inner_lrr": 0.1},
        "hparams: no algorithm of grid 'grid' has a hyper-parameter 'inner_lrr'",
    ),
    "algorithm": ({"reptile.inner_lr": 0.1}, "hparams: grid 'grid' has no algorithm 'reptile'"),
    "algorithm's": (
        {"maml.head_lr": 0.1},
        "hparams: maml has no hyper-parameter 'head_lr'; `python -m bench list maml` lists all",
    ),
    "budget": ({"train.episods": 1}, "train: episods: unknown field, did you mean 'episodes'?"),
    "without its section": ({"test_episodes": 1}, "did you mean 'evaluation.test_episodes'?"),
    "value": ({"inner_lr": "soon"}, "hparams: maml: inner_lr: got 'soon'"),
    "budget's value": ({"train.episodes": 0}, "train: episodes: got 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_nothing_has_is_a_users_mistake(name: str) -> None:
    values, words = WRONG[name]
    with pytest.raises(UserError) as raised:
        changed(tiny(), values)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
