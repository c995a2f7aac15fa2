"""Grids: the cells that they expand to, and the settings of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from algorithms import ALGORITHMS
from bench.protocol.setup import train_shape
from bench.spec.cell import Evaluation, TrainingBudget
from bench.spec.grid import grid_names, load_grid
from tests.bench.helpers import GLYPHS, SINUSOID, one_cell, tiny, write_grid


@pytest.mark.parametrize("name", grid_names())
def test_the_shipped_grids_load_and_give_cells(name: str) -> None:
    grid = load_grid(name)
    assert grid.name == name
    assert grid.description
    cells = grid.cells()
    assert len({cell.id for cell in cells}) == len(cells) > 0
    assert {cell.algorithm for cell in cells} <= set(grid.algorithms)
    if name in ("smoke", "grid"):
        assert {cell.algorithm for cell in cells} >= {"maml", "fomaml", "reptile", "meta-sgd", "finetune"}


def test_a_file_gives_its_name_unless_it_says_another(tmp_path: Path) -> None:
    assert load_grid(write_grid(tmp_path / "mine.yaml")).name == "mine"
    assert load_grid(write_grid(tmp_path / "mine.yaml", name="other")).name == "other"


def test_a_file_called_like_a_shipped_grid_is_reached_by_its_path(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write_grid(tmp_path / "smoke.yaml", description="mine")
    assert load_grid("smoke.yaml").description == "mine"
    assert load_grid("smoke").description != "mine"


def test_cells_are_the_product_in_a_fixed_order() -> None:
    grid = tiny(
        algorithms=["reptile", "maml"],
        datasets=[{**SINUSOID, "shots": [5, 10]}, {**GLYPHS, "ways": [2, 3]}],
        seeds=[4, 2],
    )
    found = [(c.dataset, c.n_way, c.n_shot, c.seed, c.algorithm) for c in grid.cells()]
    shapes = [("sinusoid", 1, 5), ("sinusoid", 1, 10), ("glyphs", 2, 1), ("glyphs", 3, 1)]
    assert found == [(*shape, seed, a) for shape in shapes for seed in (4, 2) for a in ("reptile", "maml")]


def test_classification_is_five_way_by_default() -> None:
    assert {cell.n_way for cell in tiny(datasets=[{"name": "glyphs", "shots": [1]}]).cells()} == {5}


def test_a_dataset_replaces_only_what_it_names() -> None:
    one, other = tiny(
        datasets=[
            {**SINUSOID, "train": {"n_query": 7}, "evaluation": {"test_episodes": 9}},
            dict(GLYPHS),
        ]
    ).cells()
    assert one.train == TrainingBudget(episodes=10, n_query=7, eval_every=2)
    assert one.evaluation == Evaluation(val_episodes=3, test_episodes=9, n_query=2)
    assert other.train == TrainingBudget(episodes=10, n_query=2, eval_every=2)
    assert other.evaluation == Evaluation(val_episodes=3, test_episodes=4, n_query=2)


@pytest.mark.parametrize(
    ("grid", "dataset", "episodes", "seconds"),
    [
        ({"episodes": 10}, {"seconds": 3}, None, 3.0),
        ({"seconds": 3}, {"episodes": 10}, 10, None),
        ({"seconds": 3}, {"n_query": 4}, None, 3.0),
    ],
)
def test_a_dataset_may_have_the_other_kind_of_budget(
    grid: dict[str, Any], dataset: dict[str, Any], episodes: int | None, seconds: float | None
) -> None:
    cell = one_cell(train=grid, datasets=[{**SINUSOID, "train": dataset}])
    assert (cell.train.episodes, cell.train.seconds) == (episodes, seconds)


def test_settings_reach_the_cells_that_they_name_and_later_ones_win() -> None:
    grid = tiny(
        algorithms=["maml", "reptile", "finetune"],
        datasets=[dict(SINUSOID), {**GLYPHS, "shots": [1, 5]}],
        settings=[
            {"set": {"meta_batch": 7, "inner_lr": 0.125}},
            {"algorithms": ["maml"], "datasets": ["glyphs"], "set": {"inner_lr": 0.25}},
            {"shots": [5], "set": {"meta_batch": 3}},
            {"ways": [3], "algorithms": ["reptile"], "set": {"train_steps": 9}},
        ],
    )
    found = {(c.algorithm, c.dataset, c.n_shot): c.hparams for c in grid.cells()}
    assert found["maml", "sinusoid", 5]["inner_lr"] == 0.125
    assert found["maml", "glyphs", 1]["inner_lr"] == 0.25
    assert found["reptile", "glyphs", 1]["inner_lr"] == 0.125
    assert "inner_lr" not in found["finetune", "glyphs", 1]
    assert {key: hparams["meta_batch"] for key, hparams in found.items()} == {
        (a, *problem): batch
        for a in ("maml", "reptile", "finetune")
        for problem, batch in ((("sinusoid", 5), 3), (("glyphs", 1), 7), (("glyphs", 5), 3))
    }
    assert found["reptile", "glyphs", 1]["train_steps"] == 9
    assert found["maml", "glyphs", 1]["train_steps"] != 9


def test_cells_hold_the_papers_settings_where_the_grid_says_nothing() -> None:
    cells = tiny(datasets=[{"name": "glyphs", "shots": [1]}], settings=[]).cells()
    assert cells[0].hparams == ALGORITHMS["maml"].settings("omniglot", 5, 1).model_dump(mode="json")
    assert train_shape(one_cell(algorithms=["reptile"], datasets=[dict(GLYPHS)])).n_shot == 10


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        tiny().seeds = (1,)  # type: ignore[misc]
