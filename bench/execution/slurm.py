"""Cells as Slurm jobs, for sites without Ray: job arrays, through submitit and a folder that all nodes share.

A job starts Python and runs one cell as a node of any cluster does. Its files are submitit's pickles, which are
executed when they are read: they lie in a folder of the experiment that only its owner can read, and are gone when
the run ends.
"""

from __future__ import annotations

import importlib
import math
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil

from bench.execution.cell_process import RunCell
from bench.execution.events import OnEvent, Started, ignore
from bench.execution.local import LocalExecutor
from bench.execution.remote import lost, next_cells, run_in_temporary_store, store_ended
from bench.process.identity import Identity, end_families, own_identity
from bench.process.scratch import remove_left
from bench.spec.cell import Cell
from bench.store.store import FailureKind, Store
from datasets import UserError

ARRAY = 1000  # cells in a job array: Slurm's own limit is 1001 unless a site sets another
AT_ONCE = 100
POLL_SECONDS = 0.5
CANCEL_SECONDS = 60.0  # that cancelled jobs may take to be gone
LONGEST_MINUTES = 24 * 60  # of a job whose cell has no time limit
KINDS: Mapping[str, FailureKind] = {"TIMEOUT": "timeout", "OUT_OF_MEMORY": "oom"}  # of jobs that Slurm ended, by state


@dataclass(frozen=True)
class Slurm:
    """A Slurm cluster.

    Attributes:
        cpus_per_cell: processors that each job asks for.
        gpus_per_cell: GPUs that each job asks for; Slurm gives whole ones.
        options: further options of sbatch by name, such as ``partition`` or ``account``; see submitit's documentation.
        mode: ``slurm``, or ``local`` for jobs that are processes of this machine, to try things out.
    """

    cpus_per_cell: float = 1.0
    gpus_per_cell: float = 0.0
    options: Mapping[str, str] = field(default_factory=dict)
    mode: Literal["slurm", "local"] = "slurm"

    def run(
        self, local: LocalExecutor, store: Store, cells: Iterable[Cell | None], jobs: int | None, on_event: OnEvent
    ) -> None:
        """See ``Cluster``; with more than ``ARRAY`` cells, one job array after the other."""
        submitit = _library()
        folder = Path(tempfile.mkdtemp(prefix=".slurm-", dir=store.root)).absolute()
        try:
            executor = self._executor(submitit, folder, local.timeout, jobs or AT_ONCE)
            run = partial(_run_owned, own_identity(), folder) if self.mode == "local" else run_in_temporary_store
            waiting, more = iter(cells), True
            while more:
                batch, more = next_cells(waiting, ARRAY)
                if batch:
                    _Array(submitit, run, local, store, on_event).all(executor, batch)
                elif more:
                    time.sleep(POLL_SECONDS)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _executor(self, submitit: Any, folder: Path, timeout: float | None, jobs: int) -> Any:
        if any(value != int(value) for value in (self.cpus_per_cell, self.gpus_per_cell)):
            raise UserError(
                "Slurm gives whole processors and GPUs, but got "
                f"{self.cpus_per_cell:g} for `cpus_per_cell=` and {self.gpus_per_cell:g} for `gpus_per_cell=`",
                "cluster",
            )
        parameters: dict[str, Any] = {
            "name": "bench",
            "timeout_min": LONGEST_MINUTES if timeout is None else math.ceil(timeout / 60) + 5,
            "cpus_per_task": int(self.cpus_per_cell),
            "slurm_array_parallelism": jobs,
        }
        if self.gpus_per_cell:
            parameters["gpus_per_node"] = int(self.gpus_per_cell)
        try:
            executor = submitit.AutoExecutor(folder, cluster=self.mode)
            executor.update_parameters(**parameters, **{f"slurm_{name}": value for name, value in self.options.items()})
        except (NameError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"Slurm: {reason[:200]}", "cluster") from None
        return executor


