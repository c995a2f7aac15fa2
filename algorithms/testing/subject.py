"""A small synthetic problem on which an algorithm can be checked without data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from algorithms import Algorithm, AlgorithmEntry, HyperParameters, Problem
from algorithms.core.meta_state import State
from algorithms.engines.names import EngineName
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Network
from algorithms.testing.synthetic import N_CLASSES, SIDE, easy_episodes, easy_examples
from datasets.core.episodes import Episodes, Examples, Kind, Shape, Support

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
        self.algorithm = self.made()

    def made(self, engine: EngineName | None = None) -> Algorithm[Any]:
        """Return the algorithm under an engine; None for the one that the network gets by itself."""
        n_train_classes = self.n_classes if self.kind == "classification" else 1
        problem = Problem(self.kind, self.train_shape, n_train_classes, N_OUTER[self.kind])
        return self.entry.factory(self.hparams, problem, self.network, engine)

    @property
    def steps(self) -> int:
        return min(self.algorithm.test_steps, FEW_STEPS)

    def first_state(self, dtype: torch.dtype = torch.float64) -> State:
        weights = self.network.init(Generator().manual_seed(1))
        noise = Generator().manual_seed(2)  # so that nothing is zero only by its initialization
        moved = {name: value + 0.1 * torch.randn(value.shape, generator=noise) for name, value in weights.items()}
        return self.algorithm.init({name: value.to(dtype) for name, value in moved.items()}, Generator().manual_seed(3))

    def batch(self, step: int, dtype: torch.dtype = torch.float64) -> Episodes | Examples:
        """The training data of one outer step."""
        size = self.algorithm.hparams.meta_batch
        if self.algorithm.consumes == "examples":
            start, n = step * size * self.shape.examples, size * self.shape.examples
            return easy_examples(self.kind, start, n, dtype, self.n_classes)
        return easy_episodes(self.kind, self.train_shape, range(step * size, (step + 1) * size), 0, dtype)

    def episodes(self, n: int = N_TASKS, dtype: torch.dtype = torch.float64) -> Episodes:
        """Episodes of new classes."""
        return easy_episodes(self.kind, self.shape, range(n), N_CLASSES, dtype)

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

    def evidence(self, state: State) -> dict[str, Tensor]:
        """Return what hyper-parameters may change of a trained state's results."""
        episodes = self.episodes()
        return self.outputs(state, episodes.support, episodes.query_x)
