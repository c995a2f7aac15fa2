"""The contract of a network, its linear head, and what networks share.

A network is a pure function of its weights, for one task. ``algorithms.engines.task_network`` applies it to many tasks,
each with weights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

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


def truncated_normal(shape: tuple[int, ...], generator: Generator, std: float = 0.01) -> Tensor:
    return torch.nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std, generator=generator)


def init_head(n_outputs: int, n_features: int, generator: Generator, how: HeadInit = "small") -> dict[str, Tensor]:
    """A linear head with a zero bias; see ``Conv4.head_init``."""
    if how == "small":
        weight = truncated_normal((n_outputs, n_features), generator)
    elif how == "normal":
        weight = torch.randn(n_outputs, n_features, generator=generator)
    else:
        weight = torch.nn.init.xavier_uniform_(torch.empty(n_outputs, n_features), generator=generator)
    return {"head.weight": weight, "head.bias": torch.zeros(n_outputs)}
