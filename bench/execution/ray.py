"""Cells on a Ray cluster: a task each, in which the node runs the cell in a process of its own and sends it back.

The tasks' Ray processes stay for the next cell, with the fork server that starts cells in milliseconds; the cells'
own processes do not. Tasks with GPUs get a new Ray process each, because Ray tells them their GPU by a variable.
"""

from __future__ import annotations

import importlib
import math
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.execution.cell_process import RunCell
from bench.execution.events import Event, OnEvent, Progressed, Started
from bench.execution.local import GRACE_SECONDS, LocalExecutor
from bench.execution.remote import EndedCell, lost, next_cells, run_in_temporary_store, store_ended
from bench.process.scratch import base_for_sockets
from bench.spec.cell import Cell
from bench.store.store import FailureKind, Store
from datasets import UserError
from datasets.core.printable import first_line_of

POLL_SECONDS = 0.1
CONNECT_SECONDS = 5.0
TELL_SECONDS = 0.5  # between two reports of a cell's progress
WINDOW = 1000  # cells handed to Ray at once: enough for any cluster, few enough to look at in a moment
SESSION_BYTES = 75  # of path that Ray adds for its sockets
OBJECT_STORE_BYTES = 200 * 2**20  # of a cluster that is started here: results are read as soon as they come


@dataclass(frozen=True)
class Ray:
    """A Ray cluster.

    Attributes:
        address: of one that runs already (``auto``: the one that this machine belongs to); None starts one here.
        cpus_per_cell: processors that each cell takes; a cell computes on one thread.
        gpus_per_cell: GPUs that each cell takes, such as 0.25 for four cells on a GPU.
        retries: how often a cell is started again whose node or Ray process was lost.
    """

    address: str | None = None
    cpus_per_cell: float = 1.0
    gpus_per_cell: float = 0.0
    retries: int = 3

    def run(
        self, local: LocalExecutor, store: Store, cells: Iterable[Cell | None], jobs: int | None, on_event: OnEvent
    ) -> None:
        """See ``Cluster``."""
        ray = _library()
        with self._connected(ray, jobs or local.jobs) as here_for_us:
            at_once = WINDOW if here_for_us else jobs or WINDOW
            _Run(self, ray, local, store, on_event).all(cells, at_once)

    @contextmanager
    def _connected(self, ray: Any, jobs: int) -> Iterator[bool]:
        """A connection, which may be there already or else ends with the block; whether the cluster does too.

        A cluster that is started here has as many processors as ``jobs`` cells take.
        """
        if ray.is_initialized():
            yield False
            return
        options: dict[str, Any] = {"address": self.address}
        if self.address is None:
            options = {"address": "local", "num_cpus": jobs * self.cpus_per_cell, "include_dashboard": False}
            options["object_store_memory"] = OBJECT_STORE_BYTES
            if (base := base_for_sockets(SESSION_BYTES)) != Path(tempfile.gettempdir()):  # TMPDIR is too long for it
                options["_temp_dir"] = str(base / "ray")
        else:
            _check_reachable(self.address)
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"no Ray cluster at '{self.address}' ({reason}); see `ray status`", "address") from None
        try:
            yield self.address is None
        finally:
            ray.shutdown()


