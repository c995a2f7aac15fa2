"""Conv4, four blocks of convolution, batch norm and ReLU, as a pure function of its weights, for one task.

Convolutions have no bias: a bias before batch normalization has no effect and a zero gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from algorithms.networks.entry import register_network
from algorithms.networks.network import (
    NORM_EPSILON,
    Role,
    Statistics,
    Weights,
    channel_statistics,
    init_head,
    role_by_name,
)
from algorithms.networks.options import Conv4Options, HeadInit
from datasets.core.errors import UserError


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
        """Return Glorot uniform convolutions, zero shifts and unit scales, as in MAML's code; see ``head_init``."""
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

    def _normalize(self, weights: Weights, i: int, x: Tensor, statistics: Statistics | None) -> Tensor:
        mean = statistics[f"norm{i}.mean"] if statistics else None
        var = statistics[f"norm{i}.var"] if statistics else None
        shift = weights[f"norm{i}.bias"]
        # ones, not None: PyTorch's second derivative of batch norm by the shift fails without a scale
        scale = weights[f"norm{i}.weight"] if self.norm_scale else torch.ones_like(shift)
        x = F.batch_norm(x, mean, var, scale, shift, training=mean is None, eps=NORM_EPSILON)
        x = F.relu(x)
        return F.max_pool2d(x, 2) if self.downsample == "max-pool" else x

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Return [B, n_features] from x [B, channels, height, width]."""
        for i in range(1, self.blocks + 1):
            x = self._normalize(weights, i, self._convolve(weights, i, x), statistics)
        return x.mean(dim=(2, 3)) if self.reduce == "mean" else x.flatten(1)

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Return the mean and biased variance of every convolution's output on x, over images and positions."""
        statistics: dict[str, Tensor] = {}
        for i in range(1, self.blocks + 1):
            x = self._convolve(weights, i, x)
            statistics[f"norm{i}.mean"], statistics[f"norm{i}.var"] = channel_statistics(x)
            x = self._normalize(weights, i, x, statistics)
        return statistics

    def role(self, name: str) -> Role:
        """Return the role of the weight called ``name``."""
        return role_by_name(name)


@register_network(
    "conv4",
    options=Conv4Options,
    paper="Vinyals et al. 2016, arXiv 1606.04080; Finn et al. 2017, arXiv 1703.03400",
    summary="four blocks of convolution, batch norm and ReLU on images",
)
def conv4(input_shape: tuple[int, ...], n_outputs: int, **options: Any) -> Conv4:
    """Return a Conv4 for images."""
    if len(input_shape) != 3:
        raise UserError(f"conv4 takes images [channels, height, width], but the inputs have shape {input_shape}")
    channels, height, width = input_shape
    return Conv4((channels, height, width), n_outputs, **options)
