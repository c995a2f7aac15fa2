"""Comparing two stores: equal ones have no difference, and every difference is put in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from algorithms import ALGORITHMS
from bench.reproducibility.diff import differences
from bench.spec.grid import load_grid
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import tiny, write_grid
from tests.bench.store.store_writers import MEASURED, outcome
from tests.repro import conditions
from tests.repro.child import shuffled

CELLS = tiny(seeds=[0, 1]).cells()


def write(root: Path, change: Callable[[Any], Any] = lambda one: one, measured: Any = MEASURED) -> Path:
    """A store with a finished cell, made up and changed, and a failed one."""
    store = Store(root)
    store.create()
    store.write_result(CELLS[0], change(outcome()), measured)
    store.write_failure(CELLS[1], Failure("nan", "Diverged", elapsed_seconds=float(len(str(root)))))
    return root


def test_equal_stores_have_no_difference(tmp_path: Path) -> None:
    assert differences(write(tmp_path / "a"), write(tmp_path / "b")) == []


def test_what_a_clock_measured_does_not_count(tmp_path: Path) -> None:
    names = ("train_seconds", "adapt_ms", "peak_mib", "tasks_per_second", "jobs")
    both = [
        write(tmp_path / str(value), measured={"summary": dict.fromkeys(names, value), "environment": {"a": value}})
        for value in (1, 2)
    ]
    assert differences(*both) == []


def with_mse(one: Any) -> Any:
    return replace(one, episodes=one.episodes.assign(mse=[0.5, 0.5, 0.25, 0.5]).astype({"mse": "float32"}))


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "row": (with_mse, "episodes.parquet: mse differs in 1 of 4 rows, first in episode 1, step 0: 0.5 and 0.25"),
    "rows": (lambda one: replace(one, episodes=one.episodes[:2]), "episodes.parquet: 4 and 2 rows"),
    "column": (
        lambda one: replace(one, curve=one.curve.drop(columns="val_mse")),
        "curve.parquet: columns ['outer_step', ",
    ),
    "curve": (lambda one: replace(one, curve=one.curve + 1), "curve.parquet: outer_step differs in 1 of 1 rows"),
    "weight": (
        lambda one: replace(one, state={"weights/a": torch.full((2, 3), 0.5)}),
        "weights.safetensors: weights/a differs by up to 0.5",
    ),
    "shape": (
        lambda one: replace(one, state={"weights/a": torch.zeros(3, 2)}),
        "weights.safetensors: weights/a has shape (2, 3) and (3, 2)",
    ),
    "name": (
        lambda one: replace(one, state={"weights/b": torch.zeros(2, 3)}),
        "weights.safetensors: names ['weights/a', 'weights/b'] in one of them only",
    ),
    "digest": (lambda one: replace(one, digests={"test": "cd"}), "digests test: ab and cd"),
    "summary": (lambda one: replace(one, summary={"test_mse": 0.75}), "summary test_mse: 0.5 and 0.75"),
    "less": (lambda one: replace(one, summary={}), "summary test_mse: 0.5 and nothing"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_difference_is_put_in_words(tmp_path: Path, name: str) -> None:
    change, words = CHANGES[name]
    found = differences(write(tmp_path / "a"), write(tmp_path / "b", change))
    assert len(found) == 1
    assert found[0].startswith(f"{CELLS[0].id}: {words}")


def test_missing_and_otherwise_ended_cells_are_differences(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    shutil.rmtree(a / "cells" / CELLS[0].id)
    assert differences(a, b) == [f"{CELLS[0].id}: only in {b}"]
    assert differences(b, a) == [f"{CELLS[0].id}: only in {b}"]
    Store(a).write_failure(CELLS[0], Failure("oom", "much"))
    assert differences(a, b) == [f"{CELLS[0].id}: oom (much) and ok"]


def test_a_folder_without_results_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        differences(write(tmp_path / "a"), tmp_path / "nowhere")


def test_the_script_compares_its_conditions_and_says_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = str(write_grid(tmp_path / "mine.yaml", seeds=[0, 1]))
    asked: list[tuple[str, int]] = []

    def run(name: str, out: Path, condition: conditions.Condition, hash_seed: int, change: bool = False) -> int:
        asked.append((condition.name, hash_seed))
        store = Store(out)
        store.create()
        for cell in CELLS:
            store.write_result(cell, with_mse(outcome()) if change and condition.jobs == 2 else outcome(), MEASURED)
        return 0

    monkeypatch.setattr(conditions, "run", run)
    assert conditions.main([grid]) == 0
    assert len({seed for _, seed in asked}) == len({name for name, _ in asked}) == len(asked) == 3
    assert capsys.readouterr().out == f"{grid} under 3 conditions: 0 differences\n"
    monkeypatch.setattr(conditions, "run", lambda *arguments: run(*arguments, change=True))
    assert conditions.main([grid]) == 1
    out = capsys.readouterr().out
    assert out.count("two jobs in another order, killed and continued: maml--") == 2
    assert out.count("mse differs in 1 of 4 rows") == 2
    assert "2 differences" in out
    monkeypatch.setattr(conditions, "run", lambda *arguments: 2)
    assert conditions.main([grid]) == 1
    assert "one job: ended with exit code 2" in capsys.readouterr().out


def test_a_cell_that_fails_under_a_condition_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(conditions, "run", lambda grid, out, condition, hash_seed: 0 if write(out) else 1)
    assert conditions.main(["any"]) == 1
    assert f"one job: {CELLS[1].id}: Diverged" in capsys.readouterr().out


def test_another_order_has_the_same_cells() -> None:
    grid = load_grid(conditions.GRID)
    orders = [[cell.id for cell in shuffled(grid, order).cells()] for order in (1, 2)]
    usual = [cell.id for cell in grid.cells()]
    assert usual != orders[0] != orders[1] != usual
    assert sorted(usual) == sorted(orders[0]) == sorted(orders[1])


def test_the_conditions_run_every_algorithm_of_ours() -> None:
    assert set(load_grid(conditions.GRID).algorithms) == {name for name in ALGORITHMS.names() if "@" not in name}


def test_result_files_are_json(tmp_path: Path) -> None:
    folder = write(tmp_path / "a") / "cells" / CELLS[0].id
    assert set(json.loads((folder / "result.json").read_text())) == {
        *("schema_version", "summary", "digests", "environment", "files", "numerics", "budgets"),
    }
