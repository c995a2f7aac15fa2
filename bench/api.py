"""What the command line does, as functions for scripts and notebooks. They print nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

import datasets
from algorithms.engines.names import EngineName
from bench.analysis.leaderboard import leaderboard
from bench.execution.availability import reasons_to_skip
from bench.execution.cell_process import RunCell
from bench.execution.events import Event, Failed, OnEvent, ignore
from bench.execution.local import LocalExecutor
from bench.execution.queue import Retry, Share, plan
from bench.execution.remote import Cluster
from bench.process.plugins import import_plugins
from bench.protocol.checkpoint import CHECKPOINT_SECONDS
from bench.spec.cell import Cell
from bench.spec.grid import Grid, load_grid, parse_grid
from bench.store.leases import Leases
from bench.store.requested import record
from bench.store.settings import refuse_other_settings
from bench.store.store import Failure, Store
from datasets import UserError
from datasets.storage.reading import reading

DEFAULT_RESULTS = Path("results")
OtherSettings = Literal["refuse", "beside"]


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
        """A row per dataset, shape and algorithm, best first; see ``bench.analysis.leaderboard``."""
        return leaderboard(Store(self.path))


class FirstFailure(Exception):
    """A run that was to stop at the first failure did.

    Attributes:
        cell: which failed.
        failure: how.
    """

    def __init__(self, cell: Cell, failure: Failure) -> None:
        super().__init__(f"{cell.id}: {failure.kind}: {failure.message}")
        self.cell = cell
        self.failure = failure


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
    memory: int | None = None,
    checkpoint_every: float | None = CHECKPOINT_SECONDS,
    retry: Retry = "failed",
    fail_fast: bool = False,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
    cluster: Cluster | None = None,
    other_settings: OtherSettings = "refuse",
    command: str | None = None,
    on_event: OnEvent = ignore,
) -> Results:
    """Run the cells of ``grid`` that ``out`` does not hold yet, and give all that it holds then.

    Other runs on ``out``, of this machine or others, take their share of the cells; this returns when all have ended.

    Args:
        grid: a grid, the name of one in ``bench/spec/grids``, or a file.
        out: the experiment's folder; ``results/<grid name>`` by default.
        jobs: cells at work at once; by default the processors of this machine, or what a cluster has room for.
        device: a torch device.
        engine: how tasks are mapped; see ``algorithms.engines.task_network``. By default the quicker one for network
            and device.
        timeout: wall seconds that a cell may take.
        memory: bytes of resident memory that a cell's process may have.
        checkpoint_every: seconds between two checkpoints of a cell; None for none.
        retry: which failures of earlier runs are tried again; see ``bench.execution.queue.plan``.
        fail_fast: whether the first cell that fails ends the run, and the cells that are at work with it.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further algorithms or datasets.
        cluster: where the cells run if not here, such as ``bench.execution.ray.Ray()``. Devices, data and libraries
            are then looked for there.
        other_settings: what to do where ``out`` holds an algorithm's results on the same dataset and shape under other
            settings (anything but the seed): ``refuse``, or run ``beside`` them, as rows of their own.
        command: how the run was asked for, for ``experiment.json``; by default this call, in short.
        on_event: told of everything that happens.

    Raises:
        UserError: a mistake in the grid or the arguments, or other settings in ``out``, before anything runs; or
            ``CannotWrite``, where the folder cannot be written any more.
        FirstFailure: with ``fail_fast``.
    """
    import_plugins(plugins)
    grid = grid if isinstance(grid, Grid) else load_grid(grid)
    root = usable_data_root(data_root)
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs: got {jobs}; at least one cell must be at work")
    cells = grid.cells(device if cluster else usable_device(device), engine)
    missing = {} if cluster else reasons_to_skip(cells, root)
    store = Store(Path(out) if out is not None else DEFAULT_RESULTS / grid.name)
    if other_settings == "refuse":
        refuse_other_settings(cells, store)
    store.create()
    record(store, grid, command or f"bench.run({grid.name!r}, out={str(store.root)!r})")
    planned = plan(cells, store, retry)
    for cell, _ in planned.damaged:
        store.set_aside(cell)
    on_event(planned)
    there = {cell.id for cell in planned.finished} | {cell.id for cell, _ in planned.failed}
    waiting = [cell for cell in cells if cell.id not in there]
    for cell in waiting:
        if cell.id in missing:
            failure = Failure("skipped", missing[cell.id])
            store.write_failure(cell, failure)
            on_event(Failed(cell, failure))
    work, workers = RunCell(store, checkpoint_every), jobs or available_cpus()
    local = partial(LocalExecutor, work, root, workers, timeout, memory, plugins)
    with Leases(store.cells) as leases:
        share = Share([cell for cell in waiting if cell.id not in missing], store, leases, on_event)
        take = _stopping_at_failures(share.take) if fail_fast else share.take
        if cluster is None:
            local(wanted=share.wants).run(share, take)
        else:
            cluster.run(local(), store, share, jobs, take)
    store.tidy()
    return Results(store.root)


def _stopping_at_failures(on_event: OnEvent) -> OnEvent:
    """The same, and FirstFailure is raised after a cell failed; one that was skipped has not."""

    def take(event: Event) -> None:
        on_event(event)
        if isinstance(event, Failed):
            raise FirstFailure(event.cell, event.failure)

    return take


def load(path: Path | str) -> pd.DataFrame:
    """The cells of the experiment in a folder, a row each; ``Results(path)`` has its episodes and leaderboard too.

    Raises:
        UserError: the folder holds no results.
    """
    return Store(path).rows()


def usable_data_root(chosen: Path | str | None) -> Path:
    """The data root (see ``datasets.data_root``); raises UserError where it is no folder, or may not be seen."""
    root = datasets.data_root(chosen)
    with reading():
        is_other = root.exists() and not root.is_dir()
    if is_other:
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
