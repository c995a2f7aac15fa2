"""Divergence: a loss, weights or measurements that are not finite end a cell."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from algorithms.maml import MAML
from bench.protocol.outcome import Diverged
from tests.bench.helpers import GLYPHS, SINUSOID, one_cell
from tests.bench.protocol.helpers import outcome_of, validating


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_loss_that_is_not_finite_ends_the_cell(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    real, calls = MAML.outer_step, 0

    def diverging(self: MAML, state: Any, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        state, metrics = real(self, state, batch)
        return state, {"loss": value} if calls == 3 else metrics

    monkeypatch.setattr(MAML, "outer_step", diverging)
    with pytest.raises(Diverged, match=f"training loss is {value} at outer step 2"):
        outcome_of(one_cell())


def test_weights_that_diverge_in_the_last_step_are_not_taken_for_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a step is that before its update, so that only the measurements can tell."""
    real = MAML.outer_step

    def diverging(self: MAML, state: Any, batch: Any) -> Any:
        state, metrics = real(self, state, batch)
        return {n: torch.full_like(v, math.nan) if n.startswith("weights") else v for n, v in state.items()}, metrics

    monkeypatch.setattr(MAML, "outer_step", diverging)
    for use in (dict(SINUSOID), dict(GLYPHS)):
        with pytest.raises(Diverged):
            outcome_of(one_cell(datasets=[use], train={"episodes": 4, "n_query": 2, "eval_every": 1}))


def test_an_adaptation_that_diverges_on_test_episodes_is_not_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = one_cell(settings=[{"set": {"meta_batch": 4, "inner_lr": 1e9, "test_steps": 40}}])
    with pytest.raises(Diverged):
        outcome_of(cell)


def test_an_earlier_checkpoint_survives_a_later_measurement_that_is_not_finite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    validating(monkeypatch, [3.0, 2.0, math.nan, math.nan, math.nan], "val_mse")
    outcome = outcome_of(one_cell(train={"episodes": 36, "n_query": 2, "eval_every": 2}))
    assert outcome.summary["selected_outer_step"] == 4
