"""What the command line does, as functions for scripts and notebooks. They print nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

import datasets
from algorithms.task_map import EngineName
from bench.available import reasons_to_skip
from bench.events import Failed, OnEvent, Planned, ignore
from bench.executors.apart import Cluster
from bench.executors.local import LocalExecutor
from bench.executors.work import RunCell
from bench.report.leaderboard import leaderboard
from bench.spec import Grid, load_grid, parse_grid
from bench.store import Failure, Store
from bench.worker import import_plugins
from datasets import UserError

DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class Results:
    """An experiment on disk.

    Attributes:
        path: its folder.
    """

    path: Path

    @property
    def cells(self) -> pd.DataFrame:
        """A row per cell: specification, status, summary numbers, digests."""
        return Store(self.path).rows()

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of the cells that ended without a result."""
        cells = self.cells
        return cells[cells["status"] != "ok"]

    @property
    def episodes(self) -> pd.DataFrame:
        """A row per finished cell, test episode and inner step."""
        return Store(self.path).episodes()

    @property
    def leaderboard(self) -> pd.DataFrame:
        """A row per dataset, shape and algorithm, best first; see ``bench.report.leaderboard``."""
        return leaderboard(Store(self.path))


def available_cpus() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def narrowed(
    grid: Grid,
    algorithms: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> Grid:
    """The part of a grid that has these algorithms, datasets, shots and seeds.

    Algorithms and seeds that the grid lacks are added to it; datasets and shots must be in it.

    Raises:
        UserError: a name is unknown, or nothing is left.
    """
    content = grid.model_dump()
    if algorithms:
        content["algorithms"] = tuple(algorithms)
    if seeds:
        content["seeds"] = tuple(seeds)
    uses = list(grid.datasets)
    if datasets:
        for name in datasets:
            if name not in [use.name for use in uses]:
                known = ", ".join(use.name for use in uses)
                raise UserError(f"--datasets: grid '{grid.name}' has no dataset '{name}'; it has: {known}")
        uses = [use for use in uses if use.name in datasets]
    if shots:
        known_shots = sorted({n for use in uses for n in use.shots})
        if unknown := [n for n in shots if n not in known_shots]:
            known = ", ".join(map(str, known_shots))
            raise UserError(f"--shots: grid '{grid.name}' has no cells with {unknown[0]}; it has: {known}")
        kept = [(use, tuple(n for n in use.shots if n in shots)) for use in uses]
        uses = [use.model_copy(update={"shots": left}) for use, left in kept if left]
    content["datasets"] = tuple(use.model_dump() for use in uses)
    return parse_grid(content, f"grid '{grid.name}'")


def run(
    grid: Grid | str | Path,
    out: Path | str | None = None,
    *,
    jobs: int | None = None,
    device: str = "cpu",
    engine: EngineName | None = None,
    timeout: float | None = None,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
    cluster: Cluster | None = None,
    on_event: OnEvent = ignore,
) -> Results:
    """Run the cells of ``grid`` that ``out`` does not hold yet, and give all that it holds then.

    Args:
        grid: a grid, the name of one in ``bench/grids``, or a file.
        out: the experiment's folder; ``results/<grid name>`` by default.
        jobs: cells at work at once; by default the processors of this machine, or what a cluster has room for.
        device: a torch device.
        engine: how tasks are mapped; see ``algorithms.task_map``. By default the quicker one for network and device.
        timeout: wall seconds that a cell may take.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further algorithms or datasets.
        cluster: where the cells run if not here, such as ``bench.executors.ray.Ray()``. Devices, data and libraries
            are then looked for there.
        on_event: told of everything that happens.

    Raises:
        UserError: a mistake in the grid or the arguments, before anything runs.
    """
    import_plugins(plugins)
    grid = grid if isinstance(grid, Grid) else load_grid(grid)
    root = usable_data_root(data_root)
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs: got {jobs}; at least one cell must be at work")
    cells = grid.cells(device if cluster else usable_device(device), engine)
    missing = {} if cluster else reasons_to_skip(cells, root)
    store = Store(Path(out) if out is not None else DEFAULT_RESULTS / grid.name)
    store.create()
    store.write_experiment({"grid": grid.model_dump(mode="json")})
    finished = {cell.id: cell for cell in cells if store.has_result(cell)}
    on_event(Planned(tuple(cells), tuple(finished.values())))
    waiting = [cell for cell in cells if cell.id not in finished]
    for cell in waiting:
        if cell.id in missing:
            failure = Failure("skipped", missing[cell.id])
            store.write_failure(cell, failure)
            on_event(Failed(cell, failure))
    left = [cell for cell in waiting if cell.id not in missing]
    local = LocalExecutor(RunCell(store), root, jobs or available_cpus(), timeout, plugins)
    if cluster is None:
        local.run(left, on_event)
    else:
        cluster.run(local, store, left, jobs, on_event)
    return Results(store.root)


def load(path: Path | str) -> pd.DataFrame:
    """The cells of the experiment in a folder, a row each; ``Results(path)`` has its episodes and leaderboard too.

    Raises:
        UserError: the folder holds no results.
    """
    return Store(path).rows()


def usable_data_root(chosen: Path | str | None) -> Path:
    """The data root (see ``datasets.data_root``); raises UserError where it is something else than a folder."""
    root = datasets.data_root(chosen)
    if root.exists() and not root.is_dir():
        raise UserError(f"--data-root: {root} is not a folder; give the one that holds the datasets")
    return root


def usable_device(name: str) -> str:
    """``name`` where torch can use that device; raises UserError otherwise."""
    try:
        torch.zeros(1, device=torch.device(name)).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"--device: cannot use '{name}' ({reason}); `python -m bench doctor` says what is there"
        ) from None
    return name
