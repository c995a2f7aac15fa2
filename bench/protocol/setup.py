"""The pieces of one cell: dataset, episode streams, network and algorithm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from algorithms import ALGORITHMS, Algorithm, Problem
from algorithms.core.algorithm import Mode
from algorithms.core.meta_state import State
from algorithms.engines.task_network import engine_choice
from algorithms.networks.network import Network
from algorithms.networks.policy import policy_for
from bench.protocol.outputs import checked_outputs, checked_returns
from bench.protocol.training_shape import explained
from bench.spec.cell import Cell
from datasets import Dataset, UserError
from datasets.core.control import ControlDataset, ControlEpisodes
from datasets.core.episodes import Episodes, EpisodeStream, Examples, Shape, Support
from datasets.core.randomness import key_of

EVALUATION_SEED = (
    0  # of the meta-validation and meta-test lists: one for all cells, so that seeds x episodes is crossed
)


def train_shape(cell: Cell) -> Shape:
    """The shape of the cell's training episodes: the grid's, or what the algorithm's paper trained on."""
    entry = ALGORITHMS[cell.algorithm]
    return entry.factory.train_shape(entry.hparams.model_validate(cell.hparams), asked_shape(cell))


def training_stream(cell: Cell, dataset: Dataset, seed: int, device: torch.device | None = None) -> EpisodeStream:
    """The cell's training episodes of that seed; raises UserError where the dataset cannot give their shape."""
    shape = train_shape(cell)
    try:
        return dataset.stream("train", shape, seed, device)
    except UserError as error:
        raise explained(error, cell, dataset, shape, asked_shape(cell)) from None


def asked_shape(cell: Cell) -> Shape:
    return Shape(cell.n_way, cell.train.n_shot or cell.n_shot, cell.train.n_query)


def test_shape(cell: Cell) -> Shape:
    """The shape of the cell's meta-validation and meta-test episodes."""
    return Shape(cell.n_way, cell.n_shot, cell.evaluation.n_query)


def network_of(cell: Cell, dataset: Dataset, n_outputs: int) -> Network:
    """Return the cell's network; for control a policy, which may see the parameters of its task."""
    if not isinstance(dataset, ControlDataset):
        return cell.build_network(dataset.input_shape, n_outputs)
    environment = dataset.environment
    told = ALGORITHMS[cell.algorithm].factory.told
    n_inputs = environment.observation_size + (environment.n_parameters if told else 0)
    return policy_for(environment.actions, n_inputs, cell.network.hidden)


@dataclass
class CellSetup:
    """The pieces of one cell that training and validation need, made once; the test episodes are not among them."""

    cell: Cell
    dataset: Dataset
    device: torch.device
    algorithm: Algorithm[Any] = field(init=False)
    train: EpisodeStream = field(init=False)
    val: EpisodeStream = field(init=False)

    def __post_init__(self) -> None:
        cell, dataset = self.cell, self.dataset
        entry = ALGORITHMS[cell.algorithm]
        self.hparams = entry.hparams.model_validate(cell.hparams)
        self.train = training_stream(cell, dataset, cell.seed, self.device)
        shape = self.train.name.shape
        self.val = dataset.stream("val", test_shape(cell), EVALUATION_SEED, self.device)
        self.examples = None if dataset.kind == "control" else dataset.examples(cell.seed, self.device)
        self.n_outputs = cell.n_way if dataset.kind == "classification" else 1
        self.network = network_of(cell, dataset, self.n_outputs)
        budget = cell.train.episodes
        self.n_outer = math.ceil(budget / self.hparams.meta_batch) if budget else None
        if not entry.factory.trains:
            self.n_outer = 1
        n_classes = 1 if self.examples is None else self.examples.batch(0, 1).n_classes
        problem = Problem(dataset.kind, shape, n_classes, self.n_outer or 0)
        self.algorithm = entry.factory(
            self.hparams, problem, self.network, cell.engine, self.device, **cell.factory_options
        )

    @property
    def engine_reason(self) -> str:
        """Return why tasks are mapped by the engine that is used."""
        return "asked for" if self.cell.engine else engine_choice(self.network, self.device).reason

    def first_state(self) -> State:
        """The seed's initial weights, which all algorithms share, and the algorithm's own first draws."""
        weights = self.network.init(self._generator("weights"))
        weights = {name: value.to(self.device) for name, value in weights.items()}
        return self.algorithm.init(weights, self._generator(self.cell.algorithm))

    def _generator(self, purpose: str) -> Generator:
        return Generator().manual_seed(int(key_of(purpose, self.cell.seed) >> np.uint64(1)))

    def batch(self, step: int) -> Episodes | Examples:
        """The training data of outer step ``step``; the last one is smaller where the budget does not divide."""
        size = self.hparams.meta_batch
        start = step * size
        if self.cell.train.episodes:
            size = min(size, self.cell.train.episodes - start)
        if self.algorithm.consumes == "examples" and self.examples is not None:
            per_episode = asked_shape(self.cell).examples
            return self.examples.batch(start * per_episode, size * per_episode)
        return self.train.batch(range(start, start + size))

    def outputs(
        self, state: State, support: Support, query_x: Tensor, last_only: bool = False
    ) -> Iterator[tuple[int, Mapping[Mode, Tensor]]]:
        """The algorithm's outputs after its test steps; see ``checked_outputs``."""
        return checked_outputs(self.algorithm, state, support, query_x, self.n_outputs, last_only)

    def returns(self, state: State, episodes: ControlEpisodes, last_only: bool = False) -> Iterator[tuple[int, Tensor]]:
        """The mean returns [T] of adapted policies after the algorithm's test steps; see ``checked_returns``."""
        return checked_returns(self.algorithm, state, episodes, last_only)

    def episodes_used(self, outer_steps: int) -> int:
        """Meta-train episodes that so many outer steps consume."""
        used = outer_steps * self.hparams.meta_batch
        return min(self.cell.train.episodes or used, used)
