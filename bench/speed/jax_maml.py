"""MAML in JAX, a pure loss of one task, ``jit`` of its gradient, over tasks a loop or ``vmap``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import NORM_EPSILON, Network
from bench.speed.workloads import Workload


def forward(network: Network, weights: Mapping[str, Any], x: Any) -> Any:
    """[B, n_outputs] from x [B, *input_shape]; images stand channels last."""
    if isinstance(network, MLP):
        for i in range(1, len(network.hidden) + 1):
            x = jax.nn.relu(x @ weights[f"layer{i}.weight"].T + weights[f"layer{i}.bias"])
    else:
        assert isinstance(network, Conv4)
        stride = 2 if network.downsample == "stride" else 1
        for i in range(1, network.blocks + 1):
            kernel = weights[f"conv{i}.weight"].transpose(2, 3, 1, 0)
            shapes = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=shapes)
            mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
            x = jax.nn.relu((x - mean) / jnp.sqrt(var + NORM_EPSILON) + weights[f"norm{i}.bias"])
            if network.downsample == "max-pool":
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = x.mean(axis=(1, 2)) if network.reduce == "mean" else x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return x @ weights["head.weight"].T + weights["head.bias"]


def prepared(
    workload: Workload, dtype: torch.dtype, vmapped: bool
) -> tuple[Callable[[], object], Callable[[], Mapping[str, Tensor]]]:
    """The outer step with Adam, and the mean meta-gradient over the first two tasks."""
    jax.config.update("jax_enable_x64", dtype == torch.float64)
    network, hparams = workload.network, workload.hparams

    def loss(weights: Any, x: Any, y: Any) -> Any:
        outputs = forward(network, weights, x)
        if workload.kind == "regression":
            return ((outputs - y) ** 2).mean()
        return -jax.nn.log_softmax(outputs)[jnp.arange(len(y)), y].mean()

    def task_loss(weights: Any, task: Any) -> Any:
        support_x, support_y, query_x, query_y = task
        adapted = weights
        for _ in range(hparams["train_steps"]):
            gradient = jax.grad(loss)(adapted, support_x, support_y)
            if workload.algorithm == "fomaml":
                gradient = jax.lax.stop_gradient(gradient)
            adapted = jax.tree.map(lambda w, g: w - hparams["inner_lr"] * g, adapted, gradient)
        return loss(adapted, query_x, query_y)

    def mean_gradient(weights: Any, tasks: Any) -> Any:
        if vmapped:
            gradients = jax.vmap(jax.grad(task_loss), in_axes=(None, 0))(weights, tasks)
            return jax.tree.map(lambda g: g.mean(axis=0), gradients)
        _, gradients = jax.lax.scan(lambda carry, task: (carry, jax.grad(task_loss)(weights, task)), None, tasks)
        return jax.tree.map(lambda g: g.mean(axis=0), gradients)

    def tasks_of(n: int) -> Any:
        episodes = workload.episodes(dtype, n)
        pixels = (lambda x: x) if workload.kind == "regression" else (lambda x: x.permute(0, 1, 3, 4, 2))
        arrays = pixels(episodes.support.x), episodes.support.y, pixels(episodes.query_x), episodes.query_y
        return tuple(jnp.asarray(array.numpy().copy()) for array in arrays)

    start = {name: jnp.asarray(value.numpy()) for name, value in workload.weights(dtype).items()}
    zeros = jax.tree.map(jnp.zeros_like, start)

    @jax.jit
    def outer_step(weights: Any, first: Any, second: Any, tasks: Any) -> Any:
        gradient = mean_gradient(weights, tasks)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        moved = jax.tree.map(lambda w, m, v: w - 1e-3 * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
        return moved, first, second

    everything = tasks_of(workload.tasks)

    def work() -> object:
        return jax.block_until_ready(outer_step(start, zeros, zeros, everything))

    def gradient() -> Mapping[str, Tensor]:
        gradients = jax.jit(mean_gradient)(start, tasks_of(2))
        return {name: torch.from_numpy(np.array(value)) for name, value in gradients.items()}

    return work, gradient
