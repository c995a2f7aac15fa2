"""The options that choose a cluster, what they pass on, and the message if its library is missing."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.execution.ray import Ray
from bench.execution.slurm import Slurm
from bench.spec.cell import Cell
from bench.store.store import Store
from datasets import UserError
from tests.bench.helpers import Main, one_cell, tiny, write_grid
from tests.bench.store.store_writers import MEASURED, outcome

CHOICES: dict[str, tuple[list[str], Any, int | None]] = {
    "ray": (["--executor", "ray"], Ray(), None),
    "parts": (
        ["--executor", "ray", "--cpus-per-cell", "2", "--gpus-per-cell", "0.25", "--jobs", "3"],
        Ray(None, 2.0, 0.25),
        3,
    ),
    "address": (["--executor", "ray", "--ray-address", "head:6379"], Ray("head:6379"), None),
    "slurm": (
        ["--executor", "slurm", "--slurm", "partition=gpu", "--slurm", "comment=a=b", "--jobs", "2"],
        Slurm(options={"partition": "gpu", "comment": "a=b"}),
        2,
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_options_name_a_cluster(main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    options, cluster, jobs = CHOICES[name]
    asked: list[Any] = []

    def run(self: Any, local: Any, store: Store, cells: Iterable[Cell], jobs: int | None, on_event: Any) -> None:
        asked.extend([self, jobs, local.timeout, next(iter(cells)).device])
        raise KeyboardInterrupt  # there is nothing to report on

    for kind in (Ray, Slurm):
        monkeypatch.setattr(kind, "run", run)
    grid = write_grid(tmp_path / "mine.yaml")
    # a device that is not here may be there
    assert main("run", grid, "-q", "--timeout", "9", "--device", "cuda:7", *options)[0] == 130
    assert asked == [cluster, jobs, 9.0, "cuda:7"]


MISTAKES = {
    "executor": (["--executor", "rya"], "--executor: got 'rya', did you mean 'ray'?"),
    "address": (["--ray-address", "auto"], "--ray-address is for --executor ray, but the executor is local"),
    "processors": (["--cpus-per-cell", "2"], "--cpus-per-cell is for --executor ray or slurm"),
    "slurm's": (["--executor", "ray", "--slurm", "a=b"], "--slurm is for --executor slurm, but the executor is ray"),
    "pair": (["--executor", "slurm", "--slurm", "gpu"], "--slurm: got 'gpu'; use NAME=VALUE"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(main: Main, tmp_path: Path, name: str) -> None:
    options, words = MISTAKES[name]
    code, out, err = main("run", write_grid(tmp_path / "mine.yaml"), *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("cluster", "words"), [(Ray(), "uv sync --extra ray"), (Slurm(), "uv sync --extra slurm")])
def test_a_library_that_is_missing_is_said(
    out: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any, words: str
) -> None:
    found = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name in ("ray", "submitit"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return found(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=words):
        bench.run(tiny(), out, cluster=cluster)


def test_a_store_takes_what_ended_elsewhere(tmp_path: Path) -> None:
    cell, stores = one_cell(), [Store(tmp_path / name) for name in "ab"]
    for store in stores:
        store.create()
    stores[0].write_result(cell, outcome(), MEASURED)
    stores[1].add_files(cell, stores[0].files(cell))
    first, second = ({path.name: path.read_bytes() for path in (store.cells / cell.id).iterdir()} for store in stores)
    assert first == second


@pytest.mark.parametrize(
    ("name", "words"),
    [("../outside", "no cell has"), ("other.txt", "no cell has"), ("cell.json", "the specification of another cell")],
)
def test_a_store_takes_no_file_that_the_cell_does_not_have(tmp_path: Path, name: str, words: str) -> None:
    store = Store(tmp_path / "a" / "b")
    store.create()
    with pytest.raises(ValueError, match=words):
        store.add_files(one_cell(), {"result.json": b"{}", name: b""})
    assert list(store.folders()) == []