@dataclass
class _Run:
    """The cells of one run that were handed to Ray, and their state."""

    cluster: Ray
    ray: Any
    local: LocalExecutor
    store: Store
    on_event: OnEvent
    pending: dict[Any, Cell] = field(default_factory=dict)
    submitted: dict[str, float] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def all(self, cells: Iterable[Cell | None], at_once: int) -> None:
        """Run them, so many in Ray's hands at once."""
        ray, cluster = self.ray, self.cluster
        here = ray.get_runtime_context().get_node_id()
        strategy = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(here, False)
        board = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=strategy).remote()
        resources = {"num_cpus": cluster.cpus_per_cell, "num_gpus": cluster.gpus_per_cell}
        task = ray.remote(**resources, max_retries=cluster.retries)(_task)
        waiting, more, events = iter(cells), True, board.drain.remote()
        try:
            while more or self.pending:
                batch, more = next_cells(waiting, at_once - len(self.pending))
                for cell in batch:
                    attempt = RunCell(self.store).attempt(cell)
                    self.pending[task.remote(self.local, cell, attempt, cluster.cpus_per_cell, board)] = cell
                    self.submitted[cell.id] = time.monotonic()
                if not self.pending:
                    time.sleep(POLL_SECONDS)
                    continue
                ended, _ = ray.wait(list(self.pending), num_returns=len(self.pending), timeout=POLL_SECONDS)
                for reference in ended:  # first, so that none seem to run beside those that follow them
                    self._finish(reference)
                if ray.wait([events], timeout=0)[0]:  # the board takes seconds to start, which nothing waits for
                    for event in ray.get(events):
                        self._tell(event)
                    events = board.drain.remote()
        finally:
            self._cancel()
            ray.kill(board)

    def _tell(self, event: Event) -> None:
        """Pass on what a node tells; a cell that started again on another node starts once."""
        if isinstance(event, Started):
            if event.cell.id not in self.started:
                self.started.add(event.cell.id)
                self.on_event(event)
        elif isinstance(event, Progressed) and event.cell.id in self.submitted:
            self._tell(Started(event.cell))
            self.on_event(event)

    def _finish(self, reference: Any) -> None:
        """Take in a cell that has ended, or has not come back."""
        cell, exceptions = self.pending.pop(reference), self.ray.exceptions
        seconds = time.monotonic() - self.submitted.pop(cell.id)
        self._tell(Started(cell))
        kind: FailureKind
        try:
            ended: EndedCell = self.ray.get(reference)
        except exceptions.RayTaskError as error:
            kind, message, problem = "error", _first_line(error.cause), error
        except exceptions.OutOfMemoryError as error:
            kind, message, problem = "oom", "Ray ended it because its node was running out of memory", error
        except exceptions.RayError as error:
            kind, problem = "killed", error
            message = f"its node or Ray process was lost {self.cluster.retries + 1} times ({_first_line(error)})"
        else:
            store_ended(self.store, cell, ended, self.on_event)
            return
        lost(self.store, cell, kind, problem, message, seconds, self.on_event)

    def _cancel(self) -> None:
        """End what is still with Ray: the nodes end their cells' processes, and then nothing is left of them."""
        left = list(self.pending)
        for reference in left:
            self.ray.cancel(reference)
        if left:
            _, alive = self.ray.wait(left, num_returns=len(left), timeout=2 * GRACE_SECONDS)
            for reference in alive:
                self.ray.cancel(reference, force=True)


class _Board:
    """Progress of the cells, written by the nodes; an actor on the run's node, which lives as long as the run."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def tell(self, event: Event) -> None:
        self._events.append(event)

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _task(local: LocalExecutor, cell: Cell, attempt: int, cpus_per_cell: float, board: Any) -> EndedCell:
    """On a node."""
    ray = _library()
    here = ray.get_runtime_context().get_node_id()
    cpus = next((node["Resources"].get("CPU", 1.0) for node in ray.nodes() if node["NodeID"] == here), 1.0)
    jobs = max(int(cpus / cpus_per_cell), 1) if cpus_per_cell else 1
    return run_in_temporary_store(local, cell, attempt, jobs, _sparingly(board.tell.remote))


def _sparingly(tell: Callable[[Event], object]) -> OnEvent:
    """Progress at most every ``TELL_SECONDS``, everything else at once."""
    last = -math.inf

    def on_event(event: Event) -> None:
        nonlocal last
        if isinstance(event, Progressed):
            now = time.monotonic()
            if now - last < TELL_SECONDS:
                return
            last = now
        tell(event)

    return on_event


def _check_reachable(address: str) -> None:
    """Raise UserError at once where no cluster answers; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or (host and not port.isdecimal()):
        raise UserError(f"got '{address}'; use host:port of the cluster's head, or auto on one of its nodes", "address")
    if host:
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"no cluster answers at '{address}' ({reason}); see `ray status` there", "address"
            ) from None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line_of(error)}"


def _library() -> Any:
    # under `uv run` Ray would pack the working folder and start its processes in a copy, which it removes under them
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise UserError("Ray is not installed; `uv sync --extra ray`, or `pip install ray`", "cluster") from None
