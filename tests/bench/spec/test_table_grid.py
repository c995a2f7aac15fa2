"""A table of the user's own runs from a grid file, with no code; the pages' tests go the whole way of docs/data.md."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bench
from algorithms import ALGORITHMS
from bench.cli.data import app
from bench.protocol.cell_run import run_cell
from bench.report.write import write_report
from bench.spec.cell import Cell
from bench.spec.grid import parse_grid
from bench.spec.variations import narrowed
from datasets import UserError
from tests.bench.helpers import write_grid


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Nine groups of ten rows: a group, two inputs and a target, linear in the inputs."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(9), 10)
    a, b = rng.normal(size=(2, 90)) + group
    pd.DataFrame({"group": group, "a": a, "b": b, "y": a - group * b}).to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def use(table: object, **changes: Any) -> dict[str, Any]:
    fields = {"name": "mine", "kind": "table", "path": str(table), "split": {"val": 0.34, "test": 0.34}, "shots": [2]}
    return fields | {"network": {"hidden": [8]}} | changes


CLASSES = {"class_column": "group", "ignore": ["y"], "ways": [3]}
TASKS = {"task_column": "group", "target_column": "y"}


def content(*uses: dict[str, Any], algorithms: tuple[str, ...] = ("maml",)) -> dict[str, Any]:
    return {
        "algorithms": list(algorithms),
        "datasets": list(uses),
        "seeds": [0],
        "train": {"episodes": 4, "n_query": 2, "eval_every": 1},
        "evaluation": {"val_episodes": 2, "test_episodes": 3, "n_query": 2},
        "settings": [{"set": {"meta_batch": 2}}],
    }


def cell_of(table: Path, **changes: Any) -> Cell:
    (cell,) = parse_grid(content(use(table, **changes))).cells()
    return cell


def test_both_kinds_run_and_are_reported(table: Path, tmp_path: Path) -> None:
    uses = [use(table, **CLASSES), use(table, name="lines", **TASKS)]
    results = bench.run(content(*uses, algorithms=("maml", "oracle", "protonet")), tmp_path / "out", jobs=1)
    cells = results.cells
    assert set(cells["status"]) == {"ok"}, list(cells["message"])
    assert sorted(zip(cells["dataset"], cells["algorithm"], cells["shape"], strict=True)) == [
        ("lines", "maml", "2-shot"),
        ("mine", "maml", "3-way 2-shot"),
        ("mine", "protonet", "3-way 2-shot"),
    ]
    page = (write_report(results.path).folder / "index.html").read_text(encoding="utf-8")
    assert 'id="gallery-mine-3-way-2-shot"' in page
    assert "Rows on the first two principal components of their episode" in page
    assert "The target against the first principal component" in page


def test_every_algorithm_of_regression_learns_a_table(table: Path, tmp_path: Path) -> None:
    names = [entry.name for entry in ALGORITHMS if entry.missing() is None]
    cells = parse_grid(content(use(table, **TASKS), algorithms=tuple(names))).cells()
    expected = {name for name in names if "regression" in ALGORITHMS[name].kinds} - {"oracle"}
    assert {cell.algorithm for cell in cells} == expected
    dataset = cells[0].entry.load(tmp_path)
    digests = set()
    for cell in cells:
        outcome = run_cell(cell, dataset)
        digests.add(outcome.digests["test"])
        assert len(outcome.episodes)
    assert len(digests) == 1


def test_the_specification_carries_the_table_and_others_say_nothing_of_it(table: Path) -> None:
    cell = cell_of(table, **TASKS)
    assert Cell.model_validate(cell.content).id == cell.id
    assert cell.content["table"]["target_column"] == "y"
    assert len({cell_of(table, **changes).id for changes in (TASKS, CLASSES, TASKS | {"features": ["a"]})}) == 3
    grid = parse_grid(content(use(table, **TASKS)))
    assert narrowed(grid, datasets=["mine"]).cells()[0].id == cell.id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "a table needs `class_column`, or `task_column` and `target_column` for regression"),
        ({"task_column": "group"}, "a table needs `class_column`, or `task_column` and `target_column`"),
        ({**CLASSES, "target_column": "y"}, "a table needs `class_column`, or `task_column`"),
        ({**CLASSES, "features": ["a"]}, "`features` and `ignore` cannot be given together"),
        ({**CLASSES, "split": None}, "a table needs one of `split: {val: 0.2, test: 0.2}` and `split_column`"),
        ({**CLASSES, "split_column": "y"}, "a table needs one of `split"),
        ({**CLASSES, "path": None}, "`kind: table` needs `path`"),
        ({**CLASSES, "size": 8}, "`size` is for datasets with `kind: image-folder`"),
        ({**CLASSES, "kind": "image-folder"}, "`class_column` is for datasets with `kind: table`"),
        ({**CLASSES, "kind": None, "name": "glyphs"}, "`path` is for datasets with `kind: image-folder` or `kind: tab"),
        ({**CLASSES, "name": "glyphs"}, "'glyphs' is the name of a dataset that comes with the benchmark"),
        ({**TASKS, "ways": [3]}, "mine: regression has no ways; leave `ways` out"),
        ({**CLASSES, "kind": "tabel"}, "kind: got 'tabel'; input should be 'image-folder' or 'table'"),
        ({**CLASSES, "features": []}, "features"),
    ],
)  # fmt: skip
def test_mistakes_are_named(changes: dict[str, Any], message: str, table: Path) -> None:
    with pytest.raises(UserError) as caught:
        parse_grid(content(use(table, **changes)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_in_the_file_is_found_before_anything_runs(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no column 'grup', did you mean 'group'"):
        bench.run(content(use(table, **CLASSES | {"class_column": "grup"})), tmp_path / "out", jobs=1)
    with pytest.raises(UserError, match=r"network.channels does not apply to mine, whose inputs of shape \(2,\) take"):
        bench.run(content(use(table, **CLASSES, network={"channels": 4})), tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()


def test_verify_takes_a_grids_table(table: Path, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "grid.yaml", datasets=[use(table, **CLASSES)])
    cell_of(table, **CLASSES).entry.load(tmp_path)
    arguments = ["verify", "mine", "--grid", str(grid), "--data-root", str(tmp_path)]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert (result.exit_code, "90 rows, as in the cache" in result.output) == (0, True), result.output
