"""A step of trust-region policy optimization (Schulman et al. 2015, arXiv 1502.05477, appendix C).

The direction solves ``F x = g`` by conjugate gradients, where F is the Hessian of the mean KL divergence at the present
parameters and g the gradient of the surrogate; it is scaled to the bound of the divergence and shortened until the
divergence is within the bound and the surrogate higher than before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Product = Callable[[Tensor], Tensor]
Objective = Callable[[Tensors], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TrustRegion:
    """The settings of a step.

    Attributes:
        bound: of the mean KL divergence, in nats.
        cg_steps: iterations of conjugate gradients.
        damping: added to the diagonal of F.
        backtracks: lengths that are tried at most.
        shrink: factor of one length to the next.
    """

    bound: float = 0.01
    cg_steps: int = 10
    damping: float = 1e-5
    backtracks: int = 15
    shrink: float = 0.8


@dataclass(frozen=True)
class Step:
    """The result of a step.

    Attributes:
        parameters: the new ones, or the old ones where no length was accepted.
        gain: how much higher the surrogate is.
        divergence: the mean KL divergence from before, in nats.
    """

    parameters: dict[str, Tensor]
    gain: float
    divergence: float


def conjugate_gradient(product: Product, target: Tensor, n_steps: int, tolerance: float = 1e-10) -> Tensor:
    """Return an approximate solution x [n] of ``product(x) = target``, for a symmetric positive definite product.

    >>> conjugate_gradient(lambda x: torch.tensor([2.0, 4.0]) * x, torch.tensor([2.0, 2.0]), 2)
    tensor([1.0000, 0.5000])
    """
    solution, residual = torch.zeros_like(target), target.clone()
    direction, squared = residual.clone(), residual @ residual
    for _ in range(n_steps):
        if not float(squared) > tolerance:
            break
        image = product(direction)
        length = squared / (direction @ image)
        solution = solution + length * direction
        residual = residual - length * image
        before, squared = squared, residual @ residual
        direction = residual + (squared / before) * direction
    return solution


def hessian_product(value: Callable[[Tensors], Tensor], at: Tensors) -> Product:
    """Return the product of the Hessian of ``value`` with vectors [n], the parameters ``at`` in a row.

    Of the mean KL divergence from the policy at ``at``, it is the product with the Fisher matrix.
    """
    leaves = {name: part.detach().requires_grad_() for name, part in at.items()}
    slope = flat(torch.autograd.grad(value(leaves), list(leaves.values()), create_graph=True, materialize_grads=True))

    def product(vector: Tensor) -> Tensor:
        parts = torch.autograd.grad(slope @ vector, list(leaves.values()), retain_graph=True, materialize_grads=True)
        return flat(parts)

    return product


def flat(parts: Mapping[str, Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Return [n] all elements in a row."""
    return torch.cat([part.reshape(-1) for part in (parts.values() if isinstance(parts, Mapping) else parts)])


def moved(at: Tensors, change: Tensor) -> dict[str, Tensor]:
    """Return the parameters plus a change [n], which has their elements in a row."""
    pieces = torch.split(change, [part.numel() for part in at.values()])
    return {name: part.detach() + piece.view_as(part) for (name, part), piece in zip(at.items(), pieces, strict=True)}


def trpo_step(
    parameters: Tensors, objective: Objective, fisher: Product, before: float, gradient: Tensor, region: TrustRegion
) -> Step:
    """Take one step; the surrogate never falls and the divergence never exceeds its bound.

    Args:
        parameters: the present ones.
        objective: from parameters to the surrogate [] and the mean KL divergence [] from the present policy.
        fisher: the product of the Hessian of the divergence with a vector [n].
        before: the surrogate at the present parameters.
        gradient: [n] of the surrogate there.
        region: the settings.
    """
    unchanged = Step({name: value.detach() for name, value in parameters.items()}, 0.0, 0.0)
    direction = conjugate_gradient(lambda x: fisher(x) + region.damping * x, gradient, region.cg_steps)
    curvature = float(direction @ (fisher(direction) + region.damping * direction))
    if not curvature > 0 or not torch.isfinite(direction).all():
        return unchanged
    full = (2 * region.bound / (curvature + 1e-8)) ** 0.5 * direction
    for attempt in range(region.backtracks):
        candidate = moved(parameters, region.shrink**attempt * full)
        with torch.no_grad():
            after, divergence = (float(value) for value in objective(candidate))
        if after > before and divergence <= region.bound:
            return Step(candidate, after - before, divergence)
    return unchanged
