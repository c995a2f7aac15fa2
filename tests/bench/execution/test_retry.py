"""Cells that a run starts: failures of earlier runs tried again or not, and the end at the first new failure."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

import bench
from bench.execution.events import Event, Failed, Planned, Started
from bench.execution.queue import RETRIES, Retry
from bench.execution.run import FirstFailure
from bench.process.plugins import import_plugins
from bench.store.store import Failure, FailureKind, Store
from tests.bench.helpers import is_whole, statuses, tiny

SEEDS: dict[FailureKind, int] = {kind: seed for seed, kind in enumerate(get_args(FailureKind))}
NEW, DONE = len(SEEDS), len(SEEDS) + 1


@pytest.mark.parametrize(
    ("retry", "again"),
    [
        ("failed", {"error", "nan", "timeout", "oom", "killed", "skipped"}),
        ("timeout", {"timeout", "skipped"}),
        ("oom", {"oom", "skipped"}),
        ("none", {"skipped"}),
    ],
)
def test_failures_of_earlier_runs_are_tried_again_as_asked(out: Path, retry: Retry, again: set[FailureKind]) -> None:
    """A cell that was skipped has not failed: whether its data are there now is always looked at."""
    cells = {cell.seed: cell for cell in tiny(seeds=[*SEEDS.values(), NEW, DONE]).cells()}
    bench.run(tiny(seeds=[DONE]), out, jobs=1)
    store, before = Store(out), {kind: Failure(kind, f"as {kind}") for kind in SEEDS}
    for kind, seed in SEEDS.items():
        store.write_failure(cells[seed], before[kind])
    events: list[Event] = []
    bench.run(tiny(seeds=sorted(cells)), out, jobs=2, retry=retry, on_event=events.append)
    started = {event.cell.seed for event in events if isinstance(event, Started)}
    assert started == {SEEDS[kind] for kind in again} | {NEW}
    (planned,) = [event for event in events if isinstance(event, Planned)]
    assert {cell.seed for cell in planned.finished} == {DONE}
    kept = set(SEEDS) - again
    assert list(planned.failed) == [(cells[SEEDS[kind]], before[kind]) for kind in SEEDS if kind in kept]
    for kind, seed in SEEDS.items():
        assert store.failure(cells[seed]) == (before[kind] if kind in kept else None)
    assert set(RETRIES) == {"failed", "timeout", "oom", "none"}


@pytest.mark.parametrize("first", ["raises", "diverges", "hungry", "killed", "exits"])
def test_the_first_failure_ends_the_run_where_that_is_asked_for(out: Path, failing: str, first: str) -> None:
    import_plugins([failing])
    grid = tiny(algorithms=["maml", "sleeps", first, "reptile"])
    events: list[Event] = []
    with pytest.raises(FirstFailure) as caught:
        bench.run(grid, out, jobs=2, plugins=[failing], fail_fast=True, on_event=events.append)
    assert caught.value.cell.algorithm == first
    assert str(caught.value).startswith(f"{first}--sinusoid-5-shot--seed0--")
    assert [event.cell.algorithm for event in events if isinstance(event, Failed)] == [first]
    assert "reptile" not in [event.cell.algorithm for event in events if isinstance(event, Started)]
    assert statuses(out) == {"maml": "ok", first: caught.value.failure.kind}
    assert is_whole(out)
    assert not list((out / "cells/.leases").iterdir())


def test_a_skipped_cell_is_not_a_failure_that_ends_a_run(out: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    grid = tiny(datasets=[{"name": "omniglot-small", "shots": [1]}, {"name": "sinusoid", "shots": [5]}])
    results = bench.run(grid, out, data_root=tmp_path / "data", fail_fast=True)
    assert sorted(results.cells["status"]) == ["ok", "skipped"]
