"""The multi-layer perceptron of MAML's sinusoids, as a pure function of its weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from algorithms.networks.entry import register_network
from algorithms.networks.network import (
    Role,
    Statistics,
    Weights,
    init_head,
    linear,
    role_by_name,
    truncated_normal,
)
from algorithms.networks.options import MLPOptions
from datasets.core.errors import UserError


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
        """Return truncated normal weights of deviation 0.01 and zero biases, as in MAML's code."""
        weights: dict[str, Tensor] = {}
        for i, (n_in, n_out) in enumerate(zip((self.n_inputs, *self.hidden), self.hidden, strict=False), start=1):
            weights[f"layer{i}.weight"] = truncated_normal((n_out, n_in), generator)
            weights[f"layer{i}.bias"] = torch.zeros(n_out)
        return weights | init_head(self.n_outputs, self.n_features, generator)

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Return [..., B, n_features] from x [..., B, n_inputs], for one task or many with weights of their own."""
        for i in range(1, len(self.hidden) + 1):
            x = F.relu(linear(x, weights[f"layer{i}.weight"], weights[f"layer{i}.bias"]))
        return x

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Return nothing: there are no normalization layers."""
        return {}

    def role(self, name: str) -> Role:
        """Return the role of the weight called ``name``."""
        return role_by_name(name)


@register_network(
    "mlp",
    options=MLPOptions,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.1",
    summary="ReLU layers on vectors",
)
def mlp(input_shape: tuple[int, ...], n_outputs: int, hidden: tuple[int, ...]) -> MLP:
    """Return an MLP for vectors."""
    if len(input_shape) != 1:
        raise UserError(f"mlp takes vectors, but the inputs have shape {input_shape}")
    return MLP(input_shape[0], n_outputs, hidden)
