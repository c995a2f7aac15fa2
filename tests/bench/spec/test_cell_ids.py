"""Ids of cells: safe names of folders, which depend on everything that a cell is and on nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.spec.cell import Cell, Evaluation, TrainingBudget
from bench.spec.grid import load_grid
from bench.spec.network import NetworkSpec
from datasets import DATASETS
from tests.bench.helpers import GLYPHS, ROOT, environment, one_cell, tiny

names = st.sampled_from(["maml", "reptile", "finetune"])
cells = st.builds(
    Cell,
    algorithm=names,
    hparams=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 3) | st.floats(0, 1) | st.text("xy")),
    dataset=st.sampled_from(DATASETS.names()),
    n_way=st.integers(1, 30),
    n_shot=st.integers(1, 30),
    train=st.builds(
        TrainingBudget, episodes=st.integers(1, 99), n_query=st.integers(1, 9), eval_every=st.integers(1, 9)
    ),
    evaluation=st.builds(
        Evaluation,
        val_episodes=st.integers(1, 9),
        test_episodes=st.integers(2, 9),
        n_query=st.integers(1, 9),
        select_by=st.sampled_from(["transductive", "inductive"]),
    ),
    network=st.builds(NetworkSpec, channels=st.none() | st.integers(1, 9)),
    seed=st.integers(0, 9),
    device=st.sampled_from(["cpu", "cuda"]),
)


@given(cells)
def test_an_id_is_a_safe_name_of_a_folder(cell: Cell) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_@][A-Za-z0-9@._-]*", cell.id)
    assert len(cell.id) <= 200
    assert cell.algorithm in cell.id
    assert cell.dataset in cell.id
    assert f"seed{cell.seed}" in cell.id


@pytest.mark.parametrize("algorithm", ["../maml", "a b", ".hidden", "ümlaut", "a/b", "x" * 20, "-rf", "a\\b:c"])
def test_an_id_is_safe_whatever_the_algorithm_is_called(algorithm: str) -> None:
    cell = one_cell().model_copy(update={"algorithm": algorithm})
    assert re.fullmatch(r"[A-Za-z0-9@_-][A-Za-z0-9@._-]*", cell.id)


@given(cells, cells)
def test_cells_share_an_id_only_when_they_are_equal(one: Cell, other: Cell) -> None:
    contents = [json.dumps(cell.content, sort_keys=True) for cell in (one, other)]  # where 1 and 1.0 are two things
    assert (one.id == other.id) == (contents[0] == contents[1])


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    return [path]


REPLACEMENTS: dict[str, Any] = {
    "schema_version": 2,
    "algorithm": "fomaml",
    "dataset": "glyphs",
    "seconds": 5.0,
    "select_by": "inductive",
    "select": "last",
    "downsample": "stride",
    "reduce": "mean",
    "norm_scale": True,
    "hidden": (3,),
    "head_init": "normal",
    "label": "other",
    "folder": {"path": "birds"},
    "table": {"path": "birds.csv", "class_column": "species", "split_column": "split"},
    "text": {"tokens": "words"},
    "external": {"source": "elsewhere"},
    "device": "cuda",
    "engine": "vmap",
    "precision": "bf16",
    "test_at": (1,),
    "loss_reduction": "sum_over_classes",
    "adapt_norm": True,
    "clip": 2.0,
}


@pytest.mark.parametrize("path", leaves(one_cell().model_dump()), ids=".".join)
def test_an_id_changes_with_every_field(path: tuple[str, ...]) -> None:
    cell = one_cell()
    changed = cell.model_dump()
    place = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = REPLACEMENTS.get(path[-1], 77)
    if path == ("train", "seconds"):
        changed["train"]["episodes"] = None
    other = Cell.model_validate(changed)
    assert other != cell
    assert other.id != cell.id


@given(cells, st.randoms())
def test_an_id_does_not_depend_on_the_order_of_fields(cell: Cell, random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    assert Cell.model_validate(shuffled(cell.model_dump())).id == cell.id


@given(cells)
def test_a_cell_comes_back_from_json_as_it_was(cell: Cell) -> None:
    again = Cell.model_validate_json(cell.model_dump_json())
    assert again == cell
    assert again.id == cell.id


def test_ids_of_the_smoke_grid_are_the_same_under_another_hash_seed() -> None:
    code = "from bench.spec.grid import load_grid; print(*(c.id for c in load_grid('smoke').cells()), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONHASHSEED="1"),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [cell.id for cell in load_grid("smoke").cells()]


def test_an_engine_is_part_of_a_cell_only_where_one_is_asked_for() -> None:
    """Cells that were stored before engines could be chosen keep their ids."""
    cell = one_cell()
    assert "engine" not in cell.content
    chosen = cell.model_copy(update={"engine": "loop"})
    assert chosen.content == {**cell.content, "engine": "loop"}
    assert chosen.id != cell.id
    assert tiny().cells(engine="loop")[0] == chosen


def test_a_precision_is_part_of_a_cell_only_where_one_is_asked_for() -> None:
    """Cells that were stored before precisions could be chosen keep their ids."""
    cell = one_cell(datasets=[dict(GLYPHS)])
    assert "precision" not in cell.content
    chosen = cell.model_copy(update={"engine": "loop", "precision": "bf16"})
    assert chosen.content == {**cell.content, "engine": "loop", "precision": "bf16"}
    assert len({chosen.id, cell.id, cell.model_copy(update={"engine": "loop"}).id}) == 3
    assert tiny(datasets=[dict(GLYPHS)]).cells(engine="loop", precision="bf16")[0] == chosen
