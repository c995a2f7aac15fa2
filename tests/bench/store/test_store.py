"""The store: a cell is there whole or not at all, whoever writes and whatever happens in between."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from bench.execution.local import _context as cell_context
from bench.spec.cell import Cell
from bench.store.atomic import CannotWrite
from bench.store.schema import RESULT_SCHEMA
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import Faults, is_whole, one_cell, tiny
from tests.bench.store.store_writers import MEASURED, crash_at, outcome, write_all

FORKSERVER = cell_context()  # whose server has imported everything
NO_LUCK = Failure("error", "no luck", "Traceback ...", 1, 2.5, 100.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.create()
    return store


@pytest.fixture(scope="module")
def cell() -> Cell:
    return one_cell()


def hidden(store: Store) -> list[str]:
    """Return what lies beside the cells, except the lock."""
    return [path.name for path in store.cells.glob(".*") if path.name != ".lock"]


def test_a_result_comes_back_as_it_was_written(store: Store, cell: Cell) -> None:
    written = outcome(0.25)
    store.write_result(cell, written, MEASURED, log="a word")
    folder = store.cells / cell.id
    assert store.has_result(cell)
    assert store.failure(cell) is None
    assert Cell.model_validate_json((folder / "cell.json").read_text()) == cell
    assert pq.read_table(folder / "curve.parquet").to_pandas().equals(written.curve)
    assert np.array_equal(load_file(folder / "weights.safetensors")["weights/a"], np.zeros((2, 3), np.float32))
    assert (folder / "log.txt").read_text() == "a word"
    (row,) = store.rows().to_dict("records")
    assert row["status"] == "ok"
    assert (row["algorithm"], row["dataset"], row["shape"], row["seed"]) == ("maml", "sinusoid", "5-shot", 0)
    assert (row["test_mse"], row["peak_mib"], row["digest.test"]) == (0.25, 1.0, "ab")
    episodes = store.episodes()
    assert list(episodes["mse"]) == list(written.episodes["mse"])
    assert set(episodes["cell"]) == {cell.id}
    result = json.loads((folder / "result.json").read_text())
    assert result["schema_version"] == RESULT_SCHEMA
    assert {name: one["bytes"] for name, one in result["files"].items()} == {
        path.name: path.stat().st_size for path in folder.iterdir() if path.name != "result.json"
    }


def test_the_same_outcome_is_the_same_bytes(store: Store, cell: Cell, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.create()
    for one in (store, other):
        one.write_result(cell, outcome(), MEASURED)
    for file in (store.cells / cell.id).iterdir():
        assert file.read_bytes() == (other.cells / cell.id / file.name).read_bytes()


def test_a_failure_comes_back_as_it_was_written(store: Store, cell: Cell) -> None:
    store.write_failure(cell, NO_LUCK)
    assert store.failure(cell) == NO_LUCK
    assert not store.has_result(cell)
    (row,) = store.rows().to_dict("records")
    assert (row["status"], row["message"]) == ("error", "no luck")
    assert store.episodes().empty


def test_a_result_takes_the_place_of_a_failure(store: Store, cell: Cell) -> None:
    store.write_failure(cell, NO_LUCK)
    store.write_result(cell, outcome(), MEASURED)
    assert store.has_result(cell)
    assert store.failure(cell) is None
    assert is_whole(store.root)
    assert hidden(store) == []


def test_a_failure_takes_the_place_of_a_failure(store: Store, cell: Cell) -> None:
    store.write_failure(cell, NO_LUCK)
    store.write_failure(cell, Failure("timeout", "too slow", attempt=2))
    found = store.failure(cell)
    assert found is not None
    assert (found.kind, found.attempt) == ("timeout", 2)


def test_the_first_result_stays(store: Store, cell: Cell) -> None:
    store.write_result(cell, outcome(0.1), MEASURED)
    store.write_result(cell, outcome(0.9), MEASURED)
    store.write_failure(cell, NO_LUCK)
    assert store.rows()["test_mse"].tolist() == [0.1]
    assert store.failure(cell) is None
    assert is_whole(store.root)
    assert hidden(store) == []


def test_nan_in_a_summary_is_refused_rather_than_written(store: Store, cell: Cell) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_result(cell, outcome(float("nan")), MEASURED)
    assert not store.has_result(cell)


@pytest.mark.parametrize("before", [None, NO_LUCK], ids=["new", "failed before"])
def test_an_error_at_any_point_leaves_the_cell_as_it_was(
    store: Store, cell: Cell, before: Failure | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that touches the disk raises in its turn, as on a full disk or at Ctrl-C."""

    class NoMoreError(OSError):
        pass

    def attempt(n: int) -> bool:
        """Return whether writing got to its end before the n-th call."""
        calls = 0

        def raising(function: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == n:
                    raise NoMoreError
                return function(*arguments, **options)

            return called

        with monkeypatch.context() as patch:
            for name in ("open", "write", "fsync", "rename", "mkdir"):
                patch.setattr(os, name, raising(getattr(os, name)))
            try:
                store.write_result(cell, outcome(), MEASURED)
            except CannotWrite:
                return False
        return True

    n = 1
    while True:
        if before is not None:
            store.write_failure(cell, before)
        done = attempt(n)
        assert is_whole(store.root)
        assert hidden(store) == []
        if not store.has_result(cell):
            assert not done
            assert store.failure(cell) == before
        if done:
            break
        store.write_result(cell, outcome(), MEASURED)
        assert store.has_result(cell)
        shutil.rmtree(store.cells / cell.id)
        n += 1
    assert n > 10


@pytest.mark.parametrize("before", [None, NO_LUCK], ids=["new", "failed before"])
def test_a_death_at_any_point_leaves_nothing_half_written(
    store: Store, cell: Cell, before: Failure | None, faults: Faults
) -> None:
    exitcode = -signal.SIGKILL
    for call in itertools.count(1 if before is None else 3, faults.stride(6)):
        if exitcode != -signal.SIGKILL:
            break
        if before is not None:
            store.write_failure(cell, before)
        process = FORKSERVER.Process(target=crash_at, args=(store.root, cell, call))
        process.start()
        process.join()
        exitcode = process.exitcode
        process.close()
        assert is_whole(store.root)
        store.create()
        assert hidden(store) == []
        store.write_result(cell, outcome(), MEASURED)
        assert store.rows()["status"].tolist() == ["ok"]
        assert is_whole(store.root)
        shutil.rmtree(store.cells / cell.id)
    assert exitcode == 0
    assert call > 30


def test_processes_that_write_the_same_cells_at_once_do_not_disturb_each_other(store: Store) -> None:
    cells = tiny(seeds=list(range(12))).cells()
    go = FORKSERVER.Event()
    processes = [FORKSERVER.Process(target=write_all, args=(store.root, cells, score, go)) for score in (0.1, 0.2, 0.3)]
    for process in processes:
        process.start()
    go.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    assert is_whole(store.root)
    assert hidden(store) == []
    for cell in cells:
        assert store.has_result(cell) == (cell.seed % 2 == 0)
        assert (store.failure(cell) is None) == (cell.seed % 2 == 0)


def test_a_failure_never_takes_the_place_of_a_result_that_came_in_between(
    store: Store, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run finishes the cell while this one writes down that it failed."""
    store.write_failure(cell, NO_LUCK)
    other, flush, came = Store(store.root), os.fsync, False

    def interfering(descriptor: int) -> None:
        nonlocal came
        flush(descriptor)
        if not came:
            came = True
            other.write_result(cell, outcome(0.7), MEASURED)

    monkeypatch.setattr(os, "fsync", interfering)
    store.write_failure(cell, Failure("timeout", "too slow"))
    assert came
    assert store.has_result(cell)
    assert is_whole(store.root)


def test_what_dead_processes_left_is_removed_and_what_others_write_is_not(store: Store) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead = int(done.stdout)
    here = socket.gethostname()
    names = {
        f".tmp-~{here}~{dead}~aa": False,
        f".tmp-~{here}~{dead}~aa-old": False,
        f".tmp-~{here}~{os.getpid()}~bb": True,
        f".tmp-~elsewhere~{dead}~cc": True,
        ".tmp-of-somebody": True,
    }
    for name in names:
        (store.cells / name).mkdir()
        (store.cells / name / "result.json").write_text("{")
    store.create()
    assert {name: (store.cells / name).exists() for name in names} == names
    assert list(store.folders()) == []


def test_creating_a_store_again_changes_nothing(store: Store, cell: Cell) -> None:
    store.write_result(cell, outcome(), MEASURED)
    store.create()
    assert store.has_result(cell)


def test_the_experiment_comes_back(store: Store) -> None:
    assert store.experiment() == {}
    store.write_experiment({"grids": [{"name": "a"}]})
    store.write_experiment({"grids": [{"name": "b"}]})
    assert store.experiment() == {"schema_version": 2, "grids": [{"name": "b"}]}
    assert [path.name for path in store.root.iterdir() if path.name != "cells"] == ["experiment.json"]


@pytest.mark.parametrize("below", ["file", "file/deeper"])
def test_a_folder_that_cannot_be_made_is_a_users_mistake(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write results to .*file.*choose another folder"):
        Store(tmp_path / below).create()


@pytest.mark.parametrize("locked", ["results", "cells"])
def test_a_read_only_folder_is_a_users_mistake(tmp_path: Path, locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test may run as root, whom no mode keeps from writing, so that the answer of os.access is made up."""
    access = os.access

    def answer(path: Path, mode: int, **how: bool) -> bool:
        return Path(path).name != locked and access(path, mode, **how)

    monkeypatch.setattr(os, "access", answer)
    with pytest.raises(UserError, match="no permission; choose another folder"):
        Store(tmp_path / "results").create()


def test_an_unknown_folder_is_a_users_mistake(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        for read in (Store(folder).rows, Store(folder).episodes, Store(folder).curves):
            with pytest.raises(UserError, match=r"(holds no results|does not exist); give the folder"):
                read()


def test_what_others_put_beside_the_cells_is_not_taken_for_one(store: Store, cell: Cell) -> None:
    store.write_result(cell, outcome(), MEASURED)
    (store.cells / "notes.txt").write_text("mine")
    (store.cells / "empty").mkdir()
    assert list(store.rows()["cell"]) == [cell.id]


def test_a_store_without_cells_has_no_rows_but_their_columns(store: Store) -> None:
    rows = store.rows()
    assert len(rows) == 0
    assert {"cell", "algorithm", "dataset", "shape", "seed", "status", "message"} <= set(rows.columns)
