"""The benchmark of many cells does what it says, on few of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.execution.events import Event, Finished, Planned, Started
from tests.benchmarks.many_cells import STEPS, fill, grid_of, light_grid, watch


def test_the_grids_have_as_many_cells_as_asked_for() -> None:
    assert len(grid_of(10_000).cells()) == len({cell.id for cell in grid_of(10_000).cells()}) == 10_000
    assert len(light_grid(30).cells()) == 30


def test_what_is_made_up_is_a_finished_experiment(tmp_path: Path) -> None:
    flush, grid = os.fsync, grid_of(40)
    fill(grid, tmp_path)
    assert os.fsync is flush
    rows = bench.load(tmp_path)
    assert set(rows["cell"]) == {cell.id for cell in grid.cells()}
    assert set(rows["status"]) == {"ok"}
    scores = bench.Results(tmp_path).episodes.groupby(["algorithm", "shape", "seed"])["mse"].mean().dropna()
    assert scores.nunique() == len(scores) == 20
    events: list[Event] = []
    bench.run(grid, tmp_path, on_event=events.append)
    assert [type(event) for event in events] == [Planned]


@pytest.mark.parametrize("name", [name for name in STEPS if name.startswith(("plan", "progress"))])
def test_steps_that_need_no_results_run(name: str) -> None:
    STEPS[name](grid_of(20), Path())


def test_all_cells_are_told_of() -> None:
    told: list[Event] = []

    def make() -> Callable[[Event], None]:
        return told.append

    watch(grid_of(20), make)
    assert [sum(isinstance(event, kind) for event in told) for kind in (Planned, Started, Finished)] == [1, 20, 20]
