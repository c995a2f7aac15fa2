"""What the command line does, as functions for scripts and notebooks. They print nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from algorithms.engines.names import EngineName
from bench.analysis.leaderboard import leaderboard
from bench.execution.events import OnEvent, ignore
from bench.execution.queue import Retry
from bench.execution.remote import Cluster
from bench.execution.run import OtherSettings, run_grid
from bench.protocol.checkpoint import CHECKPOINT_SECONDS
from bench.spec.grid import Grid
from bench.store.store import Store


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
        jobs: cells that run in parallel; by default the processors of this machine, or what a cluster has room for.
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
    store = run_grid(
        grid,
        out,
        jobs=jobs,
        device=device,
        engine=engine,
        timeout=timeout,
        memory=memory,
        checkpoint_every=checkpoint_every,
        retry=retry,
        fail_fast=fail_fast,
        data_root=data_root,
        plugins=plugins,
        cluster=cluster,
        other_settings=other_settings,
        command=command,
        on_event=on_event,
    )
    return Results(store.root)


def load(path: Path | str) -> pd.DataFrame:
    """The cells of the experiment in a folder, a row each; ``Results(path)`` has its episodes and leaderboard too.

    Raises:
        UserError: the folder holds no results.
    """
    return Store(path).rows()
