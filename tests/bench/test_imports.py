"""Imports point one way: bench -> algorithms -> datasets, and algorithms need only what an episode is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.helpers import ROOT

OURS = {"bench", "algorithms", "datasets", "tests"}
FOR_ALGORITHMS = {"datasets.core.episodes", "datasets.core.registry", "datasets.core.randomness"}


def imported(text: str) -> Iterator[str]:
    """The modules that a file imports, wherever in it, with what is taken from them."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strays(package: str, text: str) -> set[str]:
    """Those of our own modules that a file of ``package`` imports and must not."""
    own = {name for name in imported(text) if name.split(".")[0] in OURS - {package}}
    if package == "bench":
        return {name for name in own if name.startswith("tests")}
    if package == "algorithms":
        return {name for name in own if not any(name.startswith(f"{allowed}.") for allowed in FOR_ALGORITHMS)}
    return own


@pytest.mark.parametrize("package", ["bench", "algorithms", "datasets"])
def test_imports_point_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {str(path.relative_to(ROOT)): strays(package, path.read_text(encoding="utf-8")) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("package", "text", "found"),
    [
        ("datasets", "import bench.spec.grid", {"bench.spec.grid"}),
        ("datasets", "def f():\n    from algorithms import ALGORITHMS", {"algorithms.ALGORITHMS"}),
        ("algorithms", "from datasets.omniglot import SMALL", {"datasets.omniglot.SMALL"}),
        ("algorithms", "from datasets import load", {"datasets.load"}),
        ("algorithms", "from bench import run", {"bench.run"}),
        ("algorithms", "from datasets.core.episodes import Shape\nimport torch", set()),
        ("bench", "from datasets import load\nimport algorithms", set()),
        ("bench", "from tests.bench.helpers import tiny", {"tests.bench.helpers.tiny"}),
    ],
)
def test_a_stray_import_is_seen(package: str, text: str, found: set[str]) -> None:
    assert strays(package, text) == found


def test_this_checkout_is_what_is_tested() -> None:
    import algorithms
    import bench
    import datasets

    for package in (bench, algorithms, datasets):
        assert Path(package.__file__ or "").parent.parent == ROOT
