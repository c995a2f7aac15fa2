"""A small synthetic problem on which an algorithm can be checked without data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from algorithms import Algorithm, AlgorithmEntry, HyperParameters, Problem
from algorithms.core.meta_state import State
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Network
from datasets.core.episodes import Episodes, Examples, Kind, Shape, Support

SIDE = 12  # of the made-up images
N_CLASSES = 64  # of the made-up training split; the test split has as many others
N_TASKS = 3  # adapted together
FEW_STEPS = 5  # inner steps at most, where the number does not matter
N_OUTER = {"classification": 60, "regression": 250}  # outer steps of a whole training


@dataclass
class Subject:
    """An algorithm on a synthetic problem of one kind.

    Attributes:
        entry: the algorithm.
        kind: of the problem.
        changes: to the hyper-parameters that the entry's presets give.
        n_classes: of the training split, where its labels are classes.
        hparams: what the algorithm runs with.
        shape: of the episodes.
        train_shape: of the training episodes.
        network: the network.
    """

    entry: AlgorithmEntry
    kind: Kind
    changes: Mapping[str, Any] = field(default_factory=dict)
    n_classes: int = N_CLASSES
    hparams: HyperParameters = field(init=False)
    shape: Shape = field(init=False)
    algorithm: Algorithm[Any] = field(init=False)
    train_shape: Shape = field(init=False)
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        images = self.kind == "classification"
        self.shape = Shape(3, 2, 4) if images else Shape(1, 10, 10)
        family = "omniglot" if images else "sinusoid"
        changes = {"meta_batch": 4} | dict(self.changes)
        self.hparams = self.entry.settings(family, self.shape.n_way, self.shape.n_shot, changes)
        self.train_shape = self.entry.factory.train_shape(self.hparams, self.shape)
        self.network = Conv4((1, SIDE, SIDE), self.shape.n_way, channels=8) if images else MLP(1, 1)
        problem = Problem(self.kind, self.train_shape, self.n_classes if images else 1, N_OUTER[self.kind])
        self.algorithm = self.entry.factory(self.hparams, problem, self.network)

    @property
    def steps(self) -> int:
        return min(self.algorithm.test_steps, FEW_STEPS)

    def first_state(self, dtype: torch.dtype = torch.float64) -> State:
        weights = self.network.init(Generator().manual_seed(1))
        noise = Generator().manual_seed(2)  # so that nothing is zero only by its initialisation
        moved = {name: value + 0.1 * torch.randn(value.shape, generator=noise) for name, value in weights.items()}
        return self.algorithm.init({name: value.to(dtype) for name, value in moved.items()}, Generator().manual_seed(3))

    def batch(self, step: int, dtype: torch.dtype = torch.float64) -> Episodes | Examples:
        """The training data of one outer step."""
        size = self.algorithm.hparams.meta_batch
        if self.algorithm.consumes == "examples":
            start, n = step * size * self.shape.examples, size * self.shape.examples
            return _examples(self.kind, start, n, dtype, self.n_classes)
        return _episodes(self.kind, self.train_shape, range(step * size, (step + 1) * size), 0, dtype)

    def episodes(self, n: int = N_TASKS, dtype: torch.dtype = torch.float64) -> Episodes:
        """Episodes of new classes."""
        return _episodes(self.kind, self.shape, range(n), N_CLASSES, dtype)

    def trained(self, n_outer: int = 2) -> State:
        """The meta-state after ``n_outer`` outer steps."""
        state = self.first_state()
        for step in range(n_outer):
            state, _ = self.algorithm.outer_step(state, self.batch(step))
        return state

    def outputs(self, state: State, support: Support, query_x: Tensor) -> dict[str, Tensor]:
        """Both modes' outputs after the last step."""
        *_, (_, outputs) = self.algorithm.outputs(state, support, query_x, self.steps, last_only=True)
        return {str(mode): value for mode, value in outputs.items()}


def _episodes(kind: Kind, shape: Shape, indices: range, first_class: int, dtype: torch.dtype) -> Episodes:
    """Images of a pattern a class with noise, or y = a sin(x) with a in [1, 2]: easy to learn."""
    rngs = [np.random.default_rng([first_class, index]) for index in indices]
    n_support, n_query = shape.n_way * shape.n_shot, shape.n_way * shape.n_query
    labels = np.concatenate([np.repeat(np.arange(shape.n_way), n) for n in (shape.n_shot, shape.n_query)])
    if kind == "regression":
        class_ids = np.asarray(indices)[:, None]
        x = np.stack([rng.uniform(-3, 3, (n_support + n_query, 1)) for rng in rngs])
        y = torch.from_numpy(np.stack([rng.uniform(1, 2) * np.sin(part) for rng, part in zip(rngs, x, strict=True)]))
        targets = y.to(dtype)
    else:
        class_ids = np.stack([first_class + rng.permutation(N_CLASSES)[: shape.n_way] for rng in rngs])
        x = np.stack([_images(ids[labels], rng) for ids, rng in zip(class_ids, rngs, strict=True)])
        targets = torch.from_numpy(np.broadcast_to(labels, (len(rngs), len(labels))).copy())
    inputs = torch.from_numpy(x).to(dtype)
    seeds = np.array([int(rng.integers(2**62)) for rng in rngs])
    support = Support(inputs[:, :n_support], targets[:, :n_support], seeds, shape.n_way)
    return Episodes(np.asarray(indices), support, inputs[:, n_support:], targets[:, n_support:], class_ids, class_ids)


def _examples(kind: Kind, start: int, size: int, dtype: torch.dtype, n_classes: int) -> Examples:
    rng = np.random.default_rng([N_CLASSES, start])
    if kind == "regression":
        x = rng.uniform(-3, 3, (size, 1))
        y = rng.uniform(1, 2, (size, 1)) * np.sin(x)
        return Examples(torch.from_numpy(x).to(dtype), torch.from_numpy(y).to(dtype), 1)
    labels = rng.integers(N_CLASSES, size=size)
    return Examples(torch.from_numpy(_images(labels, rng)).to(dtype), torch.from_numpy(labels), n_classes)


def _images(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n, 1, SIDE, SIDE]: each class has a pattern of its own, coarse enough for a convolution to see."""
    coarse = np.random.default_rng(0).integers(0, 2, (2 * N_CLASSES, 1, SIDE // 3, SIDE // 3))[classes]
    images = coarse.repeat(3, axis=2).repeat(3, axis=3)
    return np.asarray(images + 0.1 * rng.normal(size=images.shape))
