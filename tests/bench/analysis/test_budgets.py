"""Leaderboards and crossings at several training budgets."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.budgets import at_budget, budget_boards, crossings
from bench.analysis.compare import compare
from bench.analysis.leaderboard import board_of, leaderboard
from bench.protocol.outcome import AtBudget, Outcome
from bench.report.budget_table import budget_table
from bench.report.figures.budgets import best_by_budget
from bench.report.write import write_report
from bench.store.store import Store
from datasets import UserError
from tests.bench.helpers import GLYPHS, Main, tiny
from tests.bench.stats.stores import MEASURED, _episodes, write

FOLLOWED = {"maml": {10: 0.5, 20: 0.8}, "reptile": {10: 0.7, 20: 0.6}}


def written(folder: Path, accuracy: Mapping[str, Mapping[int, float]], diverged: tuple[str, ...] = ()) -> Store:
    """An experiment tested at 10 and, at last, 20 training episodes, with about these accuracies."""
    evaluation = {"val_episodes": 3, "test_episodes": 4, "n_query": 2, "test_at": [10]}
    train = {"episodes": 20, "n_query": 2, "eval_every": 2}
    grid = tiny(algorithms=list(accuracy), datasets=[dict(GLYPHS)], seeds=[0, 1, 2], train=train, evaluation=evaluation)
    store = Store(folder)
    store.create()
    for cell in grid.cells():
        early, late = (_episodes(cell, accuracy[cell.algorithm][budget], 60, 0.01) for budget in (10, 20))
        numbers = {"budget": 10, "outer_steps": 2, "selected_outer_step": 2, "train_seconds": 3.0}
        gone = cell.algorithm in diverged
        point = AtBudget(numbers if gone else numbers | {"test_accuracy_transductive": 0.5}, None if gone else early)
        summary = {**MEASURED, "train_episodes": 20, "outer_steps": 5}
        curve = pd.DataFrame({"outer_step": [1], "train_loss": [1.0]})
        outcome = Outcome(summary, {"test": "the same"}, late, curve, {}, {"protocol": 1}, (point,))
        store.write_result(cell, outcome, {"summary": {}, "environment": {}})
    return store


def test_a_budget_has_the_statistics_of_results_at_that_budget(tmp_path: Path) -> None:
    store = written(tmp_path / "both", FOLLOWED)
    alone = write(tmp_path / "alone", {name: of[10] for name, of in FOLLOWED.items()})
    columns = ["algorithm", "accuracy_transductive", "accuracy_transductive_low", "rank", "p_rank_1", "seeds"]
    early = board_of(*at_budget(store, 10))
    pd.testing.assert_frame_equal(early[columns], leaderboard(Store(alone))[columns])
    assert early["train_seconds"].tolist() == [3.0, 3.0]
    late = board_of(*at_budget(store, 20))
    pd.testing.assert_frame_equal(late, leaderboard(store))
    boards = budget_boards(store)
    assert boards["budget"].tolist() == [10, 10, 20, 20]
    assert boards["algorithm"].tolist() == ["reptile", "maml", "maml", "reptile"]


def test_where_two_curves_cross_is_named(tmp_path: Path) -> None:
    assert crossings(written(tmp_path / "cross", FOLLOWED)) == [
        "glyphs 3-way 1-shot: maml overtakes reptile between 10 and 20 training episodes"
    ]
    apart = {"maml": {10: 0.7, 20: 0.8}, "reptile": {10: 0.5, 20: 0.6}}
    assert crossings(written(tmp_path / "apart", apart)) == []


def test_what_diverged_at_a_budget_counts_there_as_failed(tmp_path: Path) -> None:
    store = written(tmp_path / "one", FOLLOWED, diverged=("maml",))
    board = board_of(*at_budget(store, 10)).set_index("algorithm")
    assert board["failed"].to_dict() == {"reptile": 0, "maml": 3}
    assert leaderboard(store)["failed"].tolist() == [0, 0]


def test_the_command_shows_a_budget_and_names_those_that_there_are(tmp_path: Path, main: Main) -> None:
    store = written(tmp_path / "one", FOLLOWED)
    code, out, _ = main("leaderboard", store.root, "--budget", "10", "--format", "csv")
    assert code == 0
    assert out.splitlines()[1].startswith("glyphs,3-way 1-shot,reptile")
    code, _, err = main("leaderboard", store.root, "--budget", "15")
    assert code == 2
    assert "has no results at a budget of 15 training episodes; it has: 10, 20" in err
    with pytest.raises(UserError, match="it has: 10"):
        at_budget(Store(write(tmp_path / "usual", {"maml": 0.5})), 11)


def test_two_algorithms_are_compared_at_a_budget(tmp_path: Path, main: Main) -> None:
    store = written(tmp_path / "one", FOLLOWED)
    early, late = (compare(store.root, "maml", "reptile", budget=budget).pairs[0] for budget in (10, None))
    assert early.mean_a == pytest.approx(0.5, abs=0.02)
    assert (early.effect.high < 0, late.effect.low > 0) == (True, True)
    code, out, _ = main("compare", "maml", "reptile", "--results", store.root, "--budget", "10", "--format", "csv")
    assert code == 0
    assert float(pd.read_csv(io.StringIO(out))["effect"].iloc[0]) == pytest.approx(early.effect.mean)
    code, _, err = main("compare", "maml", "reptile", "--results", store.root, "--budget", "15")
    assert (code, "it has: 10, 20" in err) == (2, True)


def test_the_report_shows_every_budget(tmp_path: Path) -> None:
    store = written(tmp_path / "one", FOLLOWED)
    report = write_report(store.root)
    (section,) = report.experiments.sections()
    table = budget_table(section)
    assert [column.head for column in table.columns] == ["training episodes", "10", "20"]
    cells = {row.name: row.cells for row in table.rows}
    assert [cell.strong for cell in cells["maml"]] == [False, False, True]
    assert [cell.text.endswith("¶") for cell in cells["reptile"]] == [False, True, False]
    assert best_by_budget(section) == [(10, ["reptile"]), (20, ["maml"])]
    page = (report.folder / "index.html").read_text()
    assert "maml overtakes reptile between 10 and 20 training episodes." in page
    assert page.index('id="budget-glyphs') < page.index('id="scores-glyphs')  # the first figure
    assert "Not beaten by any other: reptile at 10 episodes; maml at 20 episodes" in page
    assert 'id="budget-time-' not in page  # no times were measured
    text = (report.folder / "leaderboard.md").read_text()
    assert "| training episodes | 10 | 20 |" in text
    assert pd.read_csv(report.folder / "budgets.csv")["budget"].tolist() == [10, 10, 20, 20]


def test_a_report_of_one_budget_shows_none(tmp_path: Path) -> None:
    report = write_report(write(tmp_path / "usual", {"maml": 0.5}))
    assert not (report.folder / "budgets.csv").exists()
    assert "By training budget" not in (report.folder / "index.html").read_text()
