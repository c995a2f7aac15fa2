"""Run a grid in this process or in processes of its own: what ``tests.repro.conditions`` starts.

``python -m tests.repro.child GRID OUT JOBS ORDER`` goes through the cells in an order drawn from ORDER and prints a
line for each that is finished. With 0 JOBS there are no further processes: one cell after the other, here.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import bench
from bench.execution.events import Event, Finished
from bench.execution.in_process import execute
from bench.spec.grid import Grid, load_grid
from bench.store.store import Store
from datasets.storage.reading import usable_data_root


def shuffled(grid: Grid, order: int) -> Grid:
    """The same cells in another order."""
    draw = random.Random(order)
    changes = {name: draw.sample(getattr(grid, name), len(getattr(grid, name))) for name in ("algorithms", "datasets")}
    changes["seeds"] = draw.sample(grid.seeds, len(grid.seeds))
    return grid.model_copy(update={name: tuple(values) for name, values in changes.items()})


def run_here(grid: Grid, out: Path) -> None:
    """Without an executor, so that nothing but the cells themselves keeps them apart."""
    store = Store(out)
    store.create()
    for cell in grid.cells():
        outcome, measured = execute(cell, usable_data_root(None), 1, lambda progress: None)
        store.write_result(cell, outcome, measured)
        print("ok", cell.id, flush=True)


def tell(event: Event) -> None:
    """A line for each finished cell."""
    if isinstance(event, Finished):
        print("ok", event.cell.id, flush=True)


def main(name: str, out: str, jobs: str, order: str) -> None:
    """See the module's words."""
    grid = shuffled(load_grid(name), int(order)) if int(order) else load_grid(name)
    if int(jobs):
        bench.run(grid, out, jobs=int(jobs), on_event=tell)
    else:
        run_here(grid, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
