"""A run: the cells of a grid that the experiment lacks, carried out here or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from algorithms.engines.names import EngineName
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
from datasets.storage.reading import usable_data_root

DEFAULT_RESULTS = Path("results")
OtherSettings = Literal["refuse", "beside"]


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


def run_grid(
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
) -> Store:
    """Run the cells of ``grid`` that ``out`` does not hold yet; see ``bench.run``, which documents the arguments.

    Returns:
        the experiment's store.

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
    return store


def _stopping_at_failures(on_event: OnEvent) -> OnEvent:
    """The same, and FirstFailure is raised after a cell failed; one that was skipped has not."""

    def take(event: Event) -> None:
        on_event(event)
        if isinstance(event, Failed):
            raise FirstFailure(event.cell, event.failure)

    return take
