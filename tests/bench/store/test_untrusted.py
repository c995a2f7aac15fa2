"""Stored files are not trusted: whatever lies in an experiment, every verb that reads says so in a line and goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.analysis.leaderboard import leaderboard
from bench.api import load
from bench.execution.queue import plan
from bench.reproducibility import rerun as repeating
from bench.reproducibility.diff import differences
from bench.store.atomic import absolute
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import GLYPHS, Main, describe_anew, one_cell, tiny
from tests.bench.stats.stores import write
from tests.bench.store.attacks import DAMAGE
from tests.bench.store.store_writers import MEASURED, InThisProcess, outcome

NAMES = list(DAMAGE)
GOOD = ("maml", "reptile")  # whose cells nobody touches


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """A read that never ends is a failure, not a test that never ends."""

    def end(number: int, frame: object) -> None:
        raise TimeoutError("this reads for ever")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with two whole algorithms under three seeds each, and a cell for every attack."""
    folder = tmp_path_factory.mktemp("attacked") / "results"
    write(folder, dict.fromkeys(GOOD, 0.8))
    write(folder, {"anil": 0.7}, seeds=range(len(NAMES)), episodes=6)
    for cell in sorted((folder / "cells").glob("anil--*")):
        DAMAGE[attack_on(cell.name)](cell)
    return folder


def attack_on(cell: str) -> str:
    """The attack on an ``anil`` cell, by its seed."""
    return NAMES[int(cell.split("--seed")[1].split("--")[0])]


def test_each_is_one_damaged_row_with_one_line(attacked: Path) -> None:
    rows = load(attacked)
    assert len(rows) == 2 * 3 + len(NAMES)
    good = rows[rows["algorithm"].isin(GOOD)]
    assert set(good["status"]) == {"ok"}
    others = rows[~rows["cell"].isin(good["cell"])]
    wrong = {
        attack_on(row["cell"]): (row["status"], row["message"])
        for row in others.to_dict("records")
        if row["status"] != "damaged" or "\n" in row["message"] or not row["message"].startswith("damaged: ")
    }
    assert wrong == {}
    assert "evil" not in set(rows["algorithm"])
    assert set(Store(attacked).episodes()["cell"]) == set(Store(attacked).curves()["cell"]) == set(good["cell"])


def test_every_verb_reads_the_others(attacked: Path, main: Main) -> None:
    code, printed, _ = main("leaderboard", attacked)
    assert code == 0
    assert "glyphs 3-way 1-shot" in printed
    assert all(name in printed for name in GOOD)
    assert "damaged: result.json" in printed
    code, printed, _ = main("compare", "maml", "reptile", "--results", attacked)
    assert code == 0
    assert "3 seeds" in printed
    code, printed, _ = main("report", attacked)
    assert code == 0
    text = (attacked / "report/leaderboard.md").read_text()
    assert text.count("| damaged |") >= len(set(NAMES)) / 2  # those of one cause share a line
    code, _, error = main("compare", "maml", "anil", "--results", attacked)
    assert code == 2
    assert error.count("\n") == 1
    assert len(differences(attacked, attacked)) >= len(NAMES) / 2


def test_damage_is_the_same_in_a_table_as_without_those_cells(attacked: Path, tmp_path: Path) -> None:
    write(tmp_path / "whole", dict.fromkeys(GOOD, 0.8))
    boards = [leaderboard(Store(folder)) for folder in (attacked, tmp_path / "whole")]
    boards[0] = boards[0][boards[0]["algorithm"].isin(GOOD)].reset_index(drop=True)
    names = ["algorithm", "seeds", "failed", "accuracy_transductive", "rank"]
    pd.testing.assert_frame_equal(boards[0][names], boards[1][names], check_dtype=False)


