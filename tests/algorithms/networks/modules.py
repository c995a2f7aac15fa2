"""Modules such as a user may have, right ones and wrong ones."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import NORM_EPSILON


def plain_conv4(network: Conv4) -> nn.Module:
    """The layers of a Conv4 whose batch norm has a scale."""
    assert network.norm_scale
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    n_in = network.input_shape[0]
    for i in range(1, network.blocks + 1):
        layers[f"conv{i}"] = nn.Conv2d(n_in, network.channels, 3, padding=1, bias=False)
        layers[f"norm{i}"] = nn.BatchNorm2d(network.channels, eps=NORM_EPSILON)
        layers[f"relu{i}"] = nn.ReLU()
        layers[f"pool{i}"] = nn.MaxPool2d(2)
        n_in = network.channels
    layers["flat"] = nn.Flatten()
    return nn.Sequential(layers)


def plain_mlp(network: MLP) -> nn.Module:
    """The hidden layers of an MLP."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    n_in = network.n_inputs
    for i, n_out in enumerate(network.hidden, start=1):
        layers[f"layer{i}"], layers[f"relu{i}"] = nn.Linear(n_in, n_out), nn.ReLU()
        n_in = n_out
    return nn.Sequential(layers)


class SmallCNN(nn.Module):
    """A convolution with a normalization layer of some kind, dropout, and mean pooling."""

    def __init__(self, width: int = 6, norm: str = "batch", dropout: float = 0.0) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, width, 3, padding=1)
        self.norm: nn.Module = {
            "batch": nn.BatchNorm2d(width),
            "batch without running averages": nn.BatchNorm2d(width, track_running_stats=False),
            "group": nn.GroupNorm(2, width),
            "instance": nn.InstanceNorm2d(width, affine=True, track_running_stats=True),
        }[norm]
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.norm(self.convolution(x)), 0.1)
        return F.dropout(y.mean(dim=(2, 3)), self.dropout, training=self.training)


class Tied(nn.Module):
    """One layer that is used twice, and once more under another name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.second(torch.tanh(self.norm(self.first(x))))))


class Transformer(nn.Module):
    """An encoder layer on rows of an image."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x[:, 0])
        return y.mean(dim=1)


class KeepsShape(nn.Conv2d):
    """Features of four dimensions."""


class Counts(nn.Module):
    """A buffer that changes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        y: Tensor = self.linear(x)
        return y


class Frozen(nn.Linear):
    """A parameter that cannot be trained."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.bias.requires_grad_(False)


class OwnNorm(nn.BatchNorm1d):
    """A batch norm whose statistics are its own affair."""


class Noisy(nn.Linear):
    """Draws in evaluation mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(1)


class Narrow(nn.Linear):
    """Takes other inputs than it gets."""
