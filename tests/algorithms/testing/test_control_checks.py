"""The checks of methods of control: each has a method that breaks it, and those of the registry pass them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from algorithms import AlgorithmEntry
from algorithms.control.algorithm import ControlHyperParameters
from algorithms.core.algorithm import Metrics
from algorithms.core.hyperparameters import hyper
from algorithms.core.meta_state import State
from algorithms.networks.network import Weights
from algorithms.reptile_pg import ReptilePG, ReptilePGHyperParameters
from algorithms.testing.checks import check
from algorithms.testing.control_checks import CONTROL_CHECKS
from datasets.core.control import ControlEpisodes, Tasks


class WithoutStepZero(ReptilePG):
    def adapt(self, state: State, support: Tasks, n_steps: int) -> Iterator[tuple[int, Weights]]:  # type: ignore[override]
        steps = super().adapt(state, support, n_steps)
        next(steps)
        yield from steps


class Drawing(ReptilePG):
    def adapt(self, state: State, support: Tasks, n_steps: int) -> Iterator[tuple[int, Weights]]:  # type: ignore[override]
        for step, weights in super().adapt(state, support, n_steps):
            yield step, {name: value + 0.1 * torch.randn(()) for name, value in weights.items()}


class Sharing(ReptilePG):
    def adapt(self, state: State, support: Tasks, n_steps: int) -> Iterator[tuple[int, Weights]]:  # type: ignore[override]
        for step, weights in super().adapt(state, support, n_steps):
            yield step, {name: value.mean(dim=0, keepdim=True).expand_as(value) for name, value in weights.items()}


class Overwriting(ReptilePG):
    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        after, metrics = super().outer_step(state, batch)
        state["weights/head.bias"].add_(1.0)
        return after, metrics


class Diverging(ReptilePG):
    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        after, metrics = super().outer_step(state, batch)
        return {**after, "weights/head.bias": after["weights/head.bias"] + torch.nan}, metrics


class Unused(ReptilePGHyperParameters):
    idle: float = hyper(1.0, "nothing", "a test", gt=0)


class Idle(ReptilePG):
    pass


class Worsening(ReptilePG):
    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        after, metrics = super().outer_step(state, batch)
        return {**after, "weights/head.bias": after["weights/head.bias"] - 1.0}, metrics


BROKEN: dict[str, tuple[type[Any], type[ControlHyperParameters], str]] = {
    "steps of adaptation": (WithoutStepZero, ReptilePGHyperParameters, "it must give 0 and 3"),
    "deterministic": (Drawing, ReptilePGHyperParameters, "two adaptations"),
    "tasks are independent": (Sharing, ReptilePGHyperParameters, "adapted alone"),
    "state is not changed": (Overwriting, ReptilePGHyperParameters, "outer_step changes the state"),
    "numbers are finite": (Diverging, ReptilePGHyperParameters, "weights/head.bias"),
    "hyper-parameters have an effect": (Idle, Unused, "`idle`"),
    "learns a simple problem": (Worsening, ReptilePGHyperParameters, "outer steps the mean return"),
}


@pytest.mark.parametrize("name", CONTROL_CHECKS)
def test_every_check_has_a_method_that_breaks_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factory, hparams, message = BROKEN[name]
    for other in set(CONTROL_CHECKS) - {name}:
        monkeypatch.delitem(CONTROL_CHECKS, other)
    (finding,) = check(AlgorithmEntry("broken", factory, hparams, "none", "a test", kinds=("control",)))
    assert finding.passed is False
    assert message in finding.message


def test_a_method_without_the_base_is_refused() -> None:
    from algorithms import ALGORITHMS

    maml = ALGORITHMS["maml"]
    with pytest.raises(Exception, match="must derive from ControlAlgorithm"):
        check(AlgorithmEntry("broken", maml.factory, maml.hparams, "none", "a test", kinds=("control",)))
