"""The environment that a result states, and cells that do not depend on chance."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import ALGORITHMS, AlgorithmEntry
from algorithms.core.algorithm import Metrics
from algorithms.core.meta_state import State
from algorithms.maml import MAML, MAMLHyperParameters
from bench.execution import in_process
from bench.execution.in_process import execute, fill_new_buffers, nondeterminism, set_up_process
from bench.process.environment import driver, environment
from bench.protocol.cell_run import run_cell
from bench.store.tensors import weights_bytes
from datasets.core.episodes import Episodes, Examples
from tests.bench.helpers import GLYPHS, ROOT, SINUSOID, one_cell, tiny

NAVIGATION = {"name": "navigation", "shots": [2]}
FITTING: Mapping[str, list[str]] = {
    "glyphs": ["maml", "fomaml", "meta-sgd", "reptile", "anil", "protonet", "finetune", "logreg"],
    "sinusoid": ["maml", "fomaml", "meta-sgd", "reptile", "finetune"],
    "navigation": ["maml-trpo", "reptile-pg"],
}
SHOW = (
    "import bench.process.environment as e, json; "
    "print(json.dumps([e._git('rev-parse', 'HEAD').strip(), e.uncommitted()]))"
)


class Checkout:
    """A repository that holds nothing but the module under test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bench/process").mkdir(parents=True)
        shutil.copy(ROOT / "bench/process/environment.py", root / "bench/process/environment.py")
        for package in ("bench", "bench/process"):
            (root / package / "__init__.py").touch()
        self.git("init", "-q")
        self.git("add", ".")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "one")

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def seen(self) -> list[str | None]:
        """Return what a process that is started now says: commit, and the digest of what is not committed."""
        arguments = [sys.executable, "-c", SHOW]
        done = subprocess.run(arguments, cwd=self.root, check=True, capture_output=True, text=True)
        return list(json.loads(done.stdout))


def test_the_commit_and_what_is_not_committed_are_named(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    clean = checkout.seen()
    assert clean == [checkout.git("rev-parse", "HEAD").strip(), None]
    (tmp_path / "bench/__init__.py").write_text("A = 1\n")
    changed = checkout.seen()
    (tmp_path / "bench/new.py").write_text("B = 1\n")
    added = checkout.seen()
    (tmp_path / "notes.txt").write_text("no code")
    assert len({clean[1], changed[1], added[1]}) == 3
    assert checkout.seen() == added


def test_the_libraries_that_compute_are_named() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["blas"].keys() == {"torch", "onednn", "numpy"}
    assert found["blas"]["numpy"]
    assert found["blas"]["torch"]


def test_the_driver_is_read_where_there_is_one(tmp_path: Path) -> None:
    place = tmp_path / "version"
    assert driver(place) is None
    place.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\nGCC version: 12.2.0\n")
    assert driver(place) == "550.54.15"
    place.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build\n")
    assert driver(place) == "570.124.06"


class Draws(MAML):
    """Its loss comes from the generators that belong to nobody."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        state, _ = super().outer_step(state, batch)
        return state, {"loss": float(torch.rand(())) + np.random.random()}  # noqa: NPY002


class Scatters(MAML):
    """Uses an operation that has no deterministic form, on any device."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        torch.zeros(3).put_(torch.tensor([0, 1]), torch.ones(2))
        return super().outer_step(state, batch)


@pytest.fixture
def _registered() -> Iterator[None]:
    for factory in (Draws, Scatters):
        name = factory.__name__.lower()
        ALGORITHMS.add(AlgorithmEntry(name, factory, MAMLHyperParameters, "none", "a test"))
    yield
    for name in ("draws", "scatters"):
        ALGORITHMS.remove(name)


@pytest.mark.usefixtures("_registered")
def test_what_a_plugin_draws_from_global_generators_repeats() -> None:
    cells = [one_cell(algorithms=["draws"], seeds=[seed]) for seed in (0, 0, 1)]
    losses = [execute(cell, Path(), 1, print)[0].curve for cell in cells]
    assert losses[0].equals(losses[1])
    assert not losses[0]["train_loss"].equals(losses[2]["train_loss"])


@pytest.mark.usefixtures("_registered")
def test_an_operation_without_a_deterministic_form_is_an_error_on_a_cpu() -> None:
    with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
        execute(one_cell(algorithms=["scatters"]), Path(), 1, print)


@pytest.mark.usefixtures("_registered")
def test_an_operation_without_a_deterministic_form_is_named_in_a_gpus_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """There need not be a GPU: the cell runs on the CPU in a process that is set up for one."""
    monkeypatch.setattr(in_process, "set_up_process", lambda device: set_up_process("cuda"))
    _, measured = execute(one_cell(algorithms=["scatters"]), Path(), 1, print)
    assert measured["environment"]["nondeterministic"] == ["put_"]
    _, measured = execute(one_cell(), Path(), 1, print)
    assert measured["environment"]["nondeterministic"] == []
    assert measured["environment"]["engine"] == {"name": "stacked", "reason": "the quicker one for an MLP"}
    _, measured = execute(one_cell().model_copy(update={"engine": "loop"}), Path(), 1, print)
    assert measured["environment"]["engine"] == {"name": "loop", "reason": "asked for"}


@pytest.mark.parametrize("dataset", [GLYPHS, SINUSOID, NAVIGATION], ids=lambda dataset: str(dataset["name"]))
def test_nothing_reads_a_buffer_before_it_is_written(dataset: Mapping[str, Any]) -> None:
    """With buffers that start as NaN the results are finite, and the same as without."""
    expected, found = {}, {}
    for cell in tiny(algorithms=FITTING[dataset["name"]], datasets=[dict(dataset)]).cells():
        data = cell.entry.load(Path())
        set_up_process()
        assert not torch.empty(1000, dtype=torch.int64).eq(torch.iinfo(torch.int64).max).all()
        expected[cell.algorithm] = weights_bytes(run_cell(cell, data).state)
        fill_new_buffers(True)
        assert torch.empty(1000).isnan().all()
        found[cell.algorithm] = weights_bytes(run_cell(cell, data).state)
    assert found == expected
    assert len(found) == len(FITTING[dataset["name"]])


def test_other_warnings_are_shown_as_ever() -> None:
    with pytest.warns(UserWarning, match="something else"), nondeterminism() as names:
        warnings.warn("something else", stacklevel=1)
    assert names == set()
