"""Synthetic episodes and small algorithms in float64, for tests that prove arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms import ALGORITHMS, Algorithm, Problem
from algorithms.core.meta_state import State
from algorithms.engines.task_network import EngineName
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Network
from algorithms.testing.synthetic import episodes_of, labels_of
from datasets.core.episodes import Episodes, Kind, Shape

CONV = Conv4((1, 10, 10), 3, channels=4)
POOLED = Conv4((2, 18, 18), 3, channels=3, downsample="max-pool", reduce="flatten", norm_scale=True)
SMALL_MLP = MLP(1, 1, hidden=(8, 8))
LINEAR = MLP(3, 1, hidden=())
THREE_WAY = Shape(3, 2, 3)
POINTS = Shape(1, 6, 5)


def kind_of(network: Network) -> Kind:
    return "regression" if isinstance(network, MLP) else "classification"


def made_episodes(network: Network, shape: Shape, n_tasks: int, seed: int = 0) -> Episodes:
    """Episodes of noise around a mean of each class (or a random function's values), in float64."""
    rng = np.random.default_rng(seed)
    input_shape = (network.n_inputs,) if isinstance(network, MLP) else network.input_shape  # type: ignore[attr-defined]
    labels = labels_of(shape)
    x = rng.normal(size=(n_tasks, shape.examples, *input_shape))
    targets = None
    if kind_of(network) == "regression":
        slopes = rng.normal(size=(n_tasks, *input_shape))
        targets = torch.from_numpy(np.sin((x * slopes[:, None]).sum(axis=-1, keepdims=True) + 0.3))
    else:
        means = rng.normal(size=(n_tasks, shape.n_way, *input_shape))
        x = x + means[:, labels]
    index, class_ids = np.arange(n_tasks), np.tile(np.arange(shape.n_way), (n_tasks, 1))
    return episodes_of(torch.from_numpy(x), targets, shape, index, index + 100 * seed, class_ids)


def weights_of(network: Network, seed: int = 0, scale: float = 1.0) -> dict[str, Tensor]:
    """Weights in float64 with nothing zero in them, so that every derivative shows."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.double() + scale * 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in network.init(generator).items()
    }


def make(
    name: str,
    network: Network,
    shape: Shape,
    engine: EngineName = "loop",
    n_outer: int = 10,
    n_train_classes: int = 7,
    **hparams: Any,
) -> Algorithm[Any]:
    entry = ALGORITHMS[name]
    kind = kind_of(network)
    problem = Problem(kind, shape, n_train_classes if kind == "classification" else 1, n_outer)
    return entry.factory(entry.hparams.model_validate(hparams), problem, network, engine)


def start(algorithm: Algorithm[Any], seed: int = 0) -> dict[str, Tensor]:
    """A first meta-state in float64."""
    generator = torch.Generator().manual_seed(seed)
    return dict(algorithm.init(weights_of(algorithm.net.network, seed), generator))


def flat(tensors: Mapping[str, Tensor]) -> np.ndarray:
    return np.concatenate([tensors[name].detach().numpy().reshape(-1) for name in sorted(tensors)])


def relative_error(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    assert sorted(found) == sorted(expected)
    a, b = flat(found), flat(expected)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def same_state(a: State, b: State) -> bool:
    return sorted(a) == sorted(b) and all(torch.equal(a[name], b[name]) for name in a)
