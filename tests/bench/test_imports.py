"""Imports point one way: from room to room, in the order of ``ROOMS``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.helpers import ROOT

OURS = {"bench", "algorithms", "datasets", "tests"}
ROOMS = (
    "datasets.core",
    "datasets.splits",
    "datasets.storage",
    "datasets.formats",
    "datasets.text",
    "datasets.drawing",
    "datasets",
    "datasets.embedded",
    "datasets.maintenance",
    "algorithms.networks",
    "algorithms.engines",
    "algorithms.core",
    "algorithms.control",
    "algorithms",
    "algorithms.libraries",
    "algorithms.testing",
    "bench.stats",
    "bench.process",
    "bench.spec",
    "bench.protocol",
    "bench.store",
    "bench.execution",
    "bench.reproducibility",
    "bench.cost",
    "bench.analysis",
    "bench.external",
    "bench.report",
    "bench.learner",
    "bench.share",
    "bench.tuning",
    "bench.tuning.report",
    "bench.tracking",
    "bench.speed",
    "bench.api",
    "bench.cli",
    "bench",
)
"""Each may import from those above it, and from itself."""


def imported(text: str) -> Iterator[str]:
    """The modules that a file imports, wherever in it, with what is taken from them."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room that a module, or what is taken from one, belongs to; None for what is not ours."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=None)


def strays(room: str, text: str) -> set[str]:
    """Those of our own modules that a file in ``room`` imports and must not."""
    allowed = ROOMS[: ROOMS.index(room) + 1]
    own = {name for name in imported(text) if name.split(".")[0] in OURS}
    return {name for name in own if room_of(name) not in allowed and name not in NOTHING_BUT_NAMES}


NOTHING_BUT_NAMES = {"bench"}
"""``import bench`` in the command line's and other modules, which imports none of its rooms."""


def files() -> Iterator[tuple[Path, str]]:
    """Every module of ours, with its room."""
    for package in ("bench", "algorithms", "datasets"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            room = room_of(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
            assert room is not None
            yield path, room


def test_imports_point_one_way() -> None:
    found = {str(path.relative_to(ROOT)): strays(room, path.read_text(encoding="utf-8")) for path, room in files()}
    assert len(found) > 200
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("room", "text", "found"),
    [
        ("datasets", "import bench.spec.grid", {"bench.spec.grid"}),
        ("datasets", "def f():\n    from algorithms import ALGORITHMS", {"algorithms.ALGORITHMS"}),
        ("datasets.core", "from datasets.storage.cache import Recipe", {"datasets.storage.cache.Recipe"}),
        ("algorithms", "from bench import run", {"bench.run"}),
        ("algorithms.engines", "from algorithms.maml import MAML", {"algorithms.maml.MAML"}),
        ("algorithms", "from datasets.core.episodes import Shape\nimport torch", set()),
        ("bench.stats", "from bench.store.store import Store", {"bench.store.store.Store"}),
        ("bench.cost", "from bench.analysis.costs import cost_table", {"bench.analysis.costs.cost_table"}),
        ("bench.tuning", "from bench.api import run", {"bench.api.run"}),
        ("bench.tuning", "from bench.tuning.report import write", {"bench.tuning.report.write"}),
        ("bench.api", "from datasets import load\nimport algorithms", set()),
        ("bench.cli", "from tests.bench.helpers import tiny", {"tests.bench.helpers.tiny"}),
    ],
)
def test_a_stray_import_is_seen(room: str, text: str, found: set[str]) -> None:
    assert strays(room, text) == found


def test_this_checkout_is_what_is_tested() -> None:
    import algorithms
    import bench
    import datasets

    for package in (bench, algorithms, datasets):
        assert Path(package.__file__ or "").parent.parent == ROOT
