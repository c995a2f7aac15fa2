"""Outcomes of tiny cells, and replacements for measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import datasets
from bench.protocol import training
from bench.protocol.cell_run import run_cell
from bench.protocol.outcome import Outcome
from bench.spec.cell import Cell

ALL = ["maml", "fomaml", "reptile", "meta-sgd", "finetune"]
TIMES = ("seconds", "_ms", "per_second")


def outcome_of(cell: Cell) -> Outcome:
    return run_cell(cell, datasets.load(cell.dataset, Path("/nowhere")))


def validating(monkeypatch: pytest.MonkeyPatch, values: list[float], name: str) -> list[Mapping[str, Any]]:
    """Replace the measurements on validation; returns the states that were measured, as they come."""
    states: list[Mapping[str, Any]] = []

    def measured(run: Any, state: Mapping[str, Any]) -> dict[str, float]:
        states.append(state)
        return {name: values[len(states) - 1]}

    monkeypatch.setattr(training, "validate", measured)
    return states
