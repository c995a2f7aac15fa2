"""The networks against torch.nn modules and against what the papers say of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from algorithms.engines.task_network import TaskNetwork
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import NORM_EPSILON, Network, apply_head, forward
from tests.algorithms.helpers import CONV, POOLED, weights_of


def test_conv4_has_no_convolution_bias_and_a_shift_without_a_scale() -> None:
    names = set(Conv4((1, 28, 28), 5).init(torch.Generator()))
    layers = {f"{kind}{i}.{what}" for i in range(1, 5) for kind, what in (("conv", "weight"), ("norm", "bias"))}
    assert names == layers | {"head.weight", "head.bias"}
    scaled = set(Conv4((1, 28, 28), 5, norm_scale=True).init(torch.Generator()))
    assert scaled - names == {f"norm{i}.weight" for i in range(1, 5)}


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (MLP(1, 1), 1 * 40 + 40 + 40 * 40 + 40 + 40 + 1),
        (Conv4((1, 28, 28), 5), 9 * 64 + 3 * 9 * 64 * 64 + 4 * 64 + 64 * 5 + 5),
        (
            Conv4((3, 84, 84), 5, channels=32, downsample="max-pool", reduce="flatten"),
            9 * 3 * 32 + 3 * 9 * 32 * 32 + 4 * 32 + 800 * 5 + 5,
        ),
    ],
    ids=["sinusoid", "omniglot", "mini-imagenet"],
)
def test_number_of_parameters(network: Network, parameters: int) -> None:
    assert sum(value.numel() for value in network.init(torch.Generator()).values()) == parameters


@pytest.mark.parametrize("network", [CONV, POOLED], ids=["stride", "max-pool"])
def test_conv4_is_the_module_that_pytorch_makes_of_the_same_layers(network: Conv4) -> None:
    weights, n_in = weights_of(network), network.input_shape[0]
    layers: list[nn.Module] = []
    for i in range(1, 5):
        stride = 2 if network.downsample == "stride" else 1
        convolution = nn.Conv2d(n_in, network.channels, 3, stride=stride, padding=1, bias=False)
        norm = nn.BatchNorm2d(network.channels, eps=NORM_EPSILON, track_running_stats=False)
        convolution.weight = nn.Parameter(weights[f"conv{i}.weight"])
        norm.bias = nn.Parameter(weights[f"norm{i}.bias"])
        scale = weights.get(f"norm{i}.weight", torch.ones(network.channels, dtype=torch.float64))
        norm.weight = nn.Parameter(scale)
        layers += [convolution, norm, nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if network.downsample == "max-pool" else []
        n_in = network.channels
    x = torch.randn(6, *network.input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    body = nn.Sequential(*layers)(x)
    features = body.mean(dim=(2, 3)) if network.reduce == "mean" else body.flatten(1)
    expected = features @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(forward(network, weights, x), expected.detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("network", [CONV, POOLED], ids=["stride", "max-pool"])
def test_a_batch_normalised_by_its_own_statistics_is_the_same(network: Conv4) -> None:
    weights = weights_of(network)
    x = torch.randn(6, *network.input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    own = network.statistics(weights, x)
    torch.testing.assert_close(network.features(weights, x, own), network.features(weights, x))
    other = network.features(weights, x[:3], own)
    torch.testing.assert_close(other, network.features(weights, x)[:3])
    assert not torch.allclose(network.features(weights, x[:3]), other)


def test_heads_are_drawn_as_each_paper_draws_them() -> None:
    for how, deviation in (("small", 0.0088), ("normal", 1.0), ("glorot", (2 / (64 + 1000)) ** 0.5)):
        network = Conv4((1, 28, 28), 1000, head_init=how)  # type: ignore[arg-type]
        weights = network.init(torch.Generator().manual_seed(0))
        assert float(weights["head.weight"].std()) == pytest.approx(deviation, rel=0.02), how
        assert not weights["head.bias"].any()
    assert float(MLP(1, 1).init(torch.Generator())["layer2.weight"].abs().max()) <= 0.02


def test_apply_head_gives_each_task_its_own_head() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {"head.weight": torch.randn(3, 5, 4, generator=generator), "head.bias": torch.randn(3, 5)}
    features = torch.randn(3, 7, 4, generator=generator)
    for t in range(3):
        expected = features[t] @ weights["head.weight"][t].T + weights["head.bias"][t]
        torch.testing.assert_close(apply_head(weights, features)[t], expected)


@pytest.mark.parametrize("network", [CONV, POOLED], ids=["stride", "max-pool"])
def test_engines_agree_on_outputs_and_statistics(network: Conv4) -> None:
    tasks = [weights_of(network, seed) for seed in range(3)]
    weights = {name: torch.stack([one[name] for one in tasks]) for name in tasks[0]}
    x = torch.randn(3, 6, *network.input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loop, vmap = TaskNetwork(network, "loop"), TaskNetwork(network, "vmap")
    statistics = loop.statistics(weights, x)
    torch.testing.assert_close(vmap.statistics(weights, x), statistics, rtol=1e-9, atol=1e-10)
    for given in (None, statistics):
        torch.testing.assert_close(vmap(weights, x, given), loop(weights, x, given), rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(loop(weights, x)[1], forward(network, tasks[1], x[1]))


def test_the_stacked_engine_is_for_networks_that_take_stacks() -> None:
    with pytest.raises(ValueError, match="engine 'stacked' is written for MLP, not for Conv4"):
        TaskNetwork(CONV, "stacked")
