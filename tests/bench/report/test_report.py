"""The report: numbers that NumPy gives from the episodes alone, pictures that show something, errors that say why."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bench
from bench.analysis.costs import TEXTS
from bench.analysis.leaderboard import leaderboard
from bench.report.escaping import in_markdown
from bench.report.leaderboard import failure_table, leaderboard_tables
from bench.report.markdown import markdown
from bench.report.write import Report, write_report
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import GLYPHS, SINUSOID, tiny
from tests.bench.stats.stores import write_cost
from tests.bench.store.store_writers import MEASURED, outcome

PICTURES = ("scores", "time", "memory", "steps", "training")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment with two failed cells and a skipped one beside it."""
    out = tmp_path_factory.mktemp("report") / "results"
    evaluation = {"val_episodes": 3, "test_episodes": 12, "n_query": 2}
    grid = tiny(
        algorithms=["maml", "reptile", "finetune"],
        datasets=[dict(GLYPHS), dict(SINUSOID)],
        seeds=[0, 1, 2],
        evaluation=evaluation,
    )
    bench.run(grid, out)
    write_cost(out)
    store = Store(out)
    failed = tiny(algorithms=["reptile", "fomaml"], seeds=[7], evaluation=evaluation).cells()
    for cell in failed:
        store.write_failure(cell, Failure("nan", "Diverged: a | b"))
    (skipped,) = tiny(datasets=[{"name": "omniglot", "shots": [1]}]).cells()
    store.write_failure(skipped, Failure("skipped", "data not found"))
    return out


@pytest.fixture(scope="module")
def board(folder: Path) -> pd.DataFrame:
    return leaderboard(Store(folder))


def row_of(board: pd.DataFrame, dataset: str, algorithm: str) -> dict[str, Any]:
    (row,) = board[(board["dataset"] == dataset) & (board["algorithm"] == algorithm)].to_dict("records")
    return {str(name): value for name, value in row.items()}


def last_step(folder: Path, dataset: str, algorithm: str) -> pd.DataFrame:
    rows = Store(folder).episodes()
    rows = rows[(rows["dataset"] == dataset) & (rows["algorithm"] == algorithm)]
    return rows[rows["step"] == 2].sort_values(["seed", "episode"])


def half_width(parts: list[tuple[float, int]]) -> float:
    """Of the interval of a variance that is a sum of parts: each with Student's t at its own degrees of freedom."""
    return math.sqrt(sum(float(stats.t.ppf(0.975, degree)) ** 2 * part for part, degree in parts))


def crossed(values: Any) -> tuple[float, float]:
    """Mean and half-width of seeds by episodes, from sums of squares written out."""
    s, e = values.shape
    mean = values.mean()
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = ((values - rows - columns + mean) ** 2).sum() / ((s - 1) * (e - 1))
    seed, episode = e * ((rows - mean) ** 2).sum() / (s - 1), s * ((columns - mean) ** 2).sum() / (e - 1)
    return mean, half_width([(seed / (s * e), s - 1), (max(episode - rest, 0) / (s * e), e - 1)])


@pytest.mark.parametrize("algorithm", ["maml", "reptile", "finetune"])
@pytest.mark.parametrize("mode", ["transductive", "inductive"])
def test_accuracies_and_intervals_are_those_of_the_episodes(
    folder: Path, board: pd.DataFrame, algorithm: str, mode: str
) -> None:
    rows = last_step(folder, "glyphs", algorithm)
    values = (rows[f"n_correct_{mode}"] / rows["n_query"]).to_numpy().reshape(3, 12)
    found = row_of(board, "glyphs", algorithm)
    mean, half = crossed(values)
    name = f"accuracy_{mode}"
    assert found[name] == pytest.approx(mean)
    assert found[f"{name}_low"] == pytest.approx(mean - half)
    assert found[f"{name}_high"] == pytest.approx(mean + half)
    class_ids = np.stack(rows["class_ids"].to_list()[:12])
    per_episode = values.mean(axis=0)
    thetas = [per_episode[(class_ids != c).all(axis=1)].mean() for c in np.unique(class_ids)]
    n = len(thetas)
    jackknife = (n - 1) / n * ((np.array(thetas) - np.mean(thetas)) ** 2).sum()
    reach = half_width([(jackknife, n - 1), (values.mean(axis=1).var(ddof=1) / 3, 2)])
    assert found[f"{name}_new_low"] == pytest.approx(mean - reach)
    assert found[f"{name}_new_high"] == pytest.approx(mean + reach)


