"""The contract of a network, its linear head, and what networks share.

A network is a pure function of its weights, for one task. ``algorithms.engines.task_network`` applies it to many tasks,
each with weights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from algorithms.networks.options import HeadInit

Weights = Mapping[str, Tensor]
Statistics = Mapping[str, Tensor]
Role = Literal["body", "norm", "head"]
"""The role of a weight: ``norm`` are the scales and shifts of normalization layers, ``head`` is the linear head."""

NORM_EPSILON = 1e-3  # that of TensorFlow's batch_norm, which MAML's code used


class Network(Protocol):
    """A function of (weights, inputs): features, then a linear head called ``head.weight`` and ``head.bias``."""

    @property
    def n_outputs(self) -> int: ...
    @property
    def n_features(self) -> int: ...
    @property
    def norm_layers(self) -> tuple[str, ...]:
        """The batch-normalization layers; empty where transductive and inductive evaluation are the same."""

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Return fresh weights, drawn from ``generator`` in a fixed order."""

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Return [B, n_features] from x [B, *input_shape]; batch norm uses ``statistics``, or the batch's own."""

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Return ``<layer>.mean`` and ``<layer>.var`` ([channels], biased variance) of each batch-norm layer on x."""

    def role(self, name: str) -> Role:
        """Return the role of the weight called ``name``."""


class SameWeights:
    """Base of what computes another network's function in another way: the weights and their roles are that one's.

    Attributes:
        plain: the other network.
    """

    plain: Network

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

    def role(self, name: str) -> Role:
        """Return the role of the weight called ``name``."""
        return self.plain.role(name)


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance [channels] of x [B, channels, ...], of bfloat16 in float32."""
    x = x.float() if x.dtype == torch.bfloat16 else x
    axes = [0, *range(2, x.dim())]
    return x.mean(dim=axes), x.var(dim=axes, unbiased=False)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return [..., B, n_out] from x [..., B, n_in], weight [..., n_out, n_in] and bias [..., n_out], for one task or
    many.

    >>> linear(torch.ones(2, 3), torch.ones(1, 3), torch.zeros(1))
    tensor([[3.],
            [3.]])
    """
    if x.dim() == 3:
        return torch.baddbmm(bias[:, None], x, weight.mT)
    return F.linear(x, weight, bias)


def apply_head(weights: Weights, features: Tensor) -> Tensor:
    """Return [..., B, n_outputs] from features [..., B, n_features], for one task or many with heads of their own."""
    return linear(features, weights["head.weight"], weights["head.bias"])


def forward(network: Network, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
    """Return [B, n_outputs] from x [B, *input_shape]."""
    return apply_head(weights, network.features(weights, x, statistics))


def has_norm_weights(network: Network) -> bool:
    """Return whether the network has scales or shifts of normalization layers, of whatever kind."""
    return any(network.role(name) == "norm" for name in network.init(Generator()))


def role_by_name(name: str) -> Role:
    """Return the role of a weight of the built-in networks, whose names begin with it.

    >>> role_by_name("norm1.bias"), role_by_name("conv1.weight"), role_by_name("head.bias")
    ('norm', 'body', 'head')
    """
    if name.startswith("head."):
        return "head"
    return "norm" if name.startswith("norm") else "body"


def truncated_normal(shape: tuple[int, ...], generator: Generator, std: float = 0.01) -> Tensor:
    """Return a tensor drawn from a normal distribution that is cut at two deviations."""
    return torch.nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std, generator=generator)


def init_head(n_outputs: int, n_features: int, generator: Generator, how: HeadInit = "small") -> dict[str, Tensor]:
    """Return a linear head with a zero bias; see ``Conv4.head_init``."""
    if how == "small":
        weight = truncated_normal((n_outputs, n_features), generator)
    elif how == "normal":
        weight = torch.randn(n_outputs, n_features, generator=generator)
    else:
        weight = torch.nn.init.xavier_uniform_(torch.empty(n_outputs, n_features), generator=generator)
    return {"head.weight": weight, "head.bias": torch.zeros(n_outputs)}
