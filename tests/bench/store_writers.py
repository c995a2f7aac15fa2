"""What processes of the store's tests do; a module of its own, so that a fork server can import it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.cell import Cell
from bench.protocol import Outcome
from bench.store import Failure, Store

MEASURED: Mapping[str, Any] = {"summary": {"peak_mib": 1.0}, "environment": {"python": "3"}}


def outcome(score: float = 0.5) -> Outcome:
    """A result with two episodes and two inner steps, made up."""
    episodes = pd.DataFrame(
        {
            "episode": np.repeat(np.arange(2), 2),
            "step": np.tile(np.arange(2), 2),
            "class_ids": [np.array([0])] * 4,
            "n_query": 3,
            "mse": np.float32(score),
        }
    )
    curve = pd.DataFrame({"outer_step": [1], "train_loss": [1.0], "val_mse": [score]})
    return Outcome({"test_mse": score}, {"test": "ab"}, episodes, curve, {"weights/a": torch.zeros(2, 3)})


def crash_at(root: Path, cell: Cell, call: int) -> None:
    """Write a result, and die without a word in the ``call``-th call that changes the disk or flushes it."""
    calls = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                os._exit(9)
            return function(*arguments, **options)

        return called

    store = Store(root)
    for name in ("fsync", "rename", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    store.write_result(cell, outcome(), MEASURED)


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
