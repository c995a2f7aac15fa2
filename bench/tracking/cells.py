"""Cells as runs of a tracker: parameters, validation while they train, and the test score when they end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.analysis.leaderboard import board_of
from bench.execution.events import Abandoned, Event, Failed, Finished, OnEvent, Progressed, Started
from bench.protocol.outcome import Progress
from bench.spec.cell import Cell
from bench.store.store import Store
from bench.tracking.tracker import INTERRUPTED, OK, RunLog, Tracker, flat

MEASURED = ("train_seconds", "adapt_ms", "peak_mib", "peak_rise_mib", "parameters", "train_episodes", "outer_steps")
SELECTED = {"regression": "mse", "control": "return"}  # column by kind, if there is one alone

SECONDS = "cell/seconds"  # of the cell's process


@contextmanager
def tracking_cells(tracker: Tracker | None, stores: Sequence[Store], on_event: OnEvent) -> Iterator[OnEvent]:
    """Yield ``on_event`` with each cell's run in a tracker; runs that are open at the end were interrupted.

    Args:
        tracker: where the runs go; None for nowhere.
        stores: one of them gets the results.
        on_event: told of each event after the tracker.
    """
    if tracker is None:
        yield on_event
        return
    runs = CellRuns(tracker, stores)

    def handle(event: Event) -> None:
        runs.handle(event)
        on_event(event)

    try:
        yield handle
    finally:
        runs.interrupt()


@dataclass
class CellRuns:
    """The runs of cells that are running here. Cells that were finished before, or run elsewhere, have none."""

    tracker: Tracker
    stores: Sequence[Store]
    _open: dict[str, _CellRun] = field(default_factory=dict)

    def handle(self, event: Event) -> None:
        """Log an event."""
        if isinstance(event, Started):
            self._open[event.cell.id] = _CellRun(
                event.cell, self.tracker.begin(event.cell.id, flat(event.cell.content))
            )
        elif isinstance(event, Progressed | Finished | Failed | Abandoned) and event.cell.id in self._open:
            run = self._open[event.cell.id]
            if isinstance(event, Progressed):
                run.progressed(event.progress)
                return
            del self._open[event.cell.id]
            if isinstance(event, Finished):
                store = next(store for store in self.stores if store.has_result(event.cell))
                run.finished(store, event.seconds)
            elif isinstance(event, Failed):
                run.log.end(event.failure.kind, event.failure.message, {SECONDS: event.failure.elapsed_seconds})
            else:
                run.log.end(INTERRUPTED, "another run took it over", {})

    def interrupt(self) -> None:
        """End what is open."""
        while self._open:
            self._open.popitem()[1].log.end(INTERRUPTED, "", {})


@dataclass
class _CellRun:
    """A cell that is running.

    Attributes:
        cell: which.
        log: its run.
        logged: the outer step of the last measurement that was logged.
    """

    cell: Cell
    log: RunLog
    logged: int = 0

    def progressed(self, progress: Progress) -> None:
        """Log a measurement that follows the last one; after a gap, as in a training that continues, none."""
        if progress.validation is None:
            return
        every, step = self.cell.train.eval_every, progress.done
        if self.cell.train.seconds is not None or step != progress.total:  # else the last step is measured, too
            step -= step % every
        if self.logged < step <= self.logged + every:
            self.log.numbers({self._selected: progress.validation}, self._episodes(step))
            self.logged = step

    def finished(self, store: Store, seconds: float) -> None:
        """Log what is left of the training curve, and the result."""
        for measured in store.curves(self.cell).to_dict("records"):
            step = int(measured["outer_step"])
            left = {
                in_section(str(name)): measured[name] for name in measured if str(name).startswith(("train_", "val_"))
            }
            if step <= self.logged:
                left.pop(self._selected)
            self.log.numbers(_finite(left), self._episodes(step))
        row = store.row(self.cell)
        line = board_of(pd.DataFrame([row]), store.episodes(self.cell)).iloc[0]
        metrics = {f"test/{name}": line[name] for name in line.index if str(name).startswith(("acc", "mse", "return"))}
        costs = {f"cell/{name}": row[name] for name in MEASURED if name in row}
        self.log.end(OK, "", _finite(metrics | costs | {SECONDS: seconds}))

    @property
    def _selected(self) -> str:
        alone = SELECTED.get(self.cell.entry.kind)
        return f"val/{alone or f'accuracy_{self.cell.evaluation.select_by}'}"

    def _episodes(self, outer_steps: int) -> int:
        used = outer_steps * int(self.cell.hparams["meta_batch"])
        return min(self.cell.train.episodes or used, used)


def in_section(column: str) -> str:
    """Return a column of training curves as a name in a section, which trackers show together.

    >>> in_section("val_accuracy_inductive")
    'val/accuracy_inductive'
    """
    return column.replace("_", "/", 1)


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
