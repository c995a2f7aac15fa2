"""The papers' grids: they cover every published row that can run, with the papers' settings, and run when shortened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from bench.analysis.published import NOT_RUN, PAPER_GRIDS, beside, published, sinusoid_table
from bench.protocol.cell_run import run_cell
from bench.protocol.setup import train_shape
from bench.spec.cell import Cell
from bench.spec.grid import GRIDS, load_grid, parse_grid
from datasets import DATASETS, UserError, load
from datasets.core.episodes import Dataset
from datasets.core.image_pools import ImageDataset, pools_from_classes

QUICK: dict[str, dict[str, Any]] = {
    "reptile": {"test_steps": 2},
    "finetune": {"test_steps": 2},
    "finetune-cosine": {"test_steps": 2},
    "protonet": {"train_queries": 1},
}


def paper_cells() -> list[Cell]:
    return [cell for name in PAPER_GRIDS for cell in load_grid(name).cells()]


def test_every_published_row_runs_or_says_why_not() -> None:
    run = {(cell.algorithm, cell.dataset, cell.n_way, cell.n_shot) for cell in paper_cells()}
    table = published()
    assert len(table) == 70
    for row in table.itertuples():
        ways = 1 if np.isnan(row.ways) else int(row.ways)
        runs = (row.method, row.dataset, ways, row.shots) in run
        of_other_networks = (row.method, row.dataset, row.source) in NOT_RUN  # beside a row of the same method
        assert runs == (row.why_not == "" or of_other_networks), row
    not_run = table[table["why_not"] != ""]
    assert set(zip(not_run["method"], not_run["dataset"], strict=True)) == {
        ("maml-mlp", "omniglot"),
        ("finetune", "mini-imagenet"),
        ("r2d2", "cifar-fs"),
        ("protonet", "cifar-fs"),
        ("protonet", "fc100"),
    }
    assert len(not_run) == 10


def test_every_paper_cell_but_sinusoids_has_a_published_value() -> None:
    table = published()
    known = set(zip(table["method"], table["dataset"], table["ways"], table["shots"], strict=True))
    for cell in paper_cells():
        if cell.dataset != "sinusoid":
            assert (cell.algorithm, cell.dataset, cell.n_way, cell.n_shot) in known, cell.id


@pytest.mark.parametrize(
    ("algorithm", "dataset", "n_way", "n_shot", "outer_steps", "n_query", "test_episodes"),
    [
        ("maml", "sinusoid", 1, 5, 70_000, 10, 600),
        ("maml", "omniglot", 5, 1, 60_000, 1, 600),
        ("maml", "omniglot", 5, 5, 60_000, 5, 600),
        ("fomaml", "omniglot", 20, 1, 60_000, 1, 600),
        ("anil", "omniglot", 20, 5, 60_000, 5, 600),
        ("meta-sgd", "omniglot", 20, 5, 60_000, 15, 600),
        ("reptile", "omniglot", 5, 1, 100_000, 1, 10_000),
        ("reptile", "omniglot", 20, 5, 200_000, 1, 10_000),
        ("protonet", "omniglot", 20, 5, 40_000, 5, 1000),
        ("maml", "mini-imagenet", 5, 1, 60_000, 1, 600),
        ("maml", "mini-imagenet", 5, 5, 60_000, 5, 600),
        ("reptile", "mini-imagenet", 5, 5, 100_000, 1, 10_000),
        ("protonet", "mini-imagenet", 5, 1, 40_000, 15, 600),
        ("maml", "cifar-fs", 5, 1, 60_000, 1, 600),
        ("maml", "cifar-fs", 5, 5, 60_000, 5, 600),
    ],
)
def test_budgets_and_evaluation_are_the_papers(
    algorithm: str, dataset: str, n_way: int, n_shot: int, outer_steps: int, n_query: int, test_episodes: int
) -> None:
    wanted = (algorithm, dataset, n_way, n_shot)
    cells = [cell for cell in paper_cells() if (cell.algorithm, cell.dataset, cell.n_way, cell.n_shot) == wanted]
    assert len(cells) == 3
    for cell in cells:
        assert cell.train.episodes == outer_steps * cell.hparams["meta_batch"]
        assert (cell.evaluation.n_query, cell.evaluation.test_episodes) == (n_query, test_episodes)


def test_pre_training_sees_as_many_images_as_400_epochs() -> None:
    for cell in load_grid("paper-mini-imagenet").cells():
        if cell.algorithm.startswith("finetune"):
            assert cell.train.episodes is not None
            assert cell.train.episodes * 5 * (cell.n_shot + cell.train.n_query) == 400 * 64 * 600


def test_sinusoids_train_on_ten_points_whatever_is_tested() -> None:
    cells = load_grid("paper-sinusoid").cells()
    assert {cell.n_shot for cell in cells} == {5, 10}
    assert {train_shape(cell).n_shot for cell in cells} == {10}
    assert {cell.evaluation.select for cell in cells} == {"last"}


def shortened(name: str, dataset: str | None = None) -> list[Cell]:
    """One seed of a paper's grid with two outer steps and few queries, on another dataset where asked."""
    content = yaml.safe_load((GRIDS / f"{name}.yaml").read_text(encoding="utf-8"))
    images = name != "paper-sinusoid"
    for use in content["datasets"]:
        use["name"] = dataset or use["name"]
        for section, keys in (("train", ("episodes", "n_query")), ("evaluation", ("test_episodes", "n_query"))):
            use[section] = {key: value for key, value in use.get(section, {}).items() if key not in keys}
        if images:
            use["network"] = {**use.get("network", {}), "channels": 4}
    content["train"] |= {"episodes": 2, "n_query": 1, "eval_every": 1}
    content["evaluation"] |= {"val_episodes": 1, "test_episodes": 2, "n_query": 1}
    content["seeds"] = [0]
    content["settings"] = [{"set": {"meta_batch": 1}}]
    if images:
        content["settings"] += [
            {"algorithms": [key], "set": QUICK[key]} for key in QUICK if key in content["algorithms"]
        ]
    return parse_grid(content, name).cells()


