"""Measure how a grid of ten thousand cells is planned, resumed and reported, and what the harness adds to a cell.

``python -m tests.benchmarks.many_cells [--cells 10000] [--run 100]`` fills a folder with made-up results, times what
is done with so many, each step in a process of its own with its peak of memory, and then runs ``--run`` cells of
milliseconds with one job, with two, and on a Ray cluster of this machine where Ray is installed. Times of a machine
that has other work to do are too long; the overhead per cell compares with the same cells run in a row without harness.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

import bench
from bench.cli.progress import Board, Lines
from bench.execution.events import Event, Finished, OnEvent, Planned, Started, ignore
from bench.execution.in_process import execute
from bench.execution.ray import Ray
from bench.execution.remote import Cluster
from bench.process.memory import peak_resident_mib
from bench.protocol.outcome import Outcome
from bench.report.write import write_report
from bench.spec.grid import Grid, parse_grid
from bench.store.store import Store

ALGORITHMS = ["maml", "fomaml", "reptile", "meta-sgd", "finetune"]
SHAPES = [
    {"name": "sinusoid", "shots": [5, 10], "network": {"hidden": [8]}},
    {"name": "glyphs", "ways": [3, 5], "shots": [1], "network": {"channels": 4}},
]


def grid_of(n_cells: int) -> Grid:
    """So many cells: five algorithms, four shapes, and as many seeds as it takes."""
    return parse_grid(
        {
            "name": "many",
            "algorithms": ALGORITHMS,
            "datasets": SHAPES,
            "seeds": list(range(-(-n_cells // 20))),
            "train": {"episodes": 8, "n_query": 2, "eval_every": 2},
            "evaluation": {"val_episodes": 2, "test_episodes": 20, "n_query": 2},
            "settings": [{"set": {"meta_batch": 4, "test_steps": 2}}],
        }
    )


def fill(grid: Grid, folder: Path) -> None:
    """Store a result for each cell: that of its kind's first seed, with other scores."""
    store, made = Store(folder), dict[tuple[str, str], tuple[Outcome, dict[str, object]]]()
    store.create()
    store.write_experiment({"grids": [grid.model_dump(mode="json")]})
    flush, os.fsync = os.fsync, lambda descriptor: None  # what is made up need not outlive a power cut
    try:
        for number, cell in enumerate(grid.cells()):
            kind = (cell.algorithm, cell.shape)
            if kind not in made:
                made[kind] = execute(cell, Path(), 1, lambda progress: None)
            outcome, measured = made[kind]
            name = "mse" if "mse" in outcome.episodes else "nll_transductive"
            shifted = outcome.episodes[name] * (1 + number % 97 / 1000)
            store.write_result(cell, replace(outcome, episodes=outcome.episodes.assign(**{name: shifted})), measured)
    finally:
        os.fsync = flush


def watch(grid: Grid, make: Callable[[], OnEvent], each: Callable[[OnEvent], object] = lambda watcher: None) -> None:
    """Tell of all cells starting and ending, as a run does."""
    cells, on_event = tuple(grid.cells()), make()
    on_event(Planned(cells, ()))
    for number, cell in enumerate(cells):
        on_event(Started(cell))
        on_event(Finished(cell, 0.5, 1.0))
        if number % 100 == 0:
            each(on_event)


def show_lines(grid: Grid) -> None:
    """The lines that a run prints where there is no terminal."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        watch(grid, lambda: Lines(Console(file=nowhere), 2).handle)


def show_board(grid: Grid) -> None:
    """The table that a run shows in a terminal, drawn a hundred times."""
    board = Board(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, width=120)
        watch(grid, lambda: board.handle, lambda _: console.print(board.render()))


STEPS: Mapping[str, Callable[[Grid, Path], object]] = {
    "plan: the grid and its cells": lambda grid, folder: [cell.id for cell in grid.cells()],
    "resume: nothing left to run": lambda grid, folder: bench.run(grid, folder),
    "rows of all cells": lambda grid, folder: bench.load(folder),
    "episodes of all cells": lambda grid, folder: Store(folder).episodes(),
    "leaderboard": lambda grid, folder: bench.Results(folder).leaderboard,
    "report: page, tables, figures": lambda grid, folder: write_report(folder, folder / "report"),
    "progress as lines": lambda grid, folder: show_lines(grid),
    "progress as a table": lambda grid, folder: show_board(grid),
}


def step(name: str, n_cells: int, folder: Path) -> None:
    """One step, timed without the imports, in this process."""
    before, started = peak_resident_mib(), time.perf_counter()
    STEPS[name](grid_of(n_cells), folder)
    print(
        f"| {name} | {time.perf_counter() - started:.1f} | {peak_resident_mib():.0f} ({before:.0f} before) |",
        flush=True,
    )


def throughput(n_cells: int, jobs: int, cluster: Cluster | None) -> tuple[float, float]:
    """Cells per second, and seconds from one ended cell to the next for each job; from the first cell to the last."""
    ended: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Finished):
            ended.append(time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="bench-many-") as folder:
        bench.run(light_grid(n_cells), folder, jobs=jobs, cluster=cluster, on_event=on_event)
    seconds = (ended[-1] - ended[0]) / (len(ended) - 1)
    return 1 / seconds, seconds * jobs


def light_grid(n_cells: int) -> Grid:
    """Cells of milliseconds: a closed form, four test episodes."""
    content = grid_of(n_cells).model_dump(mode="json") | {"algorithms": ["oracle"], "seeds": list(range(n_cells))}
    content |= {"datasets": [{"name": "sinusoid", "shots": [5]}]}
    content |= {"evaluation": {"val_episodes": 2, "test_episodes": 4, "n_query": 2}}
    return parse_grid(content)


def bare(n_cells: int) -> float:
    """Seconds per cell of the protocol alone, in this process, without processes, store or events."""
    cells = light_grid(n_cells).cells()
    execute(cells[0], Path(), 1, ignore)
    started = time.perf_counter()
    for cell in cells:
        execute(cell, Path(), 1, ignore)
    return (time.perf_counter() - started) / n_cells


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--run", type=int, default=100)
    parser.add_argument("--step", choices=list(STEPS))
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.step:
        step(asked.step, asked.cells, asked.folder)
        return
    with tempfile.TemporaryDirectory(prefix="bench-many-") as folder:
        started = time.perf_counter()
        fill(grid_of(asked.cells), Path(folder))
        print(f"{asked.cells} cells written in {time.perf_counter() - started:.0f} s\n")
        print("| step | seconds | peak MiB |\n| --- | --- | --- |", flush=True)
        for name in STEPS:
            options = ["--cells", str(asked.cells), "--step", name, "--folder", folder]
            subprocess.run([sys.executable, "-m", "tests.benchmarks.many_cells", *options], check=True)
    alone = bare(asked.run)
    print(f"\nwithout harness: {1000 * alone:.1f} ms per cell\n")
    print("| executor | cells per second | overhead ms per cell |\n| --- | --- | --- |")
    kinds: dict[str, tuple[int, Cluster | None]] = {"local, 1 job": (1, None), "local, 2 jobs": (2, None)}
    if importlib.util.find_spec("ray"):
        kinds["ray, 2 processors"] = (2, Ray())
    for name, (jobs, cluster) in kinds.items():
        rate, seconds = throughput(asked.run, jobs, cluster)
        print(f"| {name} | {rate:.1f} | {1000 * (seconds - alone):.0f} |", flush=True)


if __name__ == "__main__":
    main()
