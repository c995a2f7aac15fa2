"""Training that is interrupted anywhere goes on to the same bytes, for every algorithm."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
from algorithms import ALGORITHMS
from bench.execution.in_process import set_up_process
from bench.process.plugins import import_plugins
from bench.protocol.cell_run import run_cell
from bench.protocol.checkpoint import Checkpoint
from bench.protocol.outcome import Outcome
from bench.reproducibility.diff import differences
from bench.spec.cell import Cell
from bench.store import checkpoint_file as checkpoint_files
from bench.store.atomic import CannotWrite
from bench.store.checkpoint_file import CheckpointFile
from bench.store.store import Failure, Store, read_cell
from datasets.storage.reading import usable_data_root
from tests.bench.helpers import GLYPHS, SINUSOID, Faults, command, environment, is_whole, one_cell, tiny, write_grid
from tests.bench.store.store_writers import MEASURED, outcome

SLOW: dict[str, Any] = {"algorithms": ["waits"], "train": {"episodes": 160, "n_query": 2, "eval_every": 7}}


class Killed(BaseException):
    """Stands for a death: nothing after it is done."""


class DyingCheckpointFile(CheckpointFile):
    """Writes a checkpoint after every outer step, and dies after one of them."""

    dies_at = 0

    def write(self, checkpoint: Checkpoint) -> None:
        super().write(checkpoint)
        if checkpoint.outer_steps == self.dies_at:
            raise Killed


def run(cell: Cell, checkpoints: CheckpointFile) -> Outcome:
    set_up_process()
    return run_cell(cell, cell.entry.load(usable_data_root(None)), checkpoints=checkpoints)


def die(cell: Cell, place: Path, step: int) -> None:
    checkpoints = DyingCheckpointFile(place, 0)
    checkpoints.dies_at = step
    with pytest.raises(Killed):
        run(cell, checkpoints)


def assert_same(one: Outcome, other: Outcome) -> None:
    """Byte by byte, but for what a clock measured."""
    for table in ("episodes", "curve"):
        mine, theirs = getattr(one, table), getattr(other, table)
        assert list(mine.dtypes) == list(theirs.dtypes)
        for column in mine:
            pairs = zip(mine[column], theirs[column], strict=True)
            assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs), column
    assert list(one.state) == list(other.state)
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
    assert one.digests == other.digests
    for name in ("outer_steps", "selected_outer_step", "train_episodes", "train_examples"):
        assert one.summary[name] == other.summary[name]


@pytest.mark.parametrize("use", [SINUSOID, GLYPHS], ids=lambda use: str(use["name"]))
@pytest.mark.parametrize("algorithm", ALGORITHMS.names())
def test_every_algorithm_goes_on_to_the_same_bytes(
    algorithm: str, use: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], faults: Faults
) -> None:
    entry = ALGORITHMS[algorithm]
    if reason := entry.missing():
        pytest.skip(reason)
    kind = "regression" if use["name"] == "sinusoid" else "classification"
    if kind not in entry.kinds:
        pytest.skip(f"{algorithm} does not do {kind}")
    train = {"episodes": 14, "n_query": 2, "eval_every": 2}
    cell = one_cell(algorithms=[algorithm], datasets=[dict(use)], train=train)
    whole = run(cell, CheckpointFile(tmp_path / "never", 1e9))
    assert not (tmp_path / "never").exists()
    steps = whole.summary["outer_steps"]
    with ExitStack() as survived:
        for step in range(1, steps + 1):  # it dies after every step, and goes on from where it died
            survived.enter_context(faults("training ended after an outer step"))
            die(cell, tmp_path / "place", step)
        again = run(cell, CheckpointFile(tmp_path / "place", 1e9))
        assert_same(whole, again)
    assert again.summary["train_seconds"] > 0
    assert f"training continues from the checkpoint at outer step {steps}\n" in capsys.readouterr().out


def test_a_budget_of_seconds_goes_on_with_what_is_left_of_it(tmp_path: Path) -> None:
    cell = one_cell(train={"seconds": 0.5, "n_query": 2, "eval_every": 1000000})
    die(cell, tmp_path / "place", 3)
    file = CheckpointFile(tmp_path / "place", 1e9)
    kept = file.read()
    assert kept is not None
    file.write(replace(kept, numbers=kept.numbers | {"training": kept.numbers["training"] | {"wall": 0.5}}))
    assert run(cell, file).summary["outer_steps"] == 3


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkpoint after the second of three steps."""
    die(one_cell(), tmp_path / "place", 2)
    return tmp_path / "place"


def test_a_checkpoint_that_is_cut_off_does_not_count(
    place: Path, capsys: pytest.CaptureFixture[str], faults: Faults
) -> None:
    whole = place.read_bytes()
    for length in [*range(0, len(whole), 17), len(whole) - 1]:
        with faults("checkpoint cut off"):
            place.write_bytes(whole[:length])
            assert CheckpointFile(place, 1e9).read() is None
            assert (
                capsys.readouterr().out
                == "the checkpoint is not used: it is damaged; training starts from the beginning\n"
            )
    place.write_bytes(whole)
    assert CheckpointFile(place, 1e9).read() is not None


