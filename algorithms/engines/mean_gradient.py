"""The gradient of a mean over tasks: in parts that fit the cache, on the threads that PyTorch has been given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from algorithms.engines.shared_weights import summed_over_tasks
from algorithms.engines.threads import side_by_side
from datasets.core.episodes import Episodes

Tensors = Mapping[str, Tensor]
TaskLosses = Callable[[Tensors, Episodes], Tensor]


def mean_gradient(
    losses: TaskLosses, meta: Tensors, episodes: Episodes, tasks_at_once: Callable[[int], int]
) -> tuple[dict[str, Tensor], float]:
    """Return the gradient with respect to ``meta`` of the mean over tasks of ``losses(meta, episodes)``, and that mean.

    Args:
        losses: from ``meta`` and any part of the episodes to their losses [T].
        meta: what is differentiated by, in the shapes of one network.
        episodes: all episodes.
        tasks_at_once: how many tasks of so many inputs are in memory together; it does not change the result.
    """
    meta = {name: value.detach().requires_grad_() for name, value in meta.items()}
    queries_at_once = tasks_at_once(episodes.query_x.shape[1])

    def sums(part: Episodes) -> tuple[float, tuple[Tensor, ...]]:
        values = losses(meta, part)
        with summed_over_tasks():
            gradient = torch.autograd.grad(values.sum(), list(meta.values()), materialize_grads=True)
        return sum((float(some.sum()) for some in torch.split(values.detach(), queries_at_once)), 0.0), gradient

    done = side_by_side(sums, parts_of(episodes, tasks_at_once(episodes.support.x.shape[1])))
    total = [sum(gradients) / len(episodes) for gradients in zip(*(gradient for _, gradient in done), strict=True)]
    return dict(zip(meta, total, strict=True)), sum(loss for loss, _ in done) / len(episodes)


def parts_of(episodes: Episodes, at_once: int) -> list[Episodes]:
    """Return parts of nearly equal size, of ``at_once`` episodes at most."""
    n = len(episodes)
    n_parts = -(-n // at_once)
    return [episodes] if n_parts == 1 else [episodes[i * n // n_parts : (i + 1) * n // n_parts] for i in range(n_parts)]
