"""Conjugate gradients, and a trust-region step that never lowers the surrogate nor leaves the region."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from algorithms.control.trpo import TrustRegion, conjugate_gradient, moved, trpo_step


def test_conjugate_gradients_solve_a_positive_definite_system() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    matrix, target = root @ root.T + torch.eye(6), torch.randn(6, generator=generator, dtype=torch.float64)
    found = conjugate_gradient(lambda x: matrix @ x, target, 6)
    assert torch.allclose(found, torch.linalg.solve(matrix, target))


@pytest.mark.parametrize("seed", range(20))
def test_a_step_raises_the_surrogate_within_the_bound(seed: int) -> None:
    """On surrogates and divergences whose quadratic models are wrong, so that the line search has work to do."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    metric = root @ root.T + 0.1 * torch.eye(4)
    gradient = torch.randn(4, generator=generator, dtype=torch.float64)
    start = {"a": torch.zeros(3, dtype=torch.float64), "b": torch.zeros(1, dtype=torch.float64)}

    def objective(at: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        x = torch.cat([at["a"], at["b"]])
        quadratic = 0.5 * x @ metric @ x
        return gradient @ x - 40 * (x @ x) + 300 * x[0] ** 3, quadratic + 20 * quadratic**1.5

    region = TrustRegion(bound=0.05)
    step = trpo_step(start, objective, lambda v: metric @ v, 0.0, gradient, region)
    surrogate, divergence = (float(value) for value in objective(step.parameters))
    assert surrogate >= 0
    assert divergence <= region.bound
    assert (step.gain, step.divergence) == (surrogate, divergence)
    assert step.gain > 0 or torch.equal(step.parameters["a"], start["a"])


def test_a_step_uses_the_region_where_the_models_are_right() -> None:
    gradient = torch.tensor([1.0, 2.0], dtype=torch.float64)
    start = {"a": torch.zeros(2, dtype=torch.float64)}
    step = trpo_step(
        start,
        lambda at: (gradient @ at["a"], 0.5 * at["a"] @ at["a"]),
        lambda v: v,
        0.0,
        gradient,
        TrustRegion(bound=0.02, damping=0.0, shrink=0.999),
    )
    assert step.divergence == pytest.approx(0.02, rel=2e-3)
    assert torch.allclose(step.parameters["a"] / step.parameters["a"].norm(), gradient / gradient.norm())


def test_nothing_moves_where_no_length_is_better() -> None:
    start = {"a": torch.ones(2, dtype=torch.float64)}
    step = trpo_step(
        start,
        lambda at: (-(at["a"] - 1).square().sum(), (at["a"] - 1).square().sum()),
        lambda v: v,
        0.0,
        torch.ones(2, dtype=torch.float64),
        TrustRegion(),
    )
    assert torch.equal(step.parameters["a"], start["a"])
    assert (step.gain, step.divergence) == (0.0, 0.0)


def test_parameters_move_by_their_part_of_a_vector() -> None:
    at = {"a": torch.zeros(2, 2), "b": torch.ones(1)}
    assert moved(at, torch.arange(5.0))["a"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert moved(at, torch.arange(5.0))["b"].tolist() == [5.0]
