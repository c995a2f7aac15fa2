"""Imports before a command does anything: start-up is imports, and PyTorch's alone take seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import bench
from algorithms import ALGORITHMS
from bench.spec.grid import load_grid
from bench.spec.shipped_grids import description, grid_names
from datasets import DATASETS
from tests.bench.helpers import command, environment
from tests.bench.stats.stores import write

COMPUTING = {"torch", "torchvision", "learn2learn", "sklearn", "optuna", "jax", "ray"}
TABLES = {"pandas", "numpy", "scipy", "pyarrow"}
DRAWING = {"matplotlib", "seaborn"}
COMPLETE = "_PYTHON _M BENCH_COMPLETE"  # the variable in which a shell asks; after `python -m bench`


def imported(arguments: Sequence[str], cwd: Path, code: int = 0, **variables: str) -> tuple[set[str], str]:
    """The top-level modules that a command imports, and what it prints; it must end with that code."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == code, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 100
    return {line.split("|")[-1].strip().split(".")[0] for line in lines}, done.stdout


def of_bench(*arguments: str) -> list[str]:
    return command(*arguments)[1:]


def test_what_imports_pytorch_is_seen(tmp_path: Path) -> None:
    modules, _ = imported(["-c", "import torch"], tmp_path)
    assert {"torch", "numpy"} <= modules


@pytest.mark.parametrize("arguments", [(), ("run",), ("leaderboard",), ("tune",), ("speed",), ("data", "fetch")])
def test_help_imports_nothing_that_computes_or_draws(tmp_path: Path, arguments: Sequence[str]) -> None:
    modules, printed = imported(of_bench(*arguments, "--help"), tmp_path)
    assert "Usage: python -m bench" in printed
    assert not modules & {*COMPUTING, *TABLES, *DRAWING, "yaml"}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("bench le", "leaderboard"),
        ("bench run smoke --set maml.inner_l", "maml.inner_lr="),
        ("bench tune tun", "tuning"),
    ],
)
def test_completion_imports_nothing_that_computes_or_draws(tmp_path: Path, line: str, word: str) -> None:
    asked = {COMPLETE: "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    text = "import typer.completion; typer.completion.completion_init(); from bench.cli import main; main()"
    modules, printed = imported(["-c", text], tmp_path, **asked)
    assert printed.split() == [word]
    assert not modules & {*COMPUTING, *TABLES, *DRAWING}


@pytest.mark.parametrize("arguments", [("smok",), ("smoke", "--seeds", "a")])
def test_mistakes_in_a_run_are_told_before_pytorch_is_imported(tmp_path: Path, arguments: Sequence[str]) -> None:
    modules, _ = imported(of_bench("run", *arguments), tmp_path, code=2)
    assert not modules & {*COMPUTING, *DRAWING}


def test_list_imports_nothing_that_computes_or_draws(tmp_path: Path) -> None:
    modules, printed = imported(of_bench("list"), tmp_path)
    for names in (ALGORITHMS.names(), DATASETS.names(), grid_names()):
        assert all(f"{name} " in printed for name in names)
    assert not modules & {*COMPUTING, *TABLES, *DRAWING}


@pytest.mark.parametrize("arguments", [("leaderboard", "here"), ("compare", "maml", "fomaml", "--results", "here")])
def test_reading_results_imports_no_pytorch(tmp_path: Path, arguments: Sequence[str]) -> None:
    write(tmp_path / "here", {"maml": 0.8, "fomaml": 0.7})
    modules, printed = imported(of_bench(*arguments), tmp_path)
    assert "fomaml" in printed
    assert "pandas" in modules
    assert not modules & {*COMPUTING, *DRAWING}


def test_the_package_is_light_until_a_function_is_asked_for(tmp_path: Path) -> None:
    modules, _ = imported(["-c", "import bench, algorithms, datasets; assert 'run' in dir(bench)"], tmp_path)
    assert not modules & {*COMPUTING, *TABLES, *DRAWING}


@pytest.mark.parametrize("module", ["bench", "algorithms", "datasets"])
def test_every_name_of_a_package_is_there(module: str) -> None:
    package = sys.modules[module]
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing
    assert bench.run.__module__ == "bench.api"


def test_a_grid_is_described_as_it_is_loaded() -> None:
    for name in grid_names():
        assert description(name) == load_grid(name).description != ""
