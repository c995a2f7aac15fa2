"""Estimates of the remaining time of a run, from timing one cell of each kind beside it.

Cells of one grid differ by a factor of a hundred, and the quick ones often come first, so that the finished cells say
little about the remaining ones. The times measured here say how the kinds compare; ``bench.cli.progress`` scales them
by the times that finished cells took.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.execution.events import Event, Finished
from bench.execution.local import LocalExecutor
from bench.execution.runtime_estimate import TimeCell
from bench.spec.cell import Cell

CellGroup = tuple[str, str, str]
"""Algorithm, dataset and shape: cells that take about as long as each other."""
LIMIT_SECONDS = 60.0  # for one kind; what hangs or takes longer is not known


def group_of(cell: Cell) -> CellGroup:
    """The cell's kind."""
    return (cell.algorithm, cell.dataset, cell.shape)


@dataclass
class Forecast:
    """Estimated seconds by kind of cell, filled in while a thread measures them; leaving the context ends that.

    Attributes:
        data_root: where the datasets lie.
        plugins: modules that register further algorithms or datasets.
        memory: bytes of resident memory that a process may have; None for no limit.
        seconds: the estimates so far.
        going_on: whether more will follow.
    """

    data_root: Path
    plugins: Sequence[str] = ()
    memory: int | None = None
    seconds: dict[CellGroup, float] = field(default_factory=dict)
    going_on: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self, cells: Sequence[Cell]) -> None:
        """Measure one cell of each kind, in processes of their own that yield to those of the run."""
        one_each = list({group_of(cell): cell for cell in reversed(cells)}.values())[::-1]
        self.going_on = True
        self._thread = threading.Thread(target=self._measure, args=(one_each,), name="forecast", daemon=True)
        self._thread.start()

    def _measure(self, cells: Sequence[Cell]) -> None:
        executor = LocalExecutor(
            TimeCell(), self.data_root, 1, LIMIT_SECONDS, self.memory, self.plugins, stopping=self._stop.is_set
        )
        try:
            executor.run(cells, self._handle)
        except KeyboardInterrupt:  # how an executor ends that is to stop
            pass
        finally:
            self.going_on = False

    def _handle(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.seconds[group_of(event.cell)] = event.score

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
