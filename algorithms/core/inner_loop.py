"""Adaptation by gradient steps, and the gradient through it, for T tasks at once. Shared by the gradient-based methods.

Weights are flat mappings. Those of one network have their own shapes; those of T tasks have a leading [T].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from algorithms.engines.shared_weights import summed_over_tasks
from algorithms.engines.threads import side_by_side
from datasets.core.episodes import Episodes

Tensors = Mapping[str, Tensor]


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


def descend(weight: Tensor, rate: Tensor | float, gradient: Tensor) -> Tensor:
    """``weight - rate * gradient`` in one pass over memory, and one more for its derivative."""
    if isinstance(rate, Tensor):
        return torch.addcmul(weight, rate, gradient, value=-1.0)
    return torch.add(weight, gradient, alpha=-rate)


def _parts(episodes: Episodes, at_once: int) -> list[Episodes]:
    """Parts of nearly equal size, of ``at_once`` episodes at most."""
    n = len(episodes)
    n_parts = -(-n // at_once)
    return [episodes[i * n // n_parts : (i + 1) * n // n_parts] for i in range(n_parts)]


def _query_gradient(
    weights: Tensors, episodes: Episodes, query_losses: Callable[[Tensors, Episodes], Tensor], at_once: int
) -> tuple[float, dict[str, Tensor]]:
    """The sum of the query losses and their gradient by each task's weights [T, ...]."""
    if at_once >= len(episodes):
        ends = leaves(weights)
        losses = query_losses(ends, episodes)
        return float(losses.detach().sum()), gradients(losses, ends)
    found = {name: torch.empty_like(value) for name, value in weights.items()}
    loss = 0.0
    for start in range(0, len(episodes), at_once):
        tasks = slice(start, start + at_once)
        part = {name: value[tasks] for name, value in weights.items()}
        part_loss, gradient = _query_gradient(part, episodes[tasks], query_losses, at_once)
        loss += part_loss
        for name, value in gradient.items():
            found[name][tasks] = value
    return loss, found


def meta_gradient(
    meta: Tensors,
    episodes: Episodes,
    adapted: Callable[[Tensors, Episodes], Mapping[str, Tensor]],
    query_losses: Callable[[Tensors, Episodes], Tensor],
    tasks_at_once: Callable[[int], int],
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
        tasks_at_once: how many tasks of so many inputs are in memory together; it does not change the result.
    """
    meta = leaves(meta)
    n_support, n_query = episodes.support.x.shape[1], episodes.query_x.shape[1]

    def sums(part: Episodes) -> tuple[float, tuple[Tensor, ...]]:
        weights = adapted(meta, part)
        loss, pushed = _query_gradient(weights, part, query_losses, tasks_at_once(n_query))
        ends, by_ends = list(weights.values()), list(pushed.values())
        with summed_over_tasks():
            return loss, torch.autograd.grad(ends, list(meta.values()), grad_outputs=by_ends, materialize_grads=True)

    done = side_by_side(sums, _parts(episodes, tasks_at_once(n_support)))
    total = [sum(gradients) / len(episodes) for gradients in zip(*(found for _, found in done), strict=True)]
    return dict(zip(meta, total, strict=True)), sum(loss for loss, _ in done) / len(episodes)