def run_shortened(cells: list[Cell], dataset: Dataset) -> Iterator[tuple[Cell, pd.DataFrame]]:
    for cell in cells:
        outcome = run_cell(cell, dataset)
        assert outcome.summary["outer_steps"] == (1 if cell.algorithm == "oracle" else 2)
        yield cell, outcome.episodes


def test_shortened_sinusoids_give_the_papers_table() -> None:
    frames = [
        episodes.assign(algorithm=cell.algorithm, shape=cell.shape)
        for cell, episodes in run_shortened(shortened("paper-sinusoid"), load("sinusoid"))
    ]
    table = sinusoid_table(pd.concat(frames)).set_index(["algorithm", "shape", "steps"])
    assert table.loc[("maml", "5-shot", 1), "published"] == 0.67
    assert table.loc[("maml", "5-shot", 10), "published"] == 0.35
    assert table.loc[("finetune", "5-shot", 5), "published"] == 2.23
    assert np.isnan(table.loc[("maml", "10-shot", 1), "published"])
    assert table.loc[("oracle", "5-shot", 0), "mean"] < 1e-3
    assert table.loc[("maml", "5-shot", 10), "episodes"] == 2


def test_shortened_omniglot_runs_on_the_small_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(os.environ.get("BENCH_DATA", "/nowhere"))
    if not (root / "omniglot" / "images_background_small1.zip").exists():
        pytest.skip("BENCH_DATA names no folder with Omniglot's official small sets")
    (tmp_path / "omniglot").symlink_to(root / "omniglot")
    dataset = load("omniglot-small", tmp_path)
    cells = [cell for cell in shortened("paper-omniglot", "omniglot-small") if cell.n_way == 5 or cell.n_shot == 1]
    assert {cell.algorithm for cell, _ in run_shortened(cells, dataset)} == {
        "maml", "fomaml", "anil", "meta-sgd", "reptile", "protonet",
    }  # fmt: skip


def made_up_photographs(name: str, size: int) -> ImageDataset:
    """Noise in the shape of a dataset of photographs: enough classes and images for every published row."""
    rng = np.random.default_rng(0)
    classes = [rng.integers(0, 256, (21, 3, size, size), dtype=np.uint8) for _ in range(30 + 5 + 5)]
    splits: dict[Any, Any] = {"train": range(30), "val": range(30, 35), "test": range(35, 40)}
    return ImageDataset(name, "made-up", pools_from_classes(classes, splits), tuple("abc"))


