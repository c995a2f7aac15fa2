"""Our networks as plain PyTorch modules, for the libraries that want one; the same mathematics, written their way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import NORM_EPSILON, Network


class _Norm(nn.Module):
    """Batch norm on the batch's own statistics with a learned shift and no scale, as MAML's code has it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.ones: Tensor
        self.register_buffer("ones", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, self.ones, self.bias, training=True, eps=NORM_EPSILON)


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def as_module(network: Network, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network as ``nn.Sequential`` with these weights; ``norm*`` are adapted too, as libraries adapt everything."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if isinstance(network, ModuleNetwork):
        layers["backbone"] = network.fresh_backbone()
    elif isinstance(network, MLP):
        sizes = (network.n_inputs, *network.hidden)
        for i in range(1, len(sizes)):
            layers[f"layer{i}"] = nn.Linear(sizes[i - 1], sizes[i])
            layers[f"relu{i}"] = nn.ReLU()
    elif isinstance(network, Conv4):
        n_in = network.input_shape[0]
        for i in range(1, network.blocks + 1):
            stride = 2 if network.downsample == "stride" else 1
            layers[f"conv{i}"] = nn.Conv2d(n_in, network.channels, 3, stride=stride, padding=1, bias=False)
            layers[f"norm{i}"] = _Norm(network.channels)
            layers[f"relu{i}"] = nn.ReLU()
            if network.downsample == "max-pool":
                layers[f"pool{i}"] = nn.MaxPool2d(2)
            n_in = network.channels
        layers["reduce"] = _Mean() if network.reduce == "mean" else nn.Flatten()
    layers["head"] = nn.Linear(network.n_features, network.n_outputs)
    module = nn.Sequential(layers).to(next(iter(weights.values())).dtype)
    missing = module.load_state_dict(dict(weights), strict=False)
    assert not missing.unexpected_keys
    return module


def named(module: nn.Module) -> dict[str, Tensor]:
    """The gradients with respect to the network's weight names, whatever wraps it."""
    gradients = {}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            gradients[name.removeprefix("module.")] = parameter.grad.clone()
    return gradients