@pytest.mark.parametrize("algorithm", ["maml", "reptile", "finetune"])
def test_errors_are_those_of_the_episodes(folder: Path, board: pd.DataFrame, algorithm: str) -> None:
    mean, half = crossed(last_step(folder, "sinusoid", algorithm)["mse"].to_numpy(dtype=float).reshape(3, 12))
    found = row_of(board, "sinusoid", algorithm)
    assert found["mse"] == pytest.approx(mean)
    assert (found["mse_low"], found["mse_high"]) == (pytest.approx(mean - half), pytest.approx(mean + half))
    assert math.isnan(found["accuracy_transductive"])


def test_costs_are_medians_over_seeds(folder: Path, board: pd.DataFrame) -> None:
    cells = Store(folder).rows()
    cells = cells[(cells["algorithm"] == "maml") & (cells["dataset"] == "glyphs")]
    found = row_of(board, "glyphs", "maml")
    for name in ("train_seconds", "adapt_ms", "peak_mib", "peak_rise_mib", "tasks_per_second"):
        assert found[name] == sorted(cells[name])[1]


def test_failed_cells_are_counted_and_never_averaged_away(board: pd.DataFrame) -> None:
    counts = {(r["dataset"], r["algorithm"]): (r["seeds"], r["failed"]) for r in board.to_dict("records")}
    assert counts["sinusoid", "reptile"] == (3, 1)
    assert counts["sinusoid", "fomaml"] == (0, 1)
    assert counts["omniglot", "maml"] == (0, 1)
    assert counts["glyphs", "maml"] == (3, 0)
    assert math.isnan(row_of(board, "sinusoid", "fomaml")["mse"])


def test_the_best_comes_first_and_those_without_a_result_last(board: pd.DataFrame) -> None:
    assert list(dict.fromkeys(board["dataset"])) == ["glyphs", "omniglot", "sinusoid"]
    errors = board[board["dataset"] == "sinusoid"]
    assert errors["mse"].dropna().is_monotonic_increasing
    assert errors["algorithm"].iloc[-1] == "fomaml"
    assert board[board["dataset"] == "glyphs"]["accuracy_transductive"].is_monotonic_decreasing


def test_the_text_has_the_numbers_of_the_board(folder: Path, board: pd.DataFrame) -> None:
    by_title = {table.title: table for table in leaderboard_tables(board)}
    assert list(by_title) == ["glyphs 3-way 1-shot", "sinusoid 5-shot"]
    table = by_title["glyphs 3-way 1-shot"]
    (row,) = [row for row in table.rows if row.name == "maml"]
    cell = row.cells[table.heads.index("transductive %")]
    shown = cell.text
    found = row_of(board, "glyphs", "maml")
    half = 50 * (found["accuracy_transductive_high"] - found["accuracy_transductive_low"])
    assert shown.startswith(f"{100 * found['accuracy_transductive']:.1f} ±{half:.1f}")
    page = markdown(Store(folder).rows(), board)
    assert in_markdown(shown) in page
    assert "Diverged: a \\| b" in page


def test_cells_without_a_result_are_listed_by_their_cause(folder: Path) -> None:
    rows = failure_table(Store(folder).rows()).rows
    assert sorted([cell.text for cell in row.cells] for row in rows) == [
        ["nan", "2", "sinusoid", "fomaml, reptile", "Diverged: a | b"],
        ["skipped", "1", "omniglot", "maml", "data not found"],
    ]


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The experiment's report, in a folder that was not there."""
    return write_report(folder, tmp_path_factory.mktemp("written") / "deep" / "report")