@pytest.mark.parametrize(
    ("grid", "dataset", "size", "cells"),
    [("paper-mini-imagenet", "mini-imagenet", 84, 16), ("paper-cifar-fs", "cifar-fs", 32, 4)],
)
def test_shortened_grids_run_on_made_up_photographs(grid: str, dataset: str, size: int, cells: int) -> None:
    ran = {
        (cell.algorithm, cell.n_shot) for cell, _ in run_shortened(shortened(grid), made_up_photographs(dataset, size))
    }
    assert len(ran) == cells


def test_a_leaderboard_stands_beside_the_published_values() -> None:
    board = pd.DataFrame(
        [
            {"dataset": "omniglot", "shape": "5-way 1-shot (Reptile's test)", "algorithm": "reptile"},
            {"dataset": "omniglot", "shape": "5-way 1-shot", "algorithm": "scratch"},
            {"dataset": "sinusoid", "shape": "10-shot", "algorithm": "maml"},
        ]
    ).assign(accuracy_transductive=0.97, accuracy_inductive=0.95)
    table = beside(board).sort_values("mode").reset_index(drop=True)
    assert table["published"].tolist() == [95.39, 97.68]
    assert table["accuracy"].tolist() == [95.0, 97.0]


def test_a_published_value_stands_beside_the_same_backbone_only() -> None:
    board = pd.DataFrame(
        [{"dataset": "cifar-fs", "shape": "5-way 1-shot", "algorithm": "protonet", "accuracy_transductive": 0.6}]
    ).assign(accuracy_inductive=0.55)

    def shown(network: dict[str, Any]) -> list[float]:
        use = {"name": "cifar-fs", "shots": [1], "network": network}
        grid = parse_grid({"algorithms": ["protonet"], "train": {"episodes": 8}, "datasets": [use]})
        cell = grid.cells()[0]
        table = beside(board, {("cifar-fs", "5-way 1-shot", "protonet"): cell})
        return [float(value) for value in table["published"]] if len(table) else []

    assert shown({"channels": 64}) == [55.5]
    assert shown({}) == []  # 32 filters
    assert shown({"name": "resnet12"}) == [72.2]
    assert shown({"name": "resnet12", "dropout": 0.1, "dropblock": 5}) == [72.2]
    assert shown({"name": "resnet12", "channels": [8, 16]}) == []


def test_a_dataset_for_some_algorithms_only() -> None:
    content: dict[str, Any] = {
        "algorithms": ["maml", "reptile"],
        "train": {"episodes": 8},
        "datasets": [
            {"name": "glyphs", "shots": [1], "algorithms": ["maml"]},
            {
                "name": "glyphs",
                "shots": [1],
                "algorithms": ["reptile"],
                "train": {"n_shot": 3},
                "evaluation": {"label": "x"},
            },
        ],
    }
    cells = parse_grid(content).cells()
    assert [cell.algorithm for cell in cells[::3]] == ["maml", "reptile"]
    assert cells[-1].shape == "5-way 1-shot (x)"
    content["datasets"][1]["algorithms"] = ["maml", "reptile"]
    with pytest.raises(UserError, match="glyphs with 1 shots is given more than once"):
        parse_grid(content)
    content["datasets"][1]["algorithms"] = ["mamal"]
    with pytest.raises(UserError, match="did you mean 'maml'"):
        parse_grid(content)


def test_the_last_state_is_tested_where_asked() -> None:
    sinusoid = DATASETS["sinusoid"].load(Path())
    content: dict[str, Any] = {
        "algorithms": ["maml"],
        "seeds": [0],
        "train": {"episodes": 200, "n_query": 10, "eval_every": 1},
        "evaluation": {"val_episodes": 2, "test_episodes": 2, "n_query": 10},
        "datasets": [{"name": "sinusoid", "shots": [10]}],
    }
    (best,) = parse_grid(content).cells()
    last = best.model_copy(update={"evaluation": best.evaluation.model_copy(update={"select": "last"})})
    found = run_cell(best, sinusoid)
    values = found.curve["val_mse"].to_numpy()
    assert found.summary["selected_outer_step"] == 1 + int(values.argmin())
    assert run_cell(last, sinusoid).summary["selected_outer_step"] == 8
