"""The results of a cell, and the progress that it reports while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from algorithms.core.meta_state import State


class Diverged(ArithmeticError):
    """The training loss, the trained weights or what was measured with them is not finite."""


@dataclass(frozen=True)
class Progress:
    """Outer steps done and to do, and the latest validation value (None before the first)."""

    done: int
    total: int
    validation: float | None


@dataclass(frozen=True)
class Measurement:
    """A measurement on the meta-validation episodes during training.

    Attributes:
        number: counted from 1.
        outer_steps: taken so far.
        episodes: meta-train episodes consumed so far.
        value: validation accuracy (in the selecting mode), return or squared error.
    """

    number: int
    outer_steps: int
    episodes: int
    value: float


@dataclass(frozen=True)
class Validated:
    """The result of training without testing.

    Attributes:
        value: the validation accuracy (in the selecting mode) or squared error of the selected meta-state.
        stopped: whether it was ended before its budget was used.
        summary: numbers by name, as in ``Outcome``.
        digests: SHA-256 of the val episode list, and the dataset's fingerprint.
    """

    value: float
    stopped: bool
    summary: Mapping[str, Any]
    digests: Mapping[str, str]


@dataclass(frozen=True)
class AtBudget:
    """The test of the checkpoint that was selected within a part of the training budget.

    Attributes:
        numbers: ``budget`` (training episodes), ``outer_steps``, ``selected_outer_step``, ``train_seconds`` and the
            means over the test episodes, which are missing where nothing finite was selected by then, or where
            adapting to a test episode diverged.
        episodes: a row per test episode and inner step; None likewise.
    """

    numbers: Mapping[str, Any]
    episodes: pd.DataFrame | None


@dataclass(frozen=True)
class Outcome:
    """The result of a cell.

    Attributes:
        summary: numbers of the whole cell by name, JSON-ready.
        digests: SHA-256 of the train, val and test episode lists, and the dataset's fingerprint.
        episodes: a row per test episode and inner step.
        curve: a row per measurement during training.
        state: the selected meta-state.
        numerics: the versions of the numerics that made it; see ``bench.protocol.numerics``.
        budgets: the same test at the budgets of ``evaluation.test_at`` but the last, ascending.
        engine: ``name`` of the engine that mapped tasks, and the ``reason`` why it was used.
    """

    summary: Mapping[str, Any]
    digests: Mapping[str, str]
    episodes: pd.DataFrame
    curve: pd.DataFrame
    state: State
    numerics: Mapping[str, int]
    budgets: Sequence[AtBudget] = ()
    engine: Mapping[str, str] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]
GoOn = Callable[[Measurement], bool]