def test_the_report_is_whole_and_its_pictures_show_something(written: Report) -> None:
    assert written.folder.parts[-2:] == ("deep", "report")
    assert {path.name for path in written.files} == {path.name for path in written.folder.iterdir()}
    page = (written.folder / "leaderboard.md").read_text()
    for name in PICTURES:
        assert f"({name}.png)" in page
        pixels = plt.imread(written.folder / f"{name}.png")
        assert min(pixels.shape[:2]) > 200
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10
    assert plt.get_fignums() == []


def test_the_table_comes_back_from_its_file(written: Report, board: pd.DataFrame) -> None:
    read = pd.read_csv(written.folder / "leaderboard.csv")
    texts = ["bound", *TEXTS]
    read[texts] = read[texts].astype(object).fillna("")  # an empty field: no bound
    pd.testing.assert_frame_equal(read, written.board, check_dtype=False)
    pd.testing.assert_frame_equal(written.board, board)


def test_the_same_results_give_the_same_bytes(folder: Path, written: Report, tmp_path: Path) -> None:
    again = write_report(folder, tmp_path)
    assert {path.name for path in again.files} == {path.name for path in written.files}
    for path in again.files:
        assert path.read_bytes() == (written.folder / path.name).read_bytes(), path.name


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.create()
    return store


def test_a_store_of_failures_alone_has_a_report_without_pictures(store: Store, tmp_path: Path) -> None:
    for cell in tiny(algorithms=["maml", "reptile"]).cells():
        store.write_failure(cell, Failure("oom", "MemoryError: much"))
    written = write_report(store.root)
    assert [path.suffix for path in written.files if path.suffix == ".png"] == []
    assert written.board["seeds"].tolist() == [0, 0]
    assert "MemoryError: much" in (written.folder / "leaderboard.md").read_text()
    assert "MemoryError: much" in (written.folder / "index.html").read_text()


def test_no_cells_yet_is_a_users_mistake(store: Store) -> None:
    with pytest.raises(UserError, match="no finished cells"):
        write_report(store.root)


def test_results_on_different_episodes_are_not_compared(store: Store) -> None:
    one, other = tiny(algorithms=["maml", "reptile"]).cells()
    store.write_result(one, outcome(), MEASURED)
    store.write_result(other, replace(outcome(), digests={"test": "cd"}), MEASURED)
    with pytest.raises(UserError, match="different episodes") as caught:
        leaderboard(store)
    assert one.id in str(caught.value)
    assert other.id in str(caught.value)


def test_two_specifications_of_one_cell_are_not_averaged(store: Store) -> None:
    settings = [{"set": {"meta_batch": 4, "test_steps": 2, "inner_lr": 0.5}}]
    costs = dict.fromkeys(["train_seconds", "adapt_ms", "peak_mib", "peak_rise_mib", "tasks_per_second"], 1.0)
    for cell in (*tiny().cells(), *tiny(settings=settings).cells()):
        store.write_result(cell, outcome(), {"summary": costs, "environment": {}})
    board = leaderboard(store)
    assert set(board["algorithm"]) == {"maml (inner_lr=0.01)", "maml (inner_lr=0.5)"}
    assert board["seeds"].tolist() == [1, 1]


def test_one_cell_in_two_folders_is_refused(store: Store) -> None:
    (cell,) = tiny().cells()
    store.write_result(cell, outcome(), MEASURED)
    shutil.copytree(store.cells / cell.id, store.cells / "a-copy")
    with pytest.raises(UserError, match=r"two folders hold maml on sinusoid 5-shot .*: a-copy, maml--"):
        leaderboard(store)


def test_algorithms_that_are_not_registered_here_are_reported_too(store: Store) -> None:
    cell = tiny().cells()[0].model_copy(update={"algorithm": "somebodys"})
    costs = dict.fromkeys(
        ["train_seconds", "adapt_ms", "peak_mib", "peak_rise_mib", "tasks_per_second", "outer_steps"], 1.0
    )
    store.write_result(cell, outcome(), {"summary": costs, "environment": {}})
    write_cost(store.root)
    written = write_report(store.root)
    assert written.board["algorithm"].tolist() == ["somebodys"]
    assert {path.stem for path in written.files if path.suffix == ".png"} == {*PICTURES}