@pytest.mark.parametrize("name", ["commit", "packages", "processor", "variables", "blas", "driver"])
def test_a_checkpoint_of_other_code_or_hardware_does_not_count(
    place: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = checkpoint_files.environment()
    monkeypatch.setattr(checkpoint_files, "environment", lambda: here | {name: "another"})
    assert CheckpointFile(place, 1e9).read() is None
    assert f"it was written with other values of {name}; training starts from the beginning" in capsys.readouterr().out
    monkeypatch.setattr(checkpoint_files, "environment", lambda: here | {"memory_mib": 1})
    assert CheckpointFile(place, 1e9).read() is not None


def test_a_checkpoint_of_another_schema_does_not_count(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "CHECKPOINT_SCHEMA", checkpoint_files.CHECKPOINT_SCHEMA + 1)
    assert CheckpointFile(place, 1e9).read() is None


def test_the_order_and_the_types_of_tensors_are_kept(tmp_path: Path) -> None:
    """A sum over them, as clipping takes, depends on the order."""
    tensors = {
        "b": torch.ones(2, 3),
        "a": torch.tensor(7),
        "c": torch.zeros(0),
        "0": torch.tensor([1.5], dtype=torch.double),
    }
    file = CheckpointFile(tmp_path / "folder/place", 0)
    file.write(Checkpoint(3, tensors, {"curve": [{"x": float("nan"), "n": 1}]}))
    found = file.read()
    assert found is not None
    assert (found.outer_steps, list(found.tensors)) == (3, ["b", "a", "c", "0"])
    for name, value in tensors.items():
        assert found.tensors[name].dtype == value.dtype
        assert torch.equal(found.tensors[name], value)
    assert str(found.numbers) == "{'curve': [{'x': nan, 'n': 1}]}"


def test_a_checkpoint_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match=r"cannot write results to .*; what is finished is kept"):
        CheckpointFile(tmp_path / "file/place", 0).write(Checkpoint(1, {}, {}))


@pytest.mark.parametrize("whose", ["run", "cell"])
def test_a_cell_that_was_killed_goes_on(tmp_path: Path, out: Path, failing: str, whose: str, faults: Faults) -> None:
    """With its run, or alone: then the next run goes on."""
    import_plugins([failing])
    grid = tiny(**SLOW)
    (cell,) = grid.cells()
    bench.run(grid, tmp_path / "undisturbed", jobs=1, plugins=[failing], checkpoint_every=None)
    with faults("run or cell killed in the middle of training"):
        if whose == "run":
            arguments = command("run", write_grid(tmp_path / "slow.yaml", **SLOW), "--import", failing, "--out", out)
            options = ["--checkpoint-every", "1e-9"]
            process = subprocess.Popen([*arguments, *options], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE)
            wait_for(Store(out).checkpoint(cell), process)
            process.kill()
            process.communicate()
        else:
            bench.run(grid, out, jobs=1, plugins=[failing], checkpoint_every=1e-9, timeout=0.6)
            assert bench.load(out)["status"].tolist() == ["timeout"]
        assert Store(out).checkpoint(cell).is_file()
        bench.run(grid, out, jobs=1, plugins=[failing])
        assert differences(tmp_path / "undisturbed", out) == []
        log = (out / "cells" / cell.id / "log.txt").read_text()
        assert log.startswith("training continues from the checkpoint at outer step ")
        assert not list((out / "cells/.checkpoints").iterdir())
        assert is_whole(out)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the file is there."""
    while not path.exists():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)


def test_a_cell_without_checkpoints_goes_on_from_none(tmp_path: Path, out: Path) -> None:
    cell = one_cell()
    store = Store(out)
    store.create()
    die(cell, store.checkpoint(cell), 2)
    bench.run(tiny(), out, checkpoint_every=None)
    assert not (out / "cells" / cell.id / "log.txt").exists()


def test_checkpoints_of_finished_cells_are_removed_and_others_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    done, not_done = tiny(seeds=[0, 1]).cells()
    for cell in (done, not_done):
        CheckpointFile(store.checkpoint(cell), 0).write(Checkpoint(1, {}, {}))
    store.write_result(done, outcome(), MEASURED)  # and the process died before it removed the checkpoint
    store.create()
    assert [path.name for path in (tmp_path / "cells/.checkpoints").iterdir()] == [not_done.id]


@pytest.mark.parametrize(("algorithm", "kept"), [("raises", False), ("diverges", False), ("killed", True)])
def test_only_failures_that_might_not_come_again_keep_a_checkpoint(
    out: Path, failing: str, algorithm: str, kept: bool
) -> None:
    import_plugins([failing])
    grid = tiny(algorithms=[algorithm])
    store = Store(out)
    store.create()
    (cell,) = grid.cells()
    here = store.checkpoint(cell)
    CheckpointFile(here, 0).write(Checkpoint(0, {}, {}))
    here.write_text("damaged")
    bench.run(grid, out, plugins=[failing])
    failure = store.failure(cell)
    assert isinstance(failure, Failure)
    assert "the checkpoint is not used: it is damaged" in failure.log
    assert here.exists() == kept
    assert read_cell(out / "cells" / cell.id) == cell
