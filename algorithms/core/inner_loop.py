"""Gradient steps on T tasks at once. Shared by the gradient-based methods.

Weights are flat mappings. Those of one network have their own shapes; those of T tasks have a leading [T].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from algorithms.core.losses import task_losses
from algorithms.engines.task_network import TaskNetwork
from datasets.core.episodes import Episodes, Kind

Tensors = Mapping[str, Tensor]


def leaves(weights: Tensors) -> dict[str, Tensor]:
    """Return the same values as fresh leaves to differentiate by.

    >>> leaves({"bias": torch.zeros(2)})
    {'bias': tensor([0., 0.], requires_grad=True)}
    """
    return {name: value.detach().requires_grad_() for name, value in weights.items()}


def gradients(losses: Tensor, weights: Tensors, create_graph: bool = False) -> dict[str, Tensor]:
    """Return each task's gradient of its own loss.

    Args:
        losses: [T] one loss per task.
        weights: [T, ...] weights of which task t's enter only ``losses[t]``; one that enters none has gradient 0.
        create_graph: keep what a second derivative needs.

    >>> weights = leaves({"bias": torch.tensor([1.0, 2.0])})
    >>> gradients(weights["bias"] ** 2, weights)
    {'bias': tensor([2., 4.])}
    """
    slopes = torch.autograd.grad(
        losses.sum(), list(weights.values()), create_graph=create_graph, materialize_grads=True
    )
    return dict(zip(weights, slopes, strict=True))


def descend(weight: Tensor, rate: Tensor | float, gradient: Tensor) -> Tensor:
    """Return ``weight - rate * gradient``: one pass over memory, and one more for its derivative.

    >>> descend(torch.ones(2), 0.5, torch.tensor([1.0, 2.0]))
    tensor([0.5000, 0.0000])
    """
    if isinstance(rate, Tensor):
        return torch.addcmul(weight, rate, gradient, value=-1.0)
    return torch.add(weight, gradient, alpha=-rate)


def query_losses_at(net: TaskNetwork, weights: Tensors, tasks: Episodes, kind: Kind) -> Tensor:
    """Return the query loss [T] of each task at its adapted weights, differentiable once with respect to the weights.

    Its gradient with respect to the weights is computed here, as many tasks at once as the engine keeps in memory; a
    backward pass then starts at the weights. Whatever they depend on is differentiated by the chain rule (Finn et al.
    2017, equation 1), and the query pass needs first derivatives only. It is a pass of training: dropout is on.

    Args:
        net: the network.
        weights: [T, ...] the adapted weights.
        tasks: the T episodes.
        kind: of the targets.
    """
    losses = _QueryLosses.apply(net, tasks, kind, list(weights), *weights.values())
    assert isinstance(losses, Tensor)
    return losses


class _QueryLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, net: TaskNetwork, tasks: Episodes, kind: Kind, names: list[str], *values: Tensor) -> Tensor:
        at_once = net.tasks_at_once(tasks.query_x.shape[1])
        if at_once >= len(tasks):
            losses, slopes = _losses_and_gradients(net, dict(zip(names, values, strict=True)), tasks, kind)
            gradient = list(slopes.values())
        else:
            gradient, parts = [torch.empty_like(value) for value in values], []
            for start in range(0, len(tasks), at_once):
                rows = slice(start, start + at_once)
                weights = {name: value[rows] for name, value in zip(names, values, strict=True)}
                part, slopes = _losses_and_gradients(net, weights, tasks[rows], kind)
                parts.append(part)
                for whole, name in zip(gradient, names, strict=True):
                    whole[rows] = slopes[name]
            losses = torch.cat(parts)
        ctx.save_for_backward(*gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_losses: Tensor) -> Any:
        scaled = (g * by_losses.view(-1, *(1 for _ in g.shape[1:])) for g in ctx.saved_tensors)
        return None, None, None, None, *scaled


def _losses_and_gradients(
    net: TaskNetwork, weights: Tensors, tasks: Episodes, kind: Kind
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the query losses [T] and their gradient with respect to each task's weights [T, ...]."""
    with torch.enable_grad():
        ends = leaves(weights)
        losses = task_losses(
            net(ends, tasks.query_x, dropout=net.dropout_seeds(tasks.support.seeds, 0)), tasks.query_y, kind
        )
        return losses.detach(), gradients(losses, ends)
