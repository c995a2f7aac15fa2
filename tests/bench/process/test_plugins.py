"""Entry points of other packages: a failing one leaves the others, and entries of a wrong kind are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from algorithms import ALGORITHMS
from datasets import DATASETS
from datasets.core import registry
from tests.bench.helpers import GLYPHS, Main, write_grid

LINES: dict[str, Any] = {"name": "lines", "shots": [5]}
VECTORS: dict[str, Any] = {"name": "vectors", "ways": [3], "shots": [1]}
WORKS = """
from algorithms import AlgorithmEntry
from algorithms.maml import MAML, MAMLHyperParameters
ENTRY = AlgorithmEntry("works", MAML, MAMLHyperParameters, "none", "a test")
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
def _packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three packages are installed, of which two fail, and none was looked at yet."""
    folder = tmp_path / "site"
    folder.mkdir()
    installed(folder, "a-broken", "a_broken", "raise RuntimeError('no licence\\nfound')", {"broken": "a_broken:ENTRY"})
    installed(folder, "b-number", "b_number", "def entry():\n    return 7\n", {"number": "b_number:entry"})
    installed(folder, "c-works", "c_works", WORKS, {"works": "c_works:ENTRY"})
    monkeypatch.syspath_prepend(str(folder))
    ALGORITHMS.names()  # what is declared is read, if this is the first test
    monkeypatch.setattr(registry, "_FAILED", [])
    monkeypatch.setattr(ALGORITHMS, "_entries", dict(ALGORITHMS._entries))
    monkeypatch.setattr(ALGORITHMS, "_plugins_read", False)


BROKEN = (
    "entry point 'broken' of a-broken (group bench.algorithms, a_broken:ENTRY) failed: RuntimeError: no licence found"
)
NUMBER = "entry point 'number' of b-number (group bench.algorithms, b_number:entry) failed: it gives a int, but must"


@pytest.mark.usefixtures("_packages")
def test_packages_that_fail_are_reported_by_every_command_and_the_others_stay(main: Main) -> None:
    for _ in range(2):
        code, printed, errors = main("list")
        assert code == 0
        assert "works" in printed
        assert "maml" in printed
        for said in (BROKEN, NUMBER):
            assert errors.count(f"warning: {said}") == 1


@pytest.mark.usefixtures("_packages")
def test_an_unknown_name_says_what_failed_and_how_to_import(main: Main) -> None:
    for _ in range(2):
        code, _, errors = main("run", "smoke", "--algorithms", "broken", "--dry-run")
        assert code == 2
        (error,) = [line for line in errors.splitlines() if line.startswith("error:")]
        assert "unknown algorithm 'broken'; `python -m bench list` lists all" in error
        assert "; if a module of yours registers it, name that in --import; " in error
        assert BROKEN in error


@pytest.mark.parametrize(
    "arguments", [("check", "mamml"), ("tune", "mamml", "glyphs"), ("tune", "maml", "glyph"), ("data", "show", "glyph")]
)
def test_an_unknown_name_suggests_the_nearest_and_import(main: Main, arguments: tuple[str, ...]) -> None:
    code, _, errors = main(*arguments)
    assert code == 2
    assert "did you mean '" in errors
    assert "name that in --import" in errors


@pytest.mark.usefixtures("odd")
def test_the_oracle_is_for_sinusoids_alone(main: Main, tmp_path: Path) -> None:
    both = [LINES, {"name": "sinusoid", "shots": [5]}]
    names = ["maml", "oracle", "protonet", "logreg"]
    grid = write_grid(tmp_path / "mine.yaml", algorithms=names, datasets=both)
    code, printed, _ = main("run", grid, "--dry-run")
    assert code == 0
    assert "left out: oracle on lines: it is for datasets with the trait 'sinusoids'" in printed
    assert "left out: protonet, logreg do not do regression (lines, sinusoid)" in printed
    assert "oracle--sinusoid-5-shot" in printed
    assert "oracle--lines" not in printed


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("algorithm", "dataset", "reason"),
    [
        ("oracle", LINES, "it is for datasets with the trait 'sinusoids'"),
        ("protonet", LINES, "it does not do regression"),
    ],
)
def test_an_algorithm_that_can_learn_nothing_of_the_grid_is_refused(
    main: Main, tmp_path: Path, algorithm: str, dataset: dict[str, Any], reason: str
) -> None:
    grid = write_grid(tmp_path / "mine.yaml", algorithms=[algorithm], datasets=[dataset])
    code, _, errors = main("run", grid)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert f"no cell is left: {algorithm} cannot learn lines: {reason}" in errors


@pytest.mark.usefixtures("odd")
def test_vectors_with_labels_take_the_options_of_their_network(main: Main, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "mine.yaml", datasets=[VECTORS | {"network": {"hidden": [8]}}])
    code, printed, _ = main("run", grid, "--dry-run")
    assert code == 0
    assert "under a second" in printed  # measured on steps that were taken


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("command", [("run",), ("run", "--dry-run"), ("tune",)])
def test_vectors_with_labels_refuse_the_options_of_another_network(
    main: Main, tmp_path: Path, command: tuple[str, ...]
) -> None:
    grid = write_grid(tmp_path / "mine.yaml", datasets=[VECTORS | {"network": {"channels": 8}}])
    code, _, errors = main(command[0], grid, *command[1:])
    assert (code, errors) == (
        2,
        "error: network.channels does not apply to vectors, whose inputs of shape (6,) take the network MLP; "
        "allowed there: hidden\n",
    )


@pytest.mark.usefixtures("odd")
def test_a_dataset_whose_entry_declares_another_shape_is_refused(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(DATASETS["vectors"], input_shape=(7,))
    with monkeypatch.context() as patched:
        patched.setitem(DATASETS._entries, "vectors", wrong)
        code, _, errors = main("run", write_grid(tmp_path / "mine.yaml", datasets=[VECTORS]))
    assert code == 2
    assert "dataset 'vectors' gives inputs of shape (6,), but its entry declares (7,)" in errors


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("algorithm", "dataset", "settings", "said"),
    [
        (
            "protonet",
            VECTORS,
            {},
            "error: protonet trains on vectors with n_way=60 instead of the grid's 3, because of its hyper-parameter "
            "train_ways=60 (the preset for omniglot, section 3.1): 60 ways, but the train split of vectors has 10 "
            "classes, with `settings: [{algorithms: [protonet], set: {train_ways: 3}}]` in the grid\n",
        ),
        ("protonet", VECTORS, {"train_ways": 11}, "because of its hyper-parameter train_ways=11: 11 ways, but"),
        (
            "protonet",
            GLYPHS,
            {"train_queries": 30},
            "with n_query=30 instead of the grid's 2, because of its hyper-parameter train_queries=30: 1 shots",
        ),
        ("reptile", GLYPHS, {"train_shots": 30}, "its hyper-parameter train_shots=30: 30 shots"),
        ("protonet", VECTORS | {"ways": [11]}, {}, "error: 11 ways, but the train split of vectors has 10 classes\n"),
    ],
)
def test_a_shape_that_a_preset_asks_for_is_not_blamed_on_the_user(
    main: Main, tmp_path: Path, algorithm: str, dataset: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    grid = write_grid(
        tmp_path / "mine.yaml", algorithms=[algorithm], datasets=[dict(dataset)], settings=[{"set": settings}]
    )
    code, _, errors = main("run", grid)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert said in errors
