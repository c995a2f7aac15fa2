"""Tasks of control through the whole harness, in this process: specification, cells, store, tables, page, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import datasets
from algorithms import ALGORITHMS
from bench.analysis.claims import claims
from bench.analysis.compare import compare
from bench.analysis.experiments import gather
from bench.execution.in_process import execute
from bench.learner.load import load_learner
from bench.protocol import evaluation
from bench.protocol.cell_run import run_cell, validate_cell
from bench.protocol.checkpoint import Checkpoint
from bench.protocol.outcome import Outcome
from bench.report.leaderboard import leaderboard_tables
from bench.report.write import write_report
from bench.spec.cell import Cell
from bench.spec.grid import Grid
from bench.store.store import Store
from datasets import UserError
from tests.bench.helpers import tiny

CONTROL = [entry.name for entry in ALGORITHMS if "control" in entry.kinds]
NAVIGATION = {"name": "navigation", "shots": [2], "network": {"hidden": [6]}}
BANDIT = {"name": "bandit", "shots": [3], "network": {"hidden": [6]}}
SHORT = {"episodes": 2, "n_query": 2, "eval_every": 1}


def grid(**changes: Any) -> Grid:
    usual = {
        "algorithms": ["maml-trpo", "pretrained", "scratch-policy", "oracle-policy"],
        "datasets": [BANDIT],
        "settings": [
            {"algorithms": ["maml-trpo", "pretrained", "scratch-policy"], "set": {"meta_batch": 2, "test_steps": 2}}
        ],
        "train": {"episodes": 6, "n_query": 2, "eval_every": 1},
    }
    return tiny(**(usual | changes))


def outcome_of(cell: Cell, **arguments: Any) -> Outcome:
    return run_cell(cell, datasets.load(cell.dataset), **arguments)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("control")
    asked = grid(datasets=[NAVIGATION, BANDIT], seeds=[0, 1], train=SHORT)
    store = Store(folder)
    store.create()
    for cell in asked.cells():
        outcome, measured = execute(cell, Path("/nowhere"), 1, lambda progress: None)
        store.write_result(cell, outcome, measured, "")
    return folder


def test_methods_of_other_kinds_are_refused_in_words() -> None:
    with pytest.raises(UserError, match="maml cannot learn bandit: it does not do control"):
        grid(algorithms=["maml"]).cells()
    with pytest.raises(UserError, match="pretrained cannot learn sinusoid: it does not do regression"):
        tiny(algorithms=["pretrained"], settings=[]).cells()
    assert {cell.algorithm for cell in grid(algorithms=["maml", "protonet", "pretrained"]).cells()} == {"pretrained"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ways": [5]}, "control has no ways"),
        ({"network": {"name": "resnet12"}}, "a policy on bandit is an MLP"),
        ({"network": {"channels": 4}}, "network.channels does not apply to bandit"),
        ({"episodes": {"within": "script"}}, "episodes: bandit is for control, which has no classes; leave it out"),
    ],
)
def test_mistakes_are_explained(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grid(datasets=[BANDIT | change]).cells()


@pytest.mark.parametrize(("algorithm", "most"), [("maml-trpo", 2), ("pretrained", 5), ("oracle-policy", 5)])
def test_no_more_trajectories_for_the_fisher_matrix_than_there_are(algorithm: str, most: int) -> None:
    for n in (most, most + 1):
        settings = [{"set": {"meta_batch": 2, "fisher_trajectories": n}}]
        if n == most:
            (cell,) = grid(algorithms=[algorithm], settings=settings).cells()
            outcome_of(cell)
            continue
        with pytest.raises(UserError, match=f"{algorithm} on bandit: fisher_trajectories: got {n}, .* takes {most} "):
            grid(algorithms=[algorithm], settings=settings)


def test_control_datasets_are_not_combined() -> None:
    with pytest.raises(UserError, match="tasks of control are of one environment"):
        grid(datasets=[BANDIT | {"test_on": "navigation"}])


@pytest.mark.parametrize("algorithm", CONTROL)
def test_every_method_gives_returns_after_every_step(algorithm: str) -> None:
    (cell,) = grid(algorithms=[algorithm], settings=[{"set": {"meta_batch": 2}}]).cells()
    outcome = outcome_of(cell)
    rows = outcome.episodes
    steps = 1 if algorithm == "oracle-policy" else 4
    assert rows["step"].tolist() == list(range(steps)) * 4
    assert rows["n_query"].unique().tolist() == [2]
    assert ((rows["return"] >= 0) & (rows["return"] <= 10)).all()
    last = rows[rows["step"] == steps - 1]["return"]
    assert outcome.summary["test_return"] == pytest.approx(last.mean())
    if ALGORITHMS[algorithm].factory.trains:
        assert outcome.curve["val_return"].notna().all()
        best = outcome.curve["val_return"].argmax()
        assert outcome.summary["selected_outer_step"] == outcome.curve["outer_step"][best]
        taken = 2 * 3 if algorithm == "reptile-pg" else 3 + 2
        assert outcome.summary["train_environment_steps"] == 6 * taken * 10


def test_cells_of_a_seed_share_episodes_and_repeat_to_the_byte() -> None:
    cells = grid().cells()
    outcomes = [outcome_of(cell) for cell in cells]
    assert len({outcome.digests["test"] for outcome in outcomes}) == 1
    assert len({outcome.digests["train"] for outcome in outcomes if outcome.digests["train"]}) <= 2  # scratch takes one
    again = outcome_of(cells[0])
    assert again.episodes.equals(outcomes[0].episodes)
    assert all((again.state[name] == outcomes[0].state[name]).all() for name in again.state)


def test_results_do_not_depend_on_how_many_tasks_are_evaluated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, *_ = grid(algorithms=["maml-trpo"], datasets=[NAVIGATION], train=SHORT).cells()
    together = outcome_of(cell).episodes
    monkeypatch.setattr(evaluation, "EPISODES_AT_ONCE", 1)
    assert outcome_of(cell).episodes.equals(together)


def test_training_continues_from_a_checkpoint() -> None:
    class Memory:
        latest: Checkpoint | None = None

        def due(self) -> bool:
            return True

        def write(self, checkpoint: Checkpoint) -> None:
            self.latest = checkpoint if checkpoint.outer_steps == 1 else self.latest

        def read(self) -> Checkpoint | None:
            return self.latest

    (cell,) = grid(algorithms=["maml-trpo"]).cells()
    checkpoints = Memory()
    whole = outcome_of(cell, checkpoints=checkpoints)
    assert checkpoints.latest is not None
    assert outcome_of(cell, checkpoints=checkpoints).episodes.equals(whole.episodes)


def test_a_trial_of_a_search_has_the_return_in_its_own_sign() -> None:
    (cell,) = grid(algorithms=["scratch-policy"], datasets=[NAVIGATION]).cells()
    validated = validate_cell(cell, datasets.load("navigation"))
    assert validated.value < 0


def test_a_policy_is_no_learner_and_its_weights_are_named(experiment: Path) -> None:
    with pytest.raises(
        UserError, match=r"is a policy: .* can be neither fitted nor exported; its weights are in "
    ) as told:
        load_learner(experiment, algorithm="maml-trpo", dataset="navigation")
    assert Path(str(told.value).rpartition(" ")[2]).is_file()


def test_higher_is_better_everywhere(experiment: Path) -> None:
    board = gather([experiment]).board
    for _, part in board.groupby("dataset"):
        contenders = part[part["bound"] == ""]["return"].tolist()
        assert contenders == sorted(contenders, reverse=True)
        assert part["bound"].tolist()[-2:] != ["", ""]
    (comparison, *_) = compare(experiment, "maml-trpo", "pretrained").pairs
    assert comparison.higher_is_better
    assert comparison.metric == "return"
    assert comparison.n_classes == 0
    assert " in mean return" in claims(comparison)[0]
    with pytest.raises(UserError, match=r"^mode: got inductive, but .* share results in return only; leave it out"):
        compare(experiment, "maml-trpo", "pretrained", mode="inductive")
    tables = list(leaderboard_tables(board))
    heads = [column.head for column in tables[0].columns]
    assert "return" in heads
    assert not {"MSE", "inductive %"} & set(heads)
    assert not any("*" in cell.text for table in tables for row in table.rows for cell in row.cells[1:])


def test_rows_of_tasks_and_steps_are_stored(experiment: Path) -> None:
    rows = Store(experiment).episodes()
    assert set(rows.loc[rows["algorithm"] == "maml-trpo", "step"]) == {0, 1, 2}
    assert np.isfinite(rows["return"]).all()
    assert (Store(experiment).rows()["test_return"].notna()).all()
    assert isinstance(Store(experiment).curves(), pd.DataFrame)


def test_the_page_has_returns_and_trajectories(experiment: Path, tmp_path: Path) -> None:
    report = write_report(experiment, tmp_path / "report")
    assert report.failed == ()
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "trajectories of 3 test tasks" in page
    assert "mean return by inner step: " in page
    assert "in return, over shared seeds" in page
    assert "Network: mlp as a policy (hidden 6)." in page
    assert (tmp_path / "report" / "steps.png").is_file()


@pytest.mark.parametrize("name", ["navigation", "bandit"])
def test_tasks_are_drawn(name: str, tmp_path: Path) -> None:
    from datasets.core.episodes import Shape
    from datasets.drawing.contact_sheet import draw

    path = draw(datasets.load(name), tmp_path / "tasks.png", "train", Shape(1, 2, 2), 3)
    assert path.read_bytes().startswith(b"\x89PNG")
