"""The work of processes of the store's tests; a module of its own, so that a fork server can import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from algorithms.core.algorithm import MODES
from bench import api
from bench.execution.cell_process import RunCell
from bench.execution.events import Failed, Finished, OnEvent, Started
from bench.protocol.outcome import Outcome
from bench.spec.cell import Cell
from bench.spec.grid import Grid
from bench.store.atomic import CannotWrite
from bench.store.store import Failure, Store
from datasets.core.episodes import Kind

STEPS = ("open", "link", "write", "pwrite", "fsync", "close", "mkdir", "rename", "replace", "unlink", "rmdir")
WRITE = os.write

MEASURED: Mapping[str, Any] = {"summary": {"peak_mib": 1.0}, "environment": {"python": "3"}}


def outcome(score: float = 0.5, kind: Kind = "regression") -> Outcome:
    """A result with two episodes and two inner steps, made up."""
    metrics = {"mse": np.float32(score)}
    if kind == "classification":
        metrics = {f"{name}_{mode}": number for mode in MODES for name, number in (("n_correct", 1), ("nll", score))}
    episodes = pd.DataFrame(
        {
            "episode": np.repeat(np.arange(2), 2),
            "step": np.tile(np.arange(2), 2),
            "class_ids": [np.array([0])] * 4,
            "n_query": 3,
            **metrics,
        }
    )
    curve = pd.DataFrame({"outer_step": [1], "train_loss": [1.0], "val_mse": [score]})
    return Outcome(
        {"test_mse": score}, {"test": "ab"}, episodes, curve, {"weights/a": torch.zeros(2, 3)}, {"protocol": 1}
    )


def die_at(call: int) -> Callable[[], int]:
    """Have this process killed in its ``call``-th call that changes the disk or flushes it; gives how many were made.

    Writing is cut off in the middle, everything else before it begins.
    """
    calls = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                if function is WRITE:
                    descriptor, content = arguments
                    WRITE(descriptor, bytes(content)[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return called

    for name in STEPS:
        setattr(os, name, dying(getattr(os, name)))
    return lambda: calls


def crash_at(root: Path, cell: Cell, call: int) -> None:
    """Write a result, and be killed in the ``call``-th step."""
    die_at(call)
    Store(root).write_result(cell, outcome(), MEASURED)


@dataclass(frozen=True)
class InThisProcess:
    """Stands in the place of the local executor, without processes for the cells: their writes are the run's own."""

    work: RunCell
    data_root: Path

    def run(self, cells: Iterable[Cell | None], on_event: OnEvent) -> None:
        for cell in cells:
            assert cell is not None
            attempt = self.work.attempt(cell)
            on_event(Started(cell))
            try:
                done = self.work.run(cell, self.data_root, 1, lambda progress: None, lambda measurement: True, str)
                on_event(Finished(cell, done.score, 0.0))
            except KeyError as error:
                failure = Failure("error", repr(error), attempt=attempt)
                self.work.failed(cell, failure)
                on_event(Failed(cell, failure))


def run_here(root: Path, grid: Grid, plugin: str, call: int, said: Any) -> None:
    """Run a grid with a checkpoint after every outer step, and be killed in the ``call``-th step of writing.

    It says the number of steps, or why it could not go on.
    """
    api.LocalExecutor = lambda work, data_root, *_, **__: InThisProcess(work, data_root)  # type: ignore
    steps = die_at(call)
    try:
        api.run(grid, root, checkpoint_every=1e-9, plugins=(plugin,) if plugin else ())
    except CannotWrite as error:
        said.send(str(error))
    else:
        said.send(steps())


def write_all(root: Path, cells: list[Cell], score: float, go: Any) -> None:
    """Fail every cell some times, then finish every other one, as fast as possible."""
    store = Store(root)
    store.create()
    go.wait()
    for cell in cells:
        for attempt in range(1, 4):
            store.write_failure(cell, Failure("error", "no luck", attempt=attempt))
            store.rows()
        if cell.seed % 2 == 0:
            store.write_result(cell, outcome(score), MEASURED)