def test_a_run_sets_each_aside(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    write(store.root, {"anil": 0.7}, seeds=range(len(NAMES)), episodes=6)
    cells = tiny(algorithms=["anil"], datasets=[dict(GLYPHS)], seeds=list(range(len(NAMES)))).cells()
    for cell in cells:
        DAMAGE[NAMES[cell.seed]](store.cells / cell.id)
    planned = plan(cells, store, "failed")
    assert [cell for cell, _ in planned.damaged] == cells
    for cell in cells:
        store.set_aside(cell)
    write(store.root, {"anil": 0.7}, seeds=range(len(NAMES)), episodes=6)
    assert set(store.rows()["status"]) == {"ok"}


def test_cells_are_repeated_beside_damaged_ones(tmp_path: Path, main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "LocalExecutor", lambda work, root, *_, **__: InThisProcess(work, root))
    store = Store(tmp_path / "out")
    store.create()
    cells = tiny(seeds=list(range(3))).cells()
    InThisProcess(repeating.RunCell(store), tmp_path).run(cells, lambda event: None)
    (store.cells / cells[0].id / "result.json").unlink()
    os.mkfifo(store.cells / cells[0].id / "result.json")
    shutil.copytree(store.cells / cells[1].id, tmp_path / "again/cells" / cells[1].id)
    (tmp_path / "again/cells" / cells[1].id / "result.json").write_text("[1]")
    code, printed, _ = main("repro", store.root, "--out", tmp_path / "again", "--quiet")
    assert "2 cells: 2 the same byte by byte" in printed
    assert code == 0


def test_hyper_parameters_that_are_none_are_said(tmp_path: Path, main: Main) -> None:
    store, cell = Store(tmp_path / "out"), one_cell()
    store.create()
    strange = cell.model_copy(update={"hparams": {"meta_batch": "many"}})
    store.write_result(strange, outcome(), MEASURED)
    code, printed, _ = main("repro", store.root, "--quiet")
    assert code == 1
    assert "not repeated" in printed
    assert "its hyper-parameters are not maml's here" in printed


def test_what_is_not_registered_is_one_unknown_row(tmp_path: Path, main: Main) -> None:
    folder = write(tmp_path / "out", {"maml": 0.8, "reptile": 0.7, "anil": 0.6}, seeds=[0], episodes=6)
    for algorithm, change in (("anil", {"dataset": "from-a-plugin"}), ("reptile", {"algorithm": "from-a-plugin"})):
        (place,) = (folder / "cells").glob(f"{algorithm}--*")
        content = json.loads((place / "cell.json").read_text())
        (place / "cell.json").write_text(json.dumps(content | change))
        describe_anew(place)
    rows = load(folder).set_index("algorithm")
    assert rows["status"].to_dict() == {"maml": "ok", "from-a-plugin": "ok", "anil": "unknown"}
    assert rows.loc["anil", "dataset"] == "from-a-plugin"
    code, printed, _ = main("leaderboard", folder)
    assert code == 0
    assert "no dataset 'from-a-plugin' is registered here" in " ".join(printed.split())
    assert main("report", folder)[0] == 0


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[]",
        '{"schema_version": 1, "grid": [1]}',
        '{"schema_version": 1, "grid": {"name": 5}}',
        '{"schema_version": 1, "grid": {"description": "no name"}}',
        '{"schema_version": 1, "grid": {"name": "a", "description": {"b": 1}}}',
    ],
)
def test_an_experiment_file_of_another_form_is_one_line(tmp_path: Path, main: Main, content: str) -> None:
    folder = write(tmp_path / "out", {"maml": 0.8}, seeds=[0], episodes=6)
    (folder / "experiment.json").write_text(content)
    code, _, error = main("report", folder)
    assert code == 2
    assert error.count("\n") == 1
    assert "experiment.json: " in error


def test_an_experiment_file_that_is_a_fifo_is_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", {"maml": 0.8}, seeds=[0], episodes=6)
    os.mkfifo(folder / "experiment.json")
    with pytest.raises(UserError, match=r"experiment\.json is a FIFO instead of a file"):
        Store(folder).experiment()


def test_a_grid_that_is_none_is_a_note(tmp_path: Path, main: Main) -> None:
    folder = write(tmp_path / "out", {"maml": 0.8}, seeds=[0], episodes=6)
    Store(folder).write_experiment({"grids": [{"name": "mine", "algorithms": 5}], "commands": []})
    assert main("report", folder)[0] == 0
    assert "cells that were not run cannot be counted" in (folder / "report/index.html").read_text()


