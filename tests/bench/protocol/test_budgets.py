"""Tests at several budgets from one training: what each would have given alone, and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.execution.in_process import set_up_process
from bench.protocol import cell_run
from bench.protocol.cell_run import run_cell
from bench.protocol.evaluation import check_finite
from bench.protocol.outcome import Diverged, Outcome
from bench.reproducibility.diff import cell_differences
from bench.spec.cell import Cell
from bench.store.checkpoint_file import CheckpointFile
from bench.store.store import Store
from bench.store.tensors import weights_bytes
from datasets import UserError
from datasets.storage.reading import usable_data_root
from tests.bench.helpers import GLYPHS, ROOT, SINUSOID, describe_anew, one_cell
from tests.bench.store.store_writers import MEASURED
from tests.bench.store.test_checkpoints import assert_same, die

FIXTURE = ROOT / "tests" / "bench" / "store" / "fixtures" / "schema-5"
TRAIN = {"episodes": 24, "n_query": 2, "eval_every": 2}
EVALUATION = {"val_episodes": 3, "test_episodes": 4, "n_query": 2}


def cell_at(budgets: tuple[int, ...] = (), *, episodes: int = 24, use: Any = GLYPHS, **evaluation: Any) -> Cell:
    return one_cell(
        datasets=[dict(use)],
        train=TRAIN | {"episodes": episodes},
        evaluation=EVALUATION | ({"test_at": list(budgets)} if budgets else {}) | evaluation,
    )


def outcome_of(cell: Cell) -> Outcome:
    set_up_process()
    return run_cell(cell, cell.entry.load(usable_data_root(None)))


def stored(folder: Path, cell: Cell, outcome: Outcome) -> Store:
    store = Store(folder)
    store.create()
    store.write_result(cell, outcome, MEASURED)
    return store


@pytest.mark.parametrize("select", ["best", "last"])
def test_each_budget_gives_what_training_on_it_alone_gives(select: str) -> None:
    whole = outcome_of(cell_at((8, 16, 24), select=select))
    alone = {episodes: outcome_of(cell_at(episodes=episodes, select=select)) for episodes in (8, 16, 24)}
    assert [point.numbers["budget"] for point in whole.budgets] == [8, 16]
    for point in whole.budgets:
        expected = alone[point.numbers["budget"]]
        assert point.episodes is not None
        pd.testing.assert_frame_equal(point.episodes, expected.episodes, check_exact=True)
        for name in ("outer_steps", "selected_outer_step", "test_accuracy_transductive", "test_accuracy_inductive"):
            assert point.numbers[name] == expected.summary[name]
        assert 0 < point.numbers["train_seconds"] < whole.summary["train_seconds"]
    assert_same(whole, alone[24])
    assert weights_bytes(whole.state) == weights_bytes(alone[24].state)


def test_a_budget_between_two_outer_steps_counts_those_within_it() -> None:
    (point,) = outcome_of(cell_at((11,))).budgets
    assert point.numbers["outer_steps"] == 2
    assert point.numbers["selected_outer_step"] == 2


def test_training_that_is_interrupted_gives_the_same_at_every_budget(tmp_path: Path) -> None:
    cell = cell_at((8, 12, 20), use=SINUSOID)
    whole = stored(tmp_path / "whole", cell, outcome_of(cell))
    for step in range(1, 6):
        place = tmp_path / f"{step}" / "cells" / ".checkpoints" / "one"
        place.parent.parent.mkdir(parents=True)
        die(cell, place, step)
        set_up_process()
        resumed = run_cell(cell, cell.entry.load(usable_data_root(None)), checkpoints=CheckpointFile(place, 1e9))
        store = stored(tmp_path / f"{step}", cell, resumed)
        assert list(cell_differences(whole.cells / cell.id, store.cells / cell.id)) == []


def test_what_is_stored_is_read_and_compared(tmp_path: Path) -> None:
    cell = cell_at((8, 16))
    outcome = outcome_of(cell)
    store = stored(tmp_path / "one", cell, outcome)
    assert store.rows()["status"].tolist() == ["ok"]
    assert len(store.episodes()) == len(outcome.episodes)
    budgets = store.budgets()
    assert budgets["budget"].tolist() == [8, 16, 24]
    assert budgets["outer_steps"].tolist() == [2, 4, 6]
    assert budgets["test_accuracy_transductive"].iloc[2] == outcome.summary["test_accuracy_transductive"]
    tested = store.budget_episodes()
    for point in outcome.budgets:
        mine = tested[tested["budget"] == point.numbers["budget"]]
        assert mine["n_correct_transductive"].tolist() == point.episodes["n_correct_transductive"].tolist()  # type: ignore[index]
    other = stored(tmp_path / "other", cell_at((8,)), outcome_of(cell_at((8,))))
    folders = [next(each.folders()) for each in (store, other)]
    assert "they were tested at other budgets" in list(cell_differences(*folders))


def test_a_budget_at_which_adaptation_diverged_leaves_the_cell_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fails_later(episodes: pd.DataFrame) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Diverged("adaptation diverged")
        check_finite(episodes)

    monkeypatch.setattr(cell_run, "check_finite", fails_later)
    cell = cell_at((8, 16))
    outcome = outcome_of(cell)
    assert [point.episodes is None for point in outcome.budgets] == [True, False]
    store = stored(tmp_path / "one", cell, outcome)
    assert store.rows()["status"].tolist() == ["ok"]
    assert store.budgets()["test_accuracy_transductive"].isna().tolist() == [True, False, False]
    assert set(store.budget_episodes()["budget"]) == {16}


def test_the_stored_form_stays_readable() -> None:
    store = Store(FIXTURE)
    assert store.rows()["status"].tolist() == ["ok"]
    assert store.budgets()["budget"].tolist() == [8, 16, 24]
    assert sorted(set(store.budget_episodes()["budget"])) == [8, 16]


def test_other_tables_of_budgets_are_damage(tmp_path: Path) -> None:
    cell = cell_at((8, 16))
    store = stored(tmp_path / "one", cell, outcome_of(cell))
    place = store.cells / cell.id / "budgets.parquet"
    whole = pd.read_parquet(place)
    for broken in (whole.iloc[::-1], whole.iloc[1:], whole.drop(columns="budget"), whole.assign(budget=0.5)):
        broken.to_parquet(place, index=False)
        describe_anew(place.parent)
        (row,) = store.rows().to_dict("records")
        assert row["status"] == "damaged"
        assert "budgets.parquet" in row["message"]


def test_ids_and_contents_of_cells_without_it_stay() -> None:
    assert "test_at" not in cell_at().content["evaluation"]
    assert cell_at((8,)).content["evaluation"]["test_at"] == [8]
    assert cell_at((8,)).id != cell_at().id
    assert Cell.model_validate_json(cell_at((8,)).model_dump_json()) == cell_at((8,))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test_at": [8, 8]}, "must ascend, but got 8, 8"),
        ({"test_at": [8, 25]}, "evaluation.test_at: 25 is beyond the 24 episodes of training on glyphs"),
        ({"test_at": [7]}, "maml on glyphs has nothing selected at 7 episodes, because its first measurement"),
        ({"test_at": [0]}, "test_at"),
    ],
)
def test_budgets_that_cannot_be_are_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        cell_at(**changes)
    with pytest.raises(UserError, match=r"give `train\.episodes` instead of `seconds`"):
        one_cell(train={"seconds": 1, "n_query": 2, "eval_every": 2}, evaluation=EVALUATION | {"test_at": [8]})
