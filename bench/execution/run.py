"""A run: the cells of a grid that the experiment lacks, carried out here or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from algorithms.engines.names import EngineName, PrecisionName
from algorithms.engines.precision import check_processor
from bench.execution.availability import reasons_to_skip
from bench.execution.cell_process import RunCell
from bench.execution.events import Event, Failed, OnEvent, ignore
from bench.execution.local import LocalExecutor
from bench.execution.queue import Retry, Share, plan
from bench.execution.remote import Cluster
from bench.process.plugins import import_plugins
from bench.process.resources import available_cpus, usable_device
from bench.protocol.checkpoint import CHECKPOINT_SECONDS
from bench.spec.cell import Cell
from bench.spec.grid import Grid, load_grid
from bench.store.leases import Leases
from bench.store.requested import record
from bench.store.settings import refuse_other_settings
from bench.store.store import Failure, Store
from datasets import UserError
from datasets.core.registry import suggest
from datasets.storage.reading import usable_data_root

DEFAULT_RESULTS = Path("results")
OtherSettings = Literal["refuse", "beside"]


class FirstFailure(Exception):
    """Raised when a cell failed in a run with ``fail_fast``.

    Attributes:
        cell: which failed.
        failure: how.
    """

    def __init__(self, cell: Cell, failure: Failure) -> None:
        super().__init__(f"{cell.id}: {failure.kind}: {failure.message}")
        self.cell = cell
        self.failure = failure


class RunOptions(TypedDict, total=False):
    """Options of a run that do not belong to its cells; each key may be left out.

    Attributes:
        jobs: cells that run in parallel; by default the processors of this machine, or what a cluster has room for.
        device: a torch device; ``"cpu"`` by default.
        engine: how tasks are mapped; see ``algorithms.engines.task_network``. By default the quicker one for network
            and device.
        precision: of the networks' bodies, such as ``"bf16"``; float32 by default.
        timeout: wall seconds that a cell may take; no limit by default.
        memory: bytes of resident memory that a cell's process may have; no limit by default.
        checkpoint_every: seconds between two checkpoints of a cell, 600 by default; None for none.
        retry: which failures of earlier runs are tried again, all by default; see ``bench.execution.queue.plan``.
        fail_fast: whether the first cell that fails ends the run, with the cells that are running.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further algorithms or datasets.
        cluster: where the cells run if not here, such as ``bench.execution.ray.Ray()``. Devices, data and libraries
            are then looked for there.
        other_settings: what to do where the folder holds an algorithm's results on the same dataset and shape under
            other settings (anything but the seed): ``refuse``, the default, or run ``beside`` them, as rows of their
            own.
        command: how the run was asked for, for ``experiment.json``; by default a call of ``bench.run``, in short.
    """

    jobs: int | None
    device: str
    engine: EngineName | None
    precision: PrecisionName | None
    timeout: float | None
    memory: int | None
    checkpoint_every: float | None
    retry: Retry
    fail_fast: bool
    data_root: Path | str | None
    plugins: Sequence[str]
    cluster: Cluster | None
    other_settings: OtherSettings
    command: str | None


DEFAULTS: RunOptions = {
    "jobs": None,
    "device": "cpu",
    "engine": None,
    "precision": None,
    "timeout": None,
    "memory": None,
    "checkpoint_every": CHECKPOINT_SECONDS,
    "retry": "failed",
    "fail_fast": False,
    "data_root": None,
    "plugins": (),
    "cluster": None,
    "other_settings": "refuse",
    "command": None,
}


def folder_of(name: str, out: Path | str | None) -> Path:
    """Return the folder of an experiment: ``out``, or by default ``results/<grid name>``."""
    return Path(out) if out is not None else DEFAULT_RESULTS / name


def run_grid(
    grid: Grid | str | Path, out: Path | str | None = None, on_event: OnEvent = ignore, **options: Unpack[RunOptions]
) -> Store:
    """Run the cells of a grid that a folder does not hold yet.

    Args:
        grid: a grid, the name of one in ``bench/spec/grids``, or a file.
        out: the experiment's folder; ``results/<grid name>`` by default.
        on_event: called with everything that happens.
        options: how the cells are run; see ``RunOptions``.

    Returns:
        the experiment's store.

    Raises:
        UserError: a mistake in the grid or the options, or other settings in ``out``, before anything runs; or
            ``CannotWrite``, where the folder cannot be written any more.
        FirstFailure: with ``fail_fast``.
        TypeError: there is no such option.
    """
    for name in options:
        if name not in DEFAULTS:
            raise TypeError(f"a run has no option '{name}'{suggest(name, list(DEFAULTS))}")
    settings = DEFAULTS | options
    import_plugins(settings["plugins"])
    grid = grid if isinstance(grid, Grid) else load_grid(grid)
    root, jobs, cluster = usable_data_root(settings["data_root"]), settings["jobs"], settings["cluster"]
    if jobs is not None and jobs < 1:
        raise UserError(f"got {jobs}; use a whole number from 1", "jobs")
    if not cluster:
        check_processor(settings["precision"])
    device = settings["device"] if cluster else usable_device(settings["device"])
    cells = grid.cells(device, settings["engine"], settings["precision"])
    missing = {} if cluster else reasons_to_skip(cells, root)
    store = Store(folder_of(grid.name, out))
    if settings["other_settings"] == "refuse":
        refuse_other_settings(cells, store)
    store.create()
    record(store, grid, settings["command"] or f"bench.run({grid.name!r}, out={str(store.root)!r})")
    planned = plan(cells, store, settings["retry"])
    for cell, _ in planned.damaged:
        store.set_aside(cell)
    on_event(planned)
    done = {cell.id for cell in planned.finished} | {cell.id for cell, _ in planned.failed}
    waiting = [cell for cell in cells if cell.id not in done]
    for cell in waiting:
        if cell.id in missing:
            failure = Failure("skipped", missing[cell.id])
            store.write_failure(cell, failure)
            on_event(Failed(cell, failure))
    work, workers = RunCell(store, settings["checkpoint_every"]), jobs or available_cpus()
    local = partial(LocalExecutor, work, root, workers, settings["timeout"], settings["memory"], settings["plugins"])
    with Leases(store.cells) as leases:
        share = Share([cell for cell in waiting if cell.id not in missing], store, leases, on_event)
        handle = _stopping_at_failures(share.handle) if settings["fail_fast"] else share.handle
        if cluster is None:
            local(wanted=share.wants).run(share, handle)
        else:
            cluster.run(local(), store, share, jobs, handle)
    store.tidy()
    return store


def _stopping_at_failures(on_event: OnEvent) -> OnEvent:
    """The same, and FirstFailure is raised after a cell failed; one that was skipped has not."""

    def handle(event: Event) -> None:
        on_event(event)
        if isinstance(event, Failed):
            raise FirstFailure(event.cell, event.failure)

    return handle
