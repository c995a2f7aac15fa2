"""One cell on a node of a cluster: run there as on this machine, and sent back as bytes.

A node needs the same packages and this benchmark, and the datasets under the same path; it shares no folder with the
machine that asked.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from algorithms import ALGORITHMS
from bench.execution.cell_process import RunCell
from bench.execution.events import Event, Failed, Finished, OnEvent
from bench.execution.local import LocalExecutor
from bench.process.plugins import import_plugins
from bench.spec.cell import Cell
from bench.store.store import Failure, FailureKind, Store


class Cluster(Protocol):
    """A cluster on which cells can run, and the resources that each cell gets there."""

    def run(
        self, local: LocalExecutor, store: Store, cells: Iterable[Cell | None], jobs: int | None, on_event: OnEvent
    ) -> None:
        """Run all ``cells`` into ``store``; returns when each has ended, well or not.

        If this is interrupted (KeyboardInterrupt, or an exception of ``on_event``), what runs is cancelled and leaves
        nothing behind.

        Args:
            local: how a node runs its one cell: limits, plugins, data.
            store: where the results come together; only this process writes to it.
            cells: what to run; asked for when one can start, and None where there is none for the moment.
            jobs: cells that run in parallel on all nodes together; None for as many as there is room for.
            on_event: told of everything that happens.

        Raises:
            UserError: the library is not installed, or the cluster cannot be reached.
        """


def next_cells(waiting: Iterator[Cell | None], most: int) -> tuple[list[Cell], bool]:
    """The cells that can start now, ``most`` at the most, and whether there may be more later."""
    batch: list[Cell] = []
    while len(batch) < most:
        try:
            cell = next(waiting)
        except StopIteration:
            return batch, False
        if cell is None:
            break
        batch.append(cell)
    return batch, True


@dataclass(frozen=True)
class EndedCell:
    """A cell that has ended on a node.

    Attributes:
        event: how.
        files: its folder's contents by name; see ``Store.files``.
    """

    event: Finished | Failed
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class _Attempt(RunCell):
    """Work on a node, whose temporary store does not know the earlier attempts."""

    number: int = 1

    def attempt(self, cell: Cell) -> int:
        return self.number


def run_in_temporary_store(local: LocalExecutor, cell: Cell, attempt: int, jobs: int, on_event: OnEvent) -> EndedCell:
    """Run the cell in a process of its own, as ``local`` does, into a folder that is gone afterwards.

    ``jobs`` is the number of cells that may run in parallel on this node, for the record.
    """
    import_plugins(local.plugins)
    ending: list[Finished | Failed] = []

    def listen(event: Event) -> None:
        if isinstance(event, Finished | Failed):
            ending.append(event)
        else:
            on_event(event)

    with tempfile.TemporaryDirectory(prefix="bench-cell-") as folder:
        store = Store(folder)
        store.create()
        missing = ALGORITHMS[cell.algorithm].missing()
        if missing is None:
            replace(local, work=_Attempt(store, number=attempt), jobs=jobs).run([cell], listen)
        else:
            store.write_failure(cell, Failure("skipped", missing))
            ending.append(Failed(cell, Failure("skipped", missing)))
        return EndedCell(ending[0], store.files(cell))


def store_ended(store: Store, cell: Cell, ended: EndedCell, on_event: OnEvent) -> None:
    """Store a cell that ended on a node, and send its event."""
    store.add_files(cell, ended.files)
    on_event(ended.event)


def lost(
    store: Store, cell: Cell, kind: FailureKind, error: BaseException, message: str, seconds: float, on_event: OnEvent
) -> None:
    """Write down that a cell did not come back from its node, and tell."""
    trace = "".join(traceback.format_exception(error))
    failure = Failure(kind, message, trace, RunCell(store).attempt(cell), round(seconds, 3))
    store.write_failure(cell, failure)
    on_event(Failed(cell, failure))
