"""The contract between the harness and an algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Generator, Tensor

from algorithms.core.hyperparameters import HyperParameters
from algorithms.core.meta_state import State
from algorithms.core.modes import MODES as MODES
from algorithms.core.modes import Mode as Mode
from algorithms.engines.names import EngineName, PrecisionName
from algorithms.engines.task_network import TaskNetwork, choose_engine
from algorithms.networks.network import Network, Weights
from datasets.core.episodes import Episodes, Examples, Kind, Shape, Support

H = TypeVar("H", bound=HyperParameters)
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Problem:
    """The problem that an algorithm is to solve.

    Attributes:
        kind: classification, regression or control.
        shape: the shape of the training episodes.
        n_train_classes: classes of the whole training split (1 for regression), for training on plain batches; 0 where
            a trained state is adapted and nothing trains.
        n_outer: how many outer steps there will be, for schedules; 0 where that is not known (a budget in seconds).
    """

    kind: Kind
    shape: Shape
    n_train_classes: int
    n_outer: int


class Algorithm(ABC, Generic[H]):
    """A method of few-shot learning, as functions of (meta-state, episodes): nothing is kept between calls.

    Derive from ``EpisodicAlgorithm``, or from ``BatchAlgorithm`` for a method that trains on plain labelled batches.

    Args:
        hparams: its hyper-parameters.
        problem: what is to be solved.
        network: the network, for one task.
        engine: how tasks are mapped; by default the quicker one for the device.
        device: where tensors live.
        checkpoint_steps: whether the graph of each inner step is computed again in the backward pass instead of kept;
            the same gradients in less memory, for methods that differentiate through ``inner_step``.
        precision: of the network's body; None for float32 (``algorithms.engines.precision``).

    Attributes:
        consumes: the batches of ``outer_step``: ``episodes``, or plain labelled ``examples``.
        trains: whether there is anything to train; where not, a cell takes one outer step and no more.
        second_order: whether ``outer_step`` differentiates gradients.
        label_equivariant: whether renaming an episode's classes renames the predictions and does nothing else.
        told: for control, whether the policy sees the parameters of its task, such as the goal.
    """

    consumes: ClassVar[Literal["episodes", "examples"]] = "episodes"
    trains: ClassVar[bool] = True
    second_order: ClassVar[bool] = False
    label_equivariant: ClassVar[bool] = False
    told: ClassVar[bool] = False

    def __init__(
        self,
        hparams: H,
        problem: Problem,
        network: Network,
        engine: EngineName | None = None,
        device: torch.device | None = None,
        checkpoint_steps: bool = False,
        precision: PrecisionName | None = None,
    ) -> None:
        self.hparams = hparams
        self.problem = problem
        self.checkpoint_steps = checkpoint_steps
        self.device = device or torch.device("cpu")
        self.net = TaskNetwork(network, engine or choose_engine(network, self.device), precision, self.device)

    @classmethod
    def train_shape(cls, hparams: H, shape: Shape) -> Shape:
        """Return the shape of the training episodes where the grid asks for ``shape``; some papers train on more
        shots."""
        return shape

    @property
    @abstractmethod
    def test_steps(self) -> int:
        """Inner steps at test time, K: metrics are recorded after the steps 0..K that ``adapt`` yields."""

    def init(self, weights: Weights, generator: Generator) -> State:
        """Return the first meta-state.

        Args:
            weights: the network's initial weights, the same for every algorithm of a seed.
            generator: for whatever else is random.
        """
        return {f"weights/{name}": value for name, value in weights.items()}

    def adaptation_state(self, state: State) -> State:
        """Return the part of the meta-state that ``adapt`` reads; all of it by default."""
        return state

    @abstractmethod
    def outer_step(self, state: State, batch: Any) -> tuple[State, Metrics]:
        """Take one step of meta-training; return the new meta-state and metrics, among them ``loss``, the mean training
        loss. ``state`` is not changed. The batch is what the class ``consumes``."""

    @abstractmethod
    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        """Yield a step and the adapted weights [T, ...] of the T episodes after it, for some of the steps 0..n_steps,
        the first and last among them.

        Each episode's result depends on ``state`` and that episode alone, and ``state`` is not changed.
        """

    def predict(self, weights: Weights, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        """Return outputs [T, Q, n_outputs] for query_x [T, Q, *input_shape] at adapted weights [T, ...].

        ``transductive`` normalizes the queries by their own batch statistics, ``inductive`` by those of the support set
        at the same weights.
        """
        statistics = self.net.statistics(weights, support.x) if mode == "inductive" else None
        return self.net(weights, query_x, statistics)

    def outputs(
        self, state: State, support: Support, query_x: Tensor, n_steps: int, last_only: bool = False
    ) -> Iterator[tuple[int, Mapping[Mode, Tensor]]]:
        """Yield outputs [T, Q, n_outputs] of both modes after each step that ``adapt`` yields, or after the last only.

        Without batch normalization the two modes are the same tensor.

        Raises:
            ValueError: the adapted weights are not those of the T episodes.
        """
        for step, weights in self.adapt(state, support, n_steps):
            _check_tasks(weights, step, len(support.x))
            if last_only and step < n_steps:
                continue
            with torch.no_grad():
                transductive = self.predict(weights, support, query_x, "transductive")
                same = not self.net.network.norm_layers
                inductive = transductive if same else self.predict(weights, support, query_x, "inductive")
            yield step, {"transductive": transductive, "inductive": inductive}


class EpisodicAlgorithm(Algorithm[H]):
    """Base of methods that train on episodes; one outer step gets ``meta_batch`` of them."""

    consumes: ClassVar[Literal["episodes", "examples"]] = "episodes"

    @abstractmethod
    def outer_step(self, state: State, batch: Episodes) -> tuple[State, Metrics]:
        """Take one step of meta-training; see ``Algorithm.outer_step``."""


class BatchAlgorithm(Algorithm[H]):
    """Base of methods that train on plain labelled batches; one outer step gets as many examples as ``meta_batch``
    episodes hold."""

    consumes: ClassVar[Literal["episodes", "examples"]] = "examples"

    @abstractmethod
    def outer_step(self, state: State, batch: Examples) -> tuple[State, Metrics]:
        """Take one step of training; see ``Algorithm.outer_step``."""


def _check_tasks(weights: Weights, step: int, n_tasks: int) -> None:
    """Raise ValueError where a tensor has not the episodes as its first dimension, which would be broadcast."""
    for name, value in weights.items():
        if value.shape[:1] != (n_tasks,):
            raise ValueError(
                f"'{name}' adapted after step {step} has shape {tuple(value.shape)}, but its first dimension must be "
                f"the {n_tasks} episodes"
            )
