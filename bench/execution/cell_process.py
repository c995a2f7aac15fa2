"""The work of a cell's process: the whole protocol into a store, or a trial of a search, which is not tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.execution.in_process import execute, validate
from bench.protocol.checkpoint import NoCheckpoints
from bench.protocol.outcome import GoOn, OnProgress
from bench.spec.cell import Cell
from bench.store.checkpoint_file import CheckpointFile
from bench.store.store import Failure, Store


@dataclass(frozen=True)
class Done:
    """The result of a cell's work: the score for the event, and an outcome that is not stored."""

    score: float
    result: object = None


class Work(Protocol):
    """The work to do with each cell, and with its failure. It is pickled to the cell's process."""

    def attempt(self, cell: Cell) -> int:
        """The number of this attempt at the cell, from 1."""

    def run(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        """Do it, in the cell's own process; ``log`` gives what was printed there."""

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Record that the cell ended without a result; called in the process of the run."""


@dataclass(frozen=True)
class RunCell:
    """Train, select and test; results and failures go to ``store``.

    Attributes:
        store: the experiment.
        checkpoint_every: seconds between two checkpoints of a cell; None writes none and ignores stored ones.
    """

    store: Store
    checkpoint_every: float | None = None

    def attempt(self, cell: Cell) -> int:
        before = self.store.failure(cell)
        return 1 if before is None or before.kind == "skipped" else before.attempt + 1

    def run(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        place, every = self.store.checkpoint(cell), self.checkpoint_every
        checkpoints = NoCheckpoints() if every is None else CheckpointFile(place, every)
        outcome, measured = execute(cell, data_root, jobs, on_progress, checkpoints)
        self.store.write_result(cell, outcome, measured, log())
        place.unlink(missing_ok=True)
        summary = outcome.summary
        names = ("test_mse", "test_return", f"test_accuracy_{cell.evaluation.select_by}")
        return Done(next(float(summary[name]) for name in names if name in summary))

    def failed(self, cell: Cell, failure: Failure) -> None:
        self.store.write_failure(cell, failure)
        if failure.kind in ("error", "nan"):  # it would come to the same end from there; another code might not
            self.store.checkpoint(cell).unlink(missing_ok=True)


@dataclass(frozen=True)
class ValidateCell:
    """Train and select, without testing; the result is a ``Validated``, and nothing is stored."""

    def attempt(self, cell: Cell) -> int:
        return 1

    def run(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        validated = validate(cell, data_root, on_progress, go_on)
        return Done(validated.value, validated)

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Leave the failure to the caller, which keeps it."""
