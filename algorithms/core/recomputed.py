"""Gradient checkpointing of inner steps: a step's graph is made again in the backward pass, and not kept until then.

Second-order methods keep the graph of every inner step until the outer gradient goes through it. Computed again there,
the graph of one step at a time is in memory, for one more computation of each step (Chen et al. 2016, arXiv
1604.06174). The values and gradients are those of the step itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from algorithms.core.inner_loop import leaves
from algorithms.engines.shared_weights import each_task

Tensors = Mapping[str, Tensor]
Step = Callable[[Tensors, Tensors], Mapping[str, Tensor]]


def recomputed(step: Step, meta: Tensors, weights: Tensors) -> dict[str, Tensor]:
    """Return ``step(meta, weights)``, differentiable once by both, without its graph.

    Args:
        step: a function of the two alone, which gives the same whenever it is called.
        meta: what it has of the meta-state.
        weights: [T, ...] the weights that it starts from.

    >>> rate, weights = torch.tensor(3.0, requires_grad=True), {"w": torch.tensor([2.0])}
    >>> new = recomputed(lambda meta, w: {"w": w["w"] - meta["rate"] * w["w"]}, {"rate": rate}, weights)
    >>> new["w"].tolist(), torch.autograd.grad(new["w"].sum(), rate)
    ([-4.0], (tensor(-2.),))
    """
    names: list[str] = []
    values = _Recomputed.apply(step, tuple(meta), tuple(weights), names, *meta.values(), *weights.values())
    return dict(zip(names, values, strict=True))


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, step: Step, of_meta: tuple[str, ...], of_weights: tuple[str, ...], names: list[str], *values: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.step, ctx.of_meta, ctx.of_weights = step, of_meta, of_weights
        ctx.save_for_backward(*values)
        _, results = _run(ctx, values)
        names.extend(results)
        return tuple(value.detach() for value in results.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *by_results: Tensor) -> Any:
        ends, results = _run(ctx, ctx.saved_tensors)
        with each_task():
            wanted = [
                (value, by) for value, by in zip(results.values(), by_results, strict=True) if value.requires_grad
            ]
            found = torch.autograd.grad(
                [value for value, _ in wanted], ends, [by for _, by in wanted], allow_unused=True
            )
        return None, None, None, None, *found


def _run(ctx: Any, values: tuple[Tensor, ...]) -> tuple[list[Tensor], Mapping[str, Tensor]]:
    """Return fresh leaves with the values, and the step's results as functions of them."""
    n_meta = len(ctx.of_meta)
    with torch.enable_grad(), each_task():  # its own gradients are those of each task, whatever the outer pass sums
        meta = leaves(dict(zip(ctx.of_meta, values[:n_meta], strict=True)))
        weights = leaves(dict(zip(ctx.of_weights, values[n_meta:], strict=True)))
        return [*meta.values(), *weights.values()], ctx.step(meta, weights)
