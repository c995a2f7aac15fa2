"""Conv4 for CPUs: the same function as ``networks.Conv4``, channels last, with its element-wise work fused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from algorithms.fused import channels_last, norm_relu
from algorithms.networks import NORM_EPSILON, Conv4, Statistics, Weights


@dataclass(frozen=True)
class FusedConv4:
    """A network like any other, for one task; see ``algorithms.fused`` for what is fused.

    Attributes:
        plain: the network whose function this is.
    """

    plain: Conv4

    @property
    def n_outputs(self) -> int:
        return self.plain.n_outputs

    @property
    def n_features(self) -> int:
        return self.plain.n_features

    @property
    def norm_layers(self) -> tuple[str, ...]:
        return self.plain.norm_layers

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """The plain network's."""
        return self.plain.init(generator)

    def _convolve(self, weights: Weights, i: int, x: Tensor) -> Tensor:
        return F.conv2d(x, weights[f"conv{i}.weight"], stride=2 if self.plain.downsample == "stride" else 1, padding=1)

    def _block(self, weights: Weights, i: int, x: Tensor) -> Tensor:
        """Norm, ReLU and pooling of block ``i`` after its convolution, by the batch's own statistics."""
        scale = weights[f"norm{i}.weight"] if self.plain.norm_scale else None
        return norm_relu(x, weights[f"norm{i}.bias"], scale, NORM_EPSILON, self.plain.downsample == "max-pool")

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """[B, n_features] from x [B, channels, height, width]."""
        x = channels_last(x)
        if statistics is not None:
            return self.plain.features(weights, x, statistics)
        for i in range(1, self.plain.blocks + 1):
            x = self._block(weights, i, self._convolve(weights, i, x))
        return x.mean(dim=(2, 3)) if self.plain.reduce == "mean" else x.flatten(1)

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Mean and biased variance of every convolution's output on x, over images and positions."""
        found: dict[str, Tensor] = {}
        x = channels_last(x)
        for i in range(1, self.plain.blocks + 1):
            x = self._convolve(weights, i, x)
            ones = torch.ones_like(weights[f"norm{i}.bias"])
            _, mean, inverse = torch.native_batch_norm(x, ones, ones, None, None, True, 0.0, NORM_EPSILON)
            found[f"norm{i}.mean"], found[f"norm{i}.var"] = mean, inverse.pow(-2) - NORM_EPSILON
            x = self._block(weights, i, x)
        return found

    def with_outputs(self, n_outputs: int) -> Self:
        return type(self)(self.plain.with_outputs(n_outputs))
