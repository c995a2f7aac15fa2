"""What a cell's process does: the whole protocol into a store, or a trial of a search, which does not test."""

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
    """What comes of a cell: the score that events tell, and what is not in a store."""

    score: float
    result: object = None


class Work(Protocol):
    """What is done with each cell, and what is kept of a failure. It goes to the cell's process by pickling."""

    def attempt(self, cell: Cell) -> int:
        """The number of this attempt at the cell, from 1."""

    def do(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        """Do it, in the cell's own process; ``log`` gives what was printed there."""

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Take in that the cell ended without a result, in the process of the run."""


@dataclass(frozen=True)
class RunCell:
    """Train, select and test; results and failures go to ``store``.

    Attributes:
        store: where.
        checkpoint_every: seconds between two checkpoints of a cell; None for none, and then none is gone on from.
    """

    store: Store
    checkpoint_every: float | None = None

    def attempt(self, cell: Cell) -> int:
        before = self.store.failure(cell)
        return 1 if before is None or before.kind == "skipped" else before.attempt + 1

    def do(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        place, every = self.store.checkpoint(cell), self.checkpoint_every
        checkpoints = NoCheckpoints() if every is None else CheckpointFile(place, every)
        outcome, measured = execute(cell, data_root, jobs, on_progress, checkpoints)
        self.store.write_result(cell, outcome, measured, log())
        place.unlink(missing_ok=True)
        summary = outcome.summary
        return Done(float(summary.get("test_mse", summary.get(f"test_accuracy_{cell.evaluation.select_by}"))))

    def failed(self, cell: Cell, failure: Failure) -> None:
        self.store.write_failure(cell, failure)
        if failure.kind in ("error", "nan"):  # it would come to the same end from there; another code might not
            self.store.checkpoint(cell).unlink(missing_ok=True)


@dataclass(frozen=True)
class ValidateCell:
    """Train and select, without testing; the result is a ``Validated``, and nothing is kept."""

    def attempt(self, cell: Cell) -> int:
        return 1

    def do(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        validated = validate(cell, data_root, on_progress, go_on)
        return Done(validated.value, validated)

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Whoever runs the trial keeps it."""
