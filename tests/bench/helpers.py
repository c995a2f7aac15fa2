"""Builders of grids so small that a cell takes a fraction of a second, and ways to look at what a run left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from algorithms import ALGORITHMS
from algorithms.networks.entry import NETWORKS
from bench.spec.cell import Cell
from bench.spec.grid import Grid, parse_grid
from bench.store.integrity import described
from bench.store.store import Store
from datasets import DATASETS
from datasets.core.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "tests" / "plugins"
FAILING = "failing_algorithms"  # the plugin with algorithms that end in every way but well
STRANGE = "strange_algorithms"  # the plugin with algorithms that give what they must not, from another folder
ODD = "odd_datasets"  # the plugin with datasets unlike the built-in ones
HUNGRY = "hungry_algorithms"  # the plugin with algorithms that use up memory
Main = Callable[..., tuple[int, str, str]]  # exit code, what was printed, and what was printed as errors

SINUSOID: Mapping[str, Any] = {"name": "sinusoid", "shots": [5], "network": {"hidden": [8]}}
GLYPHS: Mapping[str, Any] = {"name": "glyphs", "ways": [3], "shots": [1], "network": {"channels": 4}}


@contextmanager
def entries_removed_again() -> Iterator[None]:
    """Around what registers entries, which are gone afterwards."""
    registries: tuple[Registry[Any], ...] = (ALGORITHMS, DATASETS, NETWORKS)
    before = [set(registry.names()) for registry in registries]
    yield
    for registry, names in zip(registries, before, strict=True):
        for name in set(registry.names()) - names:
            registry.remove(name)


class Faults:
    """Counts faults: what happens in the block around one must be survived.

    Attributes:
        injected: by kind.
        survived: those whose block ended well.
        every: inject at every place instead of a sample of them (``pytest --every-fault``).
    """

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.every = False

    def stride(self, sampled: int) -> int:
        """Return the distance between two places of a fault: ``sampled``, or 1 where every place is asked for."""
        return 1 if self.every else sampled

    @contextmanager
    def __call__(self, kind: str) -> Iterator[None]:
        """Around a fault and the checks of what came of it."""
        self.injected[kind] += 1
        yield
        self.survived[kind] += 1


FAULTS = Faults()  # of this process's tests


def content(**changes: Any) -> dict[str, Any]:
    """Return the content of a tiny grid's YAML file: one algorithm on sinusoids under one seed."""
    usual: dict[str, Any] = {
        "algorithms": ["maml"],
        "datasets": [dict(SINUSOID)],
        "seeds": [0],
        "train": {"episodes": 10, "n_query": 2, "eval_every": 2},
        "evaluation": {"val_episodes": 3, "test_episodes": 4, "n_query": 2},
        "settings": [{"set": {"meta_batch": 4, "test_steps": 2}}],
    }
    return usual | changes


def tiny(**changes: Any) -> Grid:
    """The same as a grid."""
    return parse_grid(content(**changes))


def one_cell(**changes: Any) -> Cell:
    """The only cell of a tiny grid."""
    (cell,) = tiny(**changes).cells()
    return cell


def write_grid(path: Path, **changes: Any) -> Path:
    """The same as a file."""
    path.write_text(yaml.safe_dump(content(**changes)), encoding="utf-8")
    return path


def tables(folder: Path, name: str = "episodes.parquet") -> dict[str, bytes]:
    """The bytes of every finished cell's table, by cell."""
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob(f"cells/*/{name}"))}


def statuses(folder: Path) -> dict[str, str]:
    """Every cell's status, by algorithm."""
    rows = Store(folder).rows()
    return dict(zip(rows["algorithm"], rows["status"], strict=True))


def describe_anew(folder: Path) -> None:
    """Let a cell's result describe its files as they are now, as if they had been written so."""
    place = folder / "result.json"
    result = json.loads(place.read_text())
    result["files"] = described({name: (folder / name).read_bytes() for name in result["files"]})
    place.write_text(json.dumps(result))


def is_whole(folder: Path) -> bool:
    """Return whether every visible cell is a whole result or a whole failure, and nothing else lies beside them."""
    finished = {"cell.json", "result.json", "episodes.parquet", "curve.parquet", "weights.safetensors"}
    failed = {"cell.json", "failure.json"}
    found = ({file.name for file in cell.iterdir()} for cell in Store(folder).folders())
    return all(names - {"log.txt"} in (finished, failed) for names in found)


def environment(**changes: str) -> dict[str, str]:
    """The environment of a command: this checkout and the plugins importable, one thread, no data of the user's."""
    kept = {name: value for name, value in os.environ.items() if name != "BENCH_DATA"}
    path = os.pathsep.join([str(ROOT), str(PLUGINS)])
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"} | changes


def command(*arguments: str | Path) -> list[str]:
    """``python -m bench ...``."""
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def bench(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m bench ...`` to its end."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=env or environment(), capture_output=True, text=True, timeout=timeout
    )


def columns(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """One value of each row."""
    return [row[name] for row in rows]