def test_what_came_of_a_cell_is_checked_before_it_is_stored(tmp_path: Path) -> None:
    store, cell, made = Store(tmp_path / "out"), one_cell(), outcome()
    store.create()
    strange = replace(made, episodes=made.episodes.assign(more=1))
    with pytest.raises(ValueError, match=r"is not a result: episodes\.parquet has the columns .*more.* instead of "):
        store.write_result(cell, strange, MEASURED)
    assert not store.has_result(cell)


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom modes of files keep out; root is let in everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others reach too, which ``tmp_path`` is not."""
    with tempfile.TemporaryDirectory(prefix="bench-test-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        for place in [folder, *folder.rglob("*")]:
            if place.is_dir():
                place.chmod(0o777)


def test_a_cell_that_may_not_be_read_is_damaged(open_folder: Path) -> None:
    folder = write(open_folder / "out", {"maml": 0.8, "reptile": 0.7, "anil": 0.6}, seeds=[0], episodes=6)
    cells = {path.name.split("--")[0]: path for path in (folder / "cells").glob("[!.]*")}
    cells["maml"].chmod(0)
    cells["reptile"].chmod(0o444)
    with as_nobody():
        rows = load(folder)
    assert sorted(rows["status"]) == ["damaged", "damaged", "ok"]
    assert rows.loc[rows["status"] == "damaged", "message"].str.contains("Permission denied").all()


@pytest.mark.parametrize("closed", ["out", "out/cells"])
def test_a_folder_that_may_not_be_read_is_a_users_mistake(open_folder: Path, closed: str) -> None:
    folder = write(open_folder / "out", {"maml": 0.8}, seeds=[0], episodes=6)
    (open_folder / closed).chmod(0)
    try:
        with as_nobody(), pytest.raises(UserError, match=r"cannot read results in .*out: Permission denied"):
            load(folder)
        with as_nobody(), pytest.raises(UserError, match=r"cannot write results to .*out: .*ermission"):
            Store(folder).create()
    finally:
        (open_folder / closed).chmod(0o777)


@pytest.mark.parametrize(
    "arguments",
    [
        ("leaderboard", "~nosuchuser"),
        ("report", "~nosuchuser/a"),
        ("repro", "~nosuchuser"),
        ("compare", "maml", "anil", "--results", "~nosuchuser"),
        ("run", "smoke", "--out", "~nosuchuser"),
        ("tune", "maml", "sinusoid", "--out", "~nosuchuser"),
    ],
)
def test_a_user_that_there_is_not_is_a_users_mistake(main: Main, arguments: tuple[str, ...]) -> None:
    code, _, error = main(*arguments)
    assert code == 2
    assert error.count("\n") == 1
    assert "there is no such user" in error
    assert not Path("~nosuchuser").exists()


def test_a_folder_of_ones_own_is_meant_by_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute("~/out") == tmp_path / "out"


def test_a_store_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store, cell = Store("out"), one_cell()
    store.create()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.write_failure(cell, Failure("error", "no luck"))
    assert store.rows()["status"].tolist() == ["error"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_text_that_cannot_be_written_is_escaped(tmp_path: Path, main: Main) -> None:
    store, cell = Store(tmp_path / "out"), one_cell()
    store.create()
    failure = Failure("error", "x\ud800y", "trace \udfff", log="log \ud800")
    store.write_failure(cell, failure)
    assert store.failure(cell) == failure
    assert failure.message == r"x\ud800y"
    place = store.cells / cell.id / "failure.json"
    raw: dict[str, Any] = json.loads(place.read_text()) | {"message": "x\ud800y"}
    place.write_text(json.dumps(raw))  # as it was written before it was escaped
    assert store.rows()["message"].tolist() == [r"x\ud800y"]
    assert main("leaderboard", store.root)[0] == 0
    assert main("report", store.root)[0] == 0
