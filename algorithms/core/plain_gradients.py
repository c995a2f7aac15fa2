"""Losses of T tasks and their gradients; where nothing differentiates further, in closed form for MLPs.

An inner step on an MLP of forty units is a handful of small products: building and walking PyTorch's graph costs
several times what they do. The closed form does the operations of that graph in its order, so that it gives the same
bits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from algorithms.core.inner_loop import gradients, leaves
from algorithms.core.losses import task_losses
from algorithms.engines.task_network import TaskNetwork
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Weights, linear
from datasets.core.episodes import Kind, Support


def losses_and_gradients(
    net: TaskNetwork,
    weights: Weights,
    x: Tensor,
    y: Tensor,
    kind: Kind,
    dropout: Sequence[int] | None = None,
    factor: float = 1.0,
    by: Collection[str] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return each task's loss [T] and its gradient with respect to that task's weights [T, ...].

    Neither can be differentiated.

    Args:
        net: the network.
        weights: [T, ...] weights of each task.
        x: [T, B, *input_shape].
        y: [T, B] labels or [T, B, n_outputs] values.
        kind: of the targets.
        dropout: the seeds of what the network draws, from ``net.dropout_seeds``.
        factor: of the mean loss.
        by: the names of the weights to differentiate by; None for all.
    """
    by = list(weights) if by is None else by
    if net.engine == "stacked" and type(net.network) is MLP:
        with torch.no_grad():
            losses, gradient = _of_mlp(net.network, weights, x, y, kind, factor)
            return losses, {name: gradient[name] for name in by}
    ends = leaves({name: weights[name] for name in by})
    losses = task_losses(net({**weights, **ends}, x, dropout=dropout), y, kind)
    losses = losses if factor == 1.0 else losses * factor
    return losses.detach(), gradients(losses, ends)


def support_gradient(
    net: TaskNetwork,
    weights: Weights,
    support: Support,
    kind: Kind,
    step: int,
    factor: float,
    by: Collection[str],
    create_graph: bool,
) -> dict[str, Tensor]:
    """Return the gradient of ``factor`` times each task's mean support loss, in a pass of training.

    Args:
        net: the network.
        weights: [T, ...] weights of each task.
        support: of the T tasks.
        kind: of the targets.
        step: the number of the inner step, from which the network draws.
        factor: of the loss.
        by: the names of the weights to differentiate by.
        create_graph: whether the gradient is differentiated again.
    """
    dropout = net.dropout_seeds(support.seeds, step)
    if not create_graph:
        return losses_and_gradients(net, weights, support.x, support.y, kind, dropout, factor, by)[1]
    losses = task_losses(net(weights, support.x, dropout=dropout), support.y, kind) * factor
    return gradients(losses, {name: weights[name] for name in by}, create_graph=True)


def _of_mlp(
    network: MLP, weights: Weights, x: Tensor, y: Tensor, kind: Kind, factor: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the same for an MLP with layers h_i = relu(z_i), z_i = h_{i-1} W_i' + b_i, by hand.

    With g_i the gradient with respect to z_i: that of b_i is the sum of g_i over examples, that of W_i is
    g_i' h_{i-1}, and that of h_{i-1} is g_i W_i.
    """
    layers = [*(f"layer{i}" for i in range(1, len(network.hidden) + 1)), "head"]
    inputs = [x]
    for layer in layers[:-1]:
        inputs.append(linear(inputs[-1], weights[f"{layer}.weight"], weights[f"{layer}.bias"]).relu_())
    outputs = linear(inputs[-1], weights["head.weight"], weights["head.bias"])
    losses, by_z = _at_outputs(outputs, y, kind, factor)
    gradient: dict[str, Tensor] = {}
    for i in range(len(layers) - 1, -1, -1):
        gradient[f"{layers[i]}.weight"] = torch.bmm(inputs[i].mT, by_z).mT
        gradient[f"{layers[i]}.bias"] = by_z.sum(1)
        if i:
            by_z = torch.ops.aten.threshold_backward(torch.bmm(by_z, weights[f"{layers[i]}.weight"]), inputs[i], 0)
    return losses, gradient


def _at_outputs(outputs: Tensor, targets: Tensor, kind: Kind, factor: float) -> tuple[Tensor, Tensor]:
    """Return the losses [T] and their gradient with respect to the outputs [T, B, n_outputs]."""
    if kind == "regression":
        difference = outputs - targets
        losses = difference.square().mean(dim=(1, 2)) * factor
        return losses, difference * (2 * factor / (difference.shape[1] * difference.shape[2]))
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        losses = task_losses(leaf, targets, kind) * factor
        return losses.detach(), torch.autograd.grad(losses.sum(), leaf)[0]
