"""The networks of the papers, as pure functions of their weights, for one task.

``algorithms.engines.task_network`` applies them to many tasks, each with weights of its own. Convolutions have no
bias: a bias before batch normalisation has no effect and a zero gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from algorithms.networks.options import HeadInit

Weights = Mapping[str, Tensor]
Statistics = Mapping[str, Tensor]

NORM_EPSILON = 1e-3  # that of TensorFlow's batch_norm, which MAML's code used


class Network(Protocol):
    """A function of (weights, inputs): features, then a linear head called ``head.weight`` and ``head.bias``."""

    @property
    def n_outputs(self) -> int: ...
    @property
    def n_features(self) -> int: ...
    @property
    def norm_layers(self) -> tuple[str, ...]:
        """Names of the batch-normalisation layers; empty where transductive and inductive evaluation are the same."""

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Fresh weights, drawn from ``generator`` in a fixed order."""

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """[B, n_features] from x [B, *input_shape]; batch norm uses ``statistics``, or the batch's own."""

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """``<layer>.mean`` and ``<layer>.var`` ([channels], biased variance) of every normalisation layer on x."""

    def with_outputs(self, n_outputs: int) -> Self:
        """The same network with a head of another size."""


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[..., B, n_out] from x [..., B, n_in], weight [..., n_out, n_in] and bias [..., n_out], for one task or many."""
    if x.dim() == 3:
        return torch.baddbmm(bias[:, None], x, weight.mT)
    return F.linear(x, weight, bias)


def apply_head(weights: Weights, features: Tensor) -> Tensor:
    """[..., B, n_outputs] from features [..., B, n_features], for one task or many with heads of their own."""
    return linear(features, weights["head.weight"], weights["head.bias"])


def forward(network: Network, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
    """[B, n_outputs] from x [B, *input_shape]."""
    return apply_head(weights, network.features(weights, x, statistics))


def _truncated_normal(shape: tuple[int, ...], generator: Generator, std: float = 0.01) -> Tensor:
    return torch.nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std, generator=generator)


def init_head(n_outputs: int, n_features: int, generator: Generator, how: HeadInit = "small") -> dict[str, Tensor]:
    """A linear head with a zero bias; see ``Conv4.head_init``."""
    if how == "small":
        weight = _truncated_normal((n_outputs, n_features), generator)
    elif how == "normal":
        weight = torch.randn(n_outputs, n_features, generator=generator)
    else:
        weight = torch.nn.init.xavier_uniform_(torch.empty(n_outputs, n_features), generator=generator)
    return {"head.weight": weight, "head.bias": torch.zeros(n_outputs)}


@dataclass(frozen=True)
class MLP:
    """ReLU layers and a linear head (Finn et al. 2017, section 5.1: two hidden layers of 40).

    Attributes:
        n_inputs: size of the input vectors.
        n_outputs: size of the head.
        hidden: sizes of the hidden layers; none makes a linear model.
    """

    n_inputs: int
    n_outputs: int
    hidden: tuple[int, ...] = (40, 40)

    @property
    def n_features(self) -> int:
        return self.hidden[-1] if self.hidden else self.n_inputs

    @property
    def norm_layers(self) -> tuple[str, ...]:
        return ()

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Truncated normal weights of deviation 0.01 and zero biases, as in MAML's code."""
        weights: dict[str, Tensor] = {}
        for i, (n_in, n_out) in enumerate(zip((self.n_inputs, *self.hidden), self.hidden, strict=False), start=1):
            weights[f"layer{i}.weight"] = _truncated_normal((n_out, n_in), generator)
            weights[f"layer{i}.bias"] = torch.zeros(n_out)
        return weights | init_head(self.n_outputs, self.n_features, generator)

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """[..., B, n_features] from x [..., B, n_inputs], for one task or many with weights of their own."""
        for i in range(1, len(self.hidden) + 1):
            x = F.relu(linear(x, weights[f"layer{i}.weight"], weights[f"layer{i}.bias"]))
        return x

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Empty: there is nothing to normalise."""
        return {}

    def with_outputs(self, n_outputs: int) -> Self:
        return replace(self, n_outputs=n_outputs)


@dataclass(frozen=True)
class Conv4:
    """Four blocks of 3x3 convolution, batch norm and ReLU, and a linear head (Vinyals et al. 2016; Finn et al. 2017).

    Attributes:
        input_shape: (channels, height, width).
        n_outputs: size of the head.
        channels: filters of each block (64 for Omniglot, 32 for mini-ImageNet).
        downsample: ``stride`` (stride-2 convolutions, Omniglot) or ``max-pool`` (2x2, mini-ImageNet).
        reduce: ``mean`` over positions before the head (MAML's Omniglot code) or ``flatten`` (its mini-ImageNet code).
        norm_scale: whether batch norm has a learned scale beside its shift; MAML's code has none.
        head_init: how the head's weights are drawn: ``small`` (normal of deviation 0.01, cut at two deviations: as all
            layers of MAML's code that are no convolutions), ``normal`` (of deviation 1: its Conv4 for Omniglot) or
            ``glorot`` (its Conv4 for mini-ImageNet).
    """

    input_shape: tuple[int, int, int]
    n_outputs: int
    channels: int = 64
    downsample: Literal["stride", "max-pool"] = "stride"
    reduce: Literal["mean", "flatten"] = "mean"
    norm_scale: bool = False
    head_init: HeadInit = "small"

    blocks = 4

    @property
    def n_features(self) -> int:
        if self.reduce == "mean":
            return self.channels
        height, width = self.input_shape[1:]
        for _ in range(self.blocks):
            if self.downsample == "stride":
                height, width = math.ceil(height / 2), math.ceil(width / 2)
            else:
                height, width = height // 2, width // 2
        return self.channels * height * width

    @property
    def norm_layers(self) -> tuple[str, ...]:
        return tuple(f"norm{i}" for i in range(1, self.blocks + 1))

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Convolutions Glorot uniform, shifts zero, scales one, as in MAML's code; the head by ``head_init``."""
        weights: dict[str, Tensor] = {}
        n_in = self.input_shape[0]
        for i in range(1, self.blocks + 1):
            kernel = torch.empty(self.channels, n_in, 3, 3)
            weights[f"conv{i}.weight"] = torch.nn.init.xavier_uniform_(kernel, generator=generator)
            if self.norm_scale:
                weights[f"norm{i}.weight"] = torch.ones(self.channels)
            weights[f"norm{i}.bias"] = torch.zeros(self.channels)
            n_in = self.channels
        return weights | init_head(self.n_outputs, self.n_features, generator, self.head_init)

    def _convolve(self, weights: Weights, i: int, x: Tensor) -> Tensor:
        return F.conv2d(x, weights[f"conv{i}.weight"], stride=2 if self.downsample == "stride" else 1, padding=1)

    def _normalise(self, weights: Weights, i: int, x: Tensor, statistics: Statistics | None) -> Tensor:
        mean = statistics[f"norm{i}.mean"] if statistics else None
        var = statistics[f"norm{i}.var"] if statistics else None
        shift = weights[f"norm{i}.bias"]
        # ones, not None: PyTorch's second derivative of batch norm by the shift fails without a scale
        scale = weights[f"norm{i}.weight"] if self.norm_scale else torch.ones_like(shift)
        x = F.batch_norm(x, mean, var, scale, shift, training=mean is None, eps=NORM_EPSILON)
        x = F.relu(x)
        return F.max_pool2d(x, 2) if self.downsample == "max-pool" else x

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """[B, n_features] from x [B, channels, height, width]."""
        for i in range(1, self.blocks + 1):
            x = self._normalise(weights, i, self._convolve(weights, i, x), statistics)
        return x.mean(dim=(2, 3)) if self.reduce == "mean" else x.flatten(1)

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Mean and biased variance of every convolution's output on x, over images and positions."""
        found: dict[str, Tensor] = {}
        for i in range(1, self.blocks + 1):
            x = self._convolve(weights, i, x)
            found[f"norm{i}.mean"] = x.mean(dim=(0, 2, 3))
            found[f"norm{i}.var"] = x.var(dim=(0, 2, 3), unbiased=False)
            x = self._normalise(weights, i, x, found)
        return found

    def with_outputs(self, n_outputs: int) -> Self:
        return replace(self, n_outputs=n_outputs)


def network_class(input_shape: tuple[int, ...]) -> type[MLP] | type[Conv4]:
    """The network for inputs of that shape: ``MLP`` for vectors, ``Conv4`` for images [channels, height, width].

    Raises:
        ValueError: it is the shape of neither.
    """
    if len(input_shape) == 1:
        return MLP
    if len(input_shape) == 3:
        return Conv4
    raise ValueError(f"there is no network for inputs of shape {input_shape}: give vectors [n] or images [c, h, w]")


def network_options(network: type[MLP] | type[Conv4]) -> list[str]:
    """What of the network can be chosen, in alphabetical order."""
    given = ("input_shape", "n_inputs", "n_outputs")  # by the dataset and the episodes
    return sorted(one.name for one in fields(network) if one.name not in given)