@dataclass
class _Array:
    """The cells of one job array, and their state."""

    submitit: Any
    run: Callable[..., Any]
    local: LocalExecutor
    store: Store
    on_event: OnEvent
    pending: dict[str, tuple[Cell, Any]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def all(self, executor: Any, cells: Sequence[Cell]) -> None:
        """Submit them, and take in what comes of each."""
        submitted = time.monotonic()
        attempts = [RunCell(self.store).attempt(cell) for cell in cells]
        count = len(cells)
        handles = executor.map_array(self.run, [self.local] * count, cells, attempts, [1] * count, [ignore] * count)
        self.pending = {cell.id: (cell, handle) for cell, handle in zip(cells, handles, strict=True)}
        try:
            while self.pending:
                for cell, handle in list(self.pending.values()):
                    ended = handle.done()
                    if ended or handle.state == "RUNNING":
                        self._start(cell)
                    if ended:
                        del self.pending[cell.id]
                        self._finish(cell, handle, time.monotonic() - submitted)
                time.sleep(POLL_SECONDS)
        finally:
            self._cancel([handle for _, handle in self.pending.values()])

    def _cancel(self, handles: Sequence[Any]) -> None:
        """Cancel jobs, and wait until they are gone.

        Raises:
            UserError: some are still there after ``CANCEL_SECONDS``.
        """
        if isinstance(self.run, partial):  # submitit's own way is a signal that a process of its may not heed
            end_families([int(handle.job_id) for handle in handles])
            remove_left()
        else:
            for handle in handles:
                handle.cancel(check=False)
        deadline = time.monotonic() + CANCEL_SECONDS
        while left := [str(handle.job_id) for handle in handles if not handle.done(force_check=True)]:
            if time.monotonic() >= deadline:
                names = " ".join(left)
                raise UserError(
                    f"jobs are still there {CANCEL_SECONDS:g} s after they were cancelled; `scancel {names}`"
                )
            time.sleep(POLL_SECONDS)

    def _start(self, cell: Cell) -> None:
        if cell.id not in self.started:
            self.started.add(cell.id)
            self.on_event(Started(cell))

    def _finish(self, cell: Cell, handle: Any, seconds: float) -> None:
        try:
            ended = handle.result()
        except self.submitit.core.utils.FailedJobError as error:
            lost(self.store, cell, "error", error, _last_line(error), seconds, self.on_event)
        except self.submitit.core.utils.UncompletedJobError as error:
            state = str(handle.state)
            message = f"Slurm ended its job ({state})"
            lost(self.store, cell, KINDS.get(state, "killed"), error, message, seconds, self.on_event)
        else:
            store_ended(self.store, cell, ended, self.on_event)


def _run_owned(owner: Identity, folder: Path, *arguments: Any) -> Any:
    """``run_in_temporary_store`` in a job that ends with its run, and with the process of submitit's that started it.

    Slurm ends all of a cancelled job itself; submitit's stand-in for it on one machine does not, and its jobs live on
    without their run. What a job writes on its way lies in ``folder``, which the run removes. Its fork server would end
    by itself some time after it, and is ended before it.
    """
    threading.Thread(target=_end_without, args=(owner, os.getppid()), name="owner", daemon=True).start()
    tempfile.tempdir = str(folder)
    try:
        return run_in_temporary_store(*arguments)
    finally:
        end_families([child.pid for child in psutil.Process().children()])


def _end_without(owner: Identity, parent: int) -> None:
    while parent != 1 and os.getppid() == parent and not owner.is_dead():  # 1 takes in those whose parent is gone
        time.sleep(POLL_SECONDS)
    os._exit(1)


def _last_line(error: BaseException) -> str:
    """Return what a job's own error says, which submitit wraps into lines of its own."""
    lines = [line for line in str(error).split("----------------------")[1].splitlines() if line.strip()]
    return lines[-1]


def _library() -> Any:
    try:
        return importlib.import_module("submitit")
    except ModuleNotFoundError:
        raise UserError(
            "submitit is not installed; `uv sync --extra slurm`, or `pip install submitit`", "cluster"
        ) from None
