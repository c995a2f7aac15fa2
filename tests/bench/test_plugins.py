"""Algorithms and datasets of other packages: one that fails leaves the others, and what fits nothing is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.bench.helpers import bench, content, environment

ODD = ("--import", "odd_datasets")
LINES: dict[str, Any] = {"name": "lines", "shots": [5]}
VECTORS: dict[str, Any] = {"name": "vectors", "ways": [3], "shots": [1]}
WORKS = """
from dataclasses import replace
from algorithms import ALGORITHMS
from algorithms.maml import MAML, MAMLHyperParameters, MAML_PRESETS
from algorithms import AlgorithmEntry
ENTRY = AlgorithmEntry("works", MAML, MAMLHyperParameters, "none", "a test", MAML_PRESETS)
"""


def installed(folder: Path, package: str, module: str, text: str, points: dict[str, str]) -> None:
    """A package in ``folder`` with a module and entry points of the group of algorithms, as an installer leaves it."""
    (folder / f"{module}.py").write_text(text, encoding="utf-8")
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"{name} = {target}" for name, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[bench.algorithms]", *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """The environment of a command for which three packages are installed, of which two fail."""
    folder = tmp_path / "site"
    folder.mkdir()
    installed(folder, "a-broken", "a_broken", "raise RuntimeError('no licence\\nfound')", {"broken": "a_broken:ENTRY"})
    installed(folder, "b-number", "b_number", "def entry():\n    return 7\n", {"number": "b_number:entry"})
    installed(folder, "c-works", "c_works", WORKS, {"works": "c_works:ENTRY"})
    env = environment()
    return env | {"PYTHONPATH": f"{folder}:{env['PYTHONPATH']}"}


BROKEN = (
    "entry point 'broken' of a-broken (group bench.algorithms, a_broken:ENTRY) failed: RuntimeError: no licence found"
)
NUMBER = "entry point 'number' of b-number (group bench.algorithms, b_number:entry) failed: it gives a int, but"


def test_packages_that_fail_are_reported_and_the_others_stay(site: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):
        done = bench("list", cwd=tmp_path, env=site)
        assert done.returncode == 0
        assert "works" in done.stdout
        for said in (BROKEN, NUMBER):
            assert done.stderr.count(f"warning: {said}") == 1
        assert "Traceback" not in done.stderr


def test_an_unknown_name_says_what_failed_and_how_to_import(site: dict[str, str], tmp_path: Path) -> None:
    done = bench("run", "smoke", "--algorithms", "broken", "--dry-run", cwd=tmp_path, env=site)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "unknown algorithm 'broken'" in error
    assert "works" in error
    assert "name that with --import" in error
    assert BROKEN in error


def test_a_package_beside_one_that_fails_is_found_at_every_look_up(
    site: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algorithms import AlgorithmEntry
    from datasets import UserError
    from datasets import registry as module

    monkeypatch.syspath_prepend(site["PYTHONPATH"].split(":")[0])
    monkeypatch.setattr(module, "_FAILED", [])
    registry = module.Registry("algorithm", "bench.algorithms", AlgorithmEntry)
    for _ in range(2):
        assert registry["works"].name == "works"
        assert registry.names() == ["works"]
        assert len(module.failed_plugins()) == 2
        with pytest.raises(UserError, match="no licence found"):
            registry["broken"]


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content(**changes)), encoding="utf-8")
    return path


def test_the_oracle_is_for_sinusoids_alone(tmp_path: Path) -> None:
    both = written(tmp_path, algorithms=["maml", "oracle"], datasets=[LINES, {"name": "sinusoid", "shots": [5]}])
    done = bench("run", both, *ODD, "--out", "out", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out: oracle on lines: it is for datasets with the trait 'sinusoids'" in done.stdout
    board = pd.read_csv(tmp_path / "out" / "report" / "leaderboard.csv").set_index(["dataset", "algorithm"])
    assert set(board.index) == {("lines", "maml"), ("sinusoid", "maml"), ("sinusoid", "oracle")}
    assert board.loc[("sinusoid", "oracle"), "mse"] < board.loc[("sinusoid", "maml"), "mse"]
    assert board["rank"].fillna(0).to_dict() == {
        ("lines", "maml"): 1,
        ("sinusoid", "maml"): 1,
        ("sinusoid", "oracle"): 0,
    }


def test_the_oracle_alone_on_another_dataset_is_refused(tmp_path: Path) -> None:
    done = bench("run", written(tmp_path, algorithms=["oracle"], datasets=[LINES]), *ODD, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"error: {tmp_path / 'mine.yaml'}: no cell is left: oracle cannot learn lines: it is for datasets with the trait "
        "'sinusoids'"
    )


def test_vectors_with_labels_take_the_options_of_their_network(tmp_path: Path) -> None:
    grid = written(tmp_path, datasets=[VECTORS | {"network": {"hidden": [8]}}])
    done = bench("run", grid, *ODD, "--out", "out", "-q", cwd=tmp_path)
    assert "vectors 3-way 1-shot" in done.stdout
    rows = pd.read_csv(tmp_path / "out" / "report" / "cells.csv") if (tmp_path / "out" / "report").is_dir() else None
    statuses = [p.name for p in (tmp_path / "out" / "cells").glob("*/result.json")]
    assert statuses == ["result.json"], (done.stderr, rows)


@pytest.mark.parametrize("command", [("run",), ("run", "--dry-run"), ("tune",)])
def test_vectors_with_labels_refuse_the_options_of_another_network(tmp_path: Path, command: tuple[str, ...]) -> None:
    grid = written(tmp_path, datasets=[VECTORS | {"network": {"channels": 8}}])
    done = bench(command[0], grid, *ODD, *command[1:], cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "error: network.channels does not apply to vectors, whose inputs of shape (6,) take the network MLP; "
        "allowed there: hidden"
    )


@pytest.mark.parametrize(
    ("algorithm", "settings", "said"),
    [
        (
            "protonet",
            {},
            "protonet trains on vectors with n_way=60 instead of the grid's 3, because of its hyper-parameter "
            "train_ways=60 (the preset for omniglot, section 3.1): 60 ways, but the train split of vectors has 10 classes, "
            "with `settings: [{algorithms: [protonet], set: {train_ways: 3}}]` in the grid",
        ),
        ("protonet", {"train_ways": 11}, "because of its hyper-parameter train_ways=11: 11 ways, but"),
    ],
)
def test_a_shape_that_a_preset_asks_for_is_not_blamed_on_the_user(
    tmp_path: Path, algorithm: str, settings: dict[str, Any], said: str
) -> None:
    grid = written(tmp_path, algorithms=[algorithm], datasets=[VECTORS], settings=[{"set": settings}])
    done = bench("run", grid, *ODD, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_a_shape_that_the_grid_asks_for_is_the_users(tmp_path: Path) -> None:
    grid = written(tmp_path, algorithms=["protonet"], datasets=[VECTORS | {"ways": [11]}])
    done = bench("run", grid, *ODD, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: 11 ways, but the train split of vectors has 10 classes\n")
