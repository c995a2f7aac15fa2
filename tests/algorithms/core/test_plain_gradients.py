"""The closed form of an MLP's gradient against autograd's, to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algorithms.core.inner_loop import gradients, leaves
from algorithms.core.losses import task_losses
from algorithms.core.plain_gradients import losses_and_gradients
from algorithms.engines.task_network import TaskNetwork
from algorithms.networks.mlp import MLP


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("hidden", [(), (40, 40), (7, 16, 5)], ids=str)
@pytest.mark.parametrize("n_tasks", [1, 4])
@pytest.mark.parametrize("shared", [False, True], ids=["own weights", "shared weights"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_it_is_autograds(
    kind: Any, hidden: tuple[int, ...], n_tasks: int, shared: bool, dtype: torch.dtype, factor: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    network = MLP(3, 2, hidden=hidden)
    net = TaskNetwork(network, "stacked")
    one = network.init(generator)
    weights = {name: torch.randn(value.shape, generator=generator).to(dtype) for name, value in one.items()}
    stacked = net.stack(weights, n_tasks)
    if not shared:
        stacked = {name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in stacked.items()}
    x = torch.randn(n_tasks, 10, 3, generator=generator, dtype=dtype)
    y = torch.randn(n_tasks, 10, 2, generator=generator, dtype=dtype)
    if kind == "classification":
        y = (y[..., 0] > 0).long()
    by = leaves(stacked)
    expected_losses = task_losses(net(by, x), y, kind) * factor
    expected = gradients(expected_losses, by)
    losses, found = losses_and_gradients(net, stacked, x, y, kind, factor=factor)
    assert torch.equal(losses, expected_losses.detach())
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not any(value.requires_grad for value in found.values())
    _, some = losses_and_gradients(net, stacked, x, y, kind, factor=factor, by=["head.bias"])
    assert list(some) == ["head.bias"]
    assert torch.equal(some["head.bias"], expected["head.bias"])
