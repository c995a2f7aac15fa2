"""The ceiling for sinusoids: the family of functions is known, and least squares finds amplitude and phase.

``A sin(x - phase) = a sin(x) + b cos(x)`` with ``a = A cos(phase)`` and ``b = -A sin(phase)``: two unknowns, linear, so
that two points without noise determine them. (The oracle of Finn et al. 2017 is a network that is told A and phase.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Generator, Tensor

from algorithms.core.algorithm import EpisodicAlgorithm, Metrics, Mode
from algorithms.core.entry import register
from algorithms.core.hyperparameters import HyperParameters
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State
from algorithms.networks.network import Weights
from datasets.core.episodes import Episodes, Support


class OracleHyperParameters(HyperParameters):
    """The oracle has no hyper-parameters."""


@register(
    "oracle",
    hparams=OracleHyperParameters,
    paper="none: the ceiling for sinusoids",
    summary="least squares for amplitude and phase",
    kinds=("regression",),
    requires=("sinusoids",),
    bound="ceiling",
)
class Oracle(EpisodicAlgorithm[OracleHyperParameters]):
    """Least squares for the amplitude and phase of each task, without a network."""

    trains: ClassVar[bool] = False

    @property
    def test_steps(self) -> int:
        """None: what is measured is at step 0."""
        return 0

    def init(self, weights: Weights, generator: Generator) -> State:
        """Nothing is learned, so the state holds only that."""
        return {"nothing/learned": torch.zeros(1)}

    def outer_step(self, state: State, batch: Episodes) -> tuple[State, Metrics]:
        """Nothing is learned; the loss is that of the solutions on the queries."""
        outputs = _values(_solution(batch.support), batch.query_x)
        return state, {"loss": float(task_losses(outputs, batch.query_y, "regression").mean())}

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        yield 0, {"coefficients": _solution(support)}

    def predict(self, weights: Weights, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        return _values(weights["coefficients"], query_x)


def _basis(x: Tensor) -> Tensor:
    """[T, B, 2] sine and cosine of x [T, B, 1]."""
    return torch.cat([x.sin(), x.cos()], dim=-1)


def _solution(support: Support) -> Tensor:
    """[T, 2, 1] coefficients of sine and cosine, solved in double precision."""
    solution: Tensor = torch.linalg.lstsq(_basis(support.x.double()), support.y.double()).solution
    return solution.to(support.x)


def _values(coefficients: Tensor, x: Tensor) -> Tensor:
    return _basis(x) @ coefficients
