"""Adaptation by gradient steps, and the gradient through it, for T tasks at once. Shared by the gradient-based methods.

Weights are flat mappings. Those of one network have their own shapes; those of T tasks have a leading [T].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from datasets.episodes import Episodes

Tensors = Mapping[str, Tensor]


def stack(weights: Tensors, n_tasks: int) -> dict[str, Tensor]:
    """The same weights for each of ``n_tasks`` tasks: [n_tasks, ...] views whose gradients sum over tasks."""
    return {name: value.expand(n_tasks, *value.shape) for name, value in weights.items()}


def leaves(weights: Tensors) -> dict[str, Tensor]:
    """The same values as fresh leaves to differentiate by."""
    return {name: value.detach().requires_grad_() for name, value in weights.items()}


def gradients(losses: Tensor, weights: Tensors, create_graph: bool = False) -> dict[str, Tensor]:
    """Each task's gradient of its own loss.

    Args:
        losses: [T] one loss a task.
        weights: [T, ...] weights of which task t's enter only ``losses[t]``.
        create_graph: keep what a second derivative needs.
    """
    found = torch.autograd.grad(losses.sum(), list(weights.values()), create_graph=create_graph)
    return dict(zip(weights, found, strict=True))


def meta_gradient(
    meta: Tensors,
    episodes: Episodes,
    adapted: Callable[[Tensors, Episodes], Mapping[str, Tensor]],
    query_losses: Callable[[Tensors, Episodes], Tensor],
    tasks_at_once: int,
) -> tuple[dict[str, Tensor], float]:
    """Mean over tasks of d query_loss(adapted(meta)) / d meta, and the mean query loss.

    The query pass is differentiated apart, by the adapted weights alone, so that it needs first derivatives only; that
    vector is then pushed back through the adaptation (the chain rule, Finn et al. 2017, equation 1). Where ``adapted``
    built no graph of its gradients, what is pushed back is the first-order gradient.

    Args:
        meta: what is learned, in the shapes of one network.
        episodes: T episodes.
        adapted: from ``meta`` and episodes to adapted weights [T, ...].
        query_losses: from adapted weights and episodes to losses [T].
        tasks_at_once: how many tasks are in memory together; it does not change the result.
    """
    meta = leaves(meta)
    total = {name: torch.zeros_like(value) for name, value in meta.items()}
    loss = 0.0
    for start in range(0, len(episodes), tasks_at_once):
        part = episodes[start : start + tasks_at_once]
        weights = adapted(meta, part)
        ends = leaves(weights)
        losses = query_losses(ends, part)
        loss += float(losses.detach().sum())
        pushed = torch.autograd.grad(losses.sum(), list(ends.values()))
        found = torch.autograd.grad(
            list(weights.values()), list(meta.values()), grad_outputs=pushed, materialize_grads=True
        )
        for name, gradient in zip(meta, found, strict=True):
            total[name] += gradient
    return {name: value / len(episodes) for name, value in total.items()}, loss / len(episodes)
