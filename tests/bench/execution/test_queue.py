"""Runs that share a store: a dead run's cells are taken over, and a run that lost a cell stores nothing of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.execution.events import Abandoned, Elsewhere, EndedElsewhere, Event, Finished, Started
from bench.execution.queue import Share
from bench.process.identity import Identity
from bench.process.plugins import import_plugins
from bench.reproducibility.diff import differences
from bench.spec.cell import Cell
from bench.store import leases as leases_module
from bench.store.leases import Leases
from bench.store.store import Failure, Store
from tests.bench.helpers import Faults, command, environment, is_whole, tiny, write_grid

SLOW: dict[str, Any] = {"algorithms": ["waits"], "train": {"episodes": 120, "n_query": 2, "eval_every": 10}}


@pytest.fixture
def other(out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leases]:
    """Leases of a run on another machine, on the same store."""
    Store(out).create()
    with monkeypatch.context() as patch:
        patch.setattr(leases_module, "own_identity", lambda: Identity("elsewhere", 1, "another machine", "1"))
        leases = Leases(out / "cells")
    with leases:
        yield leases


def of(kind: type, events: list[Event]) -> list[Cell]:
    return [event.cell for event in events if isinstance(event, kind)]  # type: ignore[union-attr]


def test_a_dead_runs_cells_are_taken_over(tmp_path: Path, out: Path, failing: str, faults: Faults) -> None:
    """It is killed in the middle of its cell, while this run waits for it."""
    import_plugins([failing])
    grid = tiny(**SLOW)
    bench.run(grid, tmp_path / "undisturbed", jobs=1, plugins=[failing])
    arguments = command("run", write_grid(tmp_path / "slow.yaml", **SLOW), "--import", failing, "--out", out)
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(" started " in line for line in process.stdout)
    events: list[Event] = []

    def handle(event: Event) -> None:
        events.append(event)
        if isinstance(event, Elsewhere):
            process.kill()  # nobody takes note of its death before the end of this test

    with faults("run killed while another one waits"):
        bench.run(grid, out, plugins=[failing], on_event=handle)
        assert of(Elsewhere, events) == of(Started, events) == of(Finished, events) == grid.cells()
        assert differences(tmp_path / "undisturbed", out) == []
        assert is_whole(out)
        process.communicate()


def test_a_run_waits_for_what_others_are_at_work_on(out: Path, tmp_path: Path, other: Leases) -> None:
    grid = tiny(seeds=[0, 1])
    bench.run(grid, tmp_path / "undisturbed", jobs=1)
    theirs, mine = grid.cells()
    assert other.acquire(theirs.id)
    events: list[Event] = []

    def handle(event: Event) -> None:
        events.append(event)
        if isinstance(event, Finished):  # this run's last one
            shutil.copytree(tmp_path / "undisturbed/cells" / theirs.id, out / "cells" / theirs.id)
            other.release(theirs.id)

    results = bench.run(grid, out, on_event=handle)
    assert of(Started, events) == of(Finished, events) == [mine]
    assert of(Elsewhere, events) == of(EndedElsewhere, events) == [theirs]
    assert [event.owner for event in events if isinstance(event, Elsewhere)] == ["elsewhere, process 1"]
    assert len(results.cells) == 2
    assert differences(tmp_path / "undisturbed", out) == []


def test_what_failed_in_another_run_is_not_tried_again(out: Path, other: Leases) -> None:
    """A failure from before this run is; one that came since is not."""
    old, new = tiny(seeds=[0, 1]).cells()
    store = Store(out)
    store.write_failure(old, Failure("timeout", "too slow"))
    events: list[Event] = []
    with Leases(store.cells) as leases:
        share = Share([old, new], store, leases, events.append)
        assert other.acquire(old.id)
        assert other.acquire(new.id)
        cells = iter(share)
        assert next(cells) is None
        other.release(old.id)
        assert next(cells) == old
        store.write_failure(new, Failure("timeout", "too slow"))
        share.handle(Finished(old, 0.5, 1.0))
        assert next(cells, "the end") == "the end"
    assert of(EndedElsewhere, events) == [new]


def test_a_run_gives_up_a_cell_that_was_taken_over(
    out: Path, tmp_path: Path, failing: str, other: Leases, faults: Faults
) -> None:
    """It seemed to be dead, as after its machine slept: the other's result stays, and nothing runs twice to its end."""
    import_plugins([failing])
    grid = tiny(**SLOW)
    (cell,) = grid.cells()
    bench.run(grid, tmp_path / "undisturbed", jobs=1, plugins=[failing])
    events: list[Event] = []

    def handle(event: Event) -> None:
        events.append(event)
        if isinstance(event, Started):
            (out / "cells/.leases" / cell.id).unlink()
            assert other.acquire(cell.id)
        elif isinstance(event, Abandoned):
            assert list(Store(out).folders()) == []
            shutil.copytree(tmp_path / "undisturbed/cells" / cell.id, out / "cells" / cell.id)
            other.release(cell.id)

    with faults("lease lost to another run"):
        bench.run(grid, out, plugins=[failing], on_event=handle)
        assert of(Abandoned, events) == of(EndedElsewhere, events) == [cell]
        assert of(Started, events) == [cell]
        assert of(Finished, events) == []
        assert is_whole(out)


def test_cells_end_with_a_run_that_is_killed(tmp_path: Path, out: Path, failing: str, faults: Faults) -> None:
    """They would write results that nobody asked for any more, beside whoever took over."""
    grid = write_grid(tmp_path / "sleeps.yaml", algorithms=["maml"])
    arguments = command("run", grid, "--import", failing, "--algorithms", "sleeps", "--out", out)
    process = subprocess.Popen(
        arguments, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert any(" started " in line for line in process.stdout)
    with faults("run killed with a cell that says nothing"):
        process.kill()
        process.communicate(timeout=300)  # until the cell has closed its ends of the pipes too
