"""Workloads: outer steps and evaluations at the papers' shapes, on noise (speed does not depend on pixels)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from algorithms import ALGORITHMS, Algorithm, Problem
from algorithms.core.meta_state import State
from algorithms.engines.names import EngineName
from algorithms.networks.conv4 import Conv4
from algorithms.networks.entry import NETWORKS
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Network
from datasets.core.episodes import Episodes, Examples, Kind, Shape, Support

TimedWork = Literal["outer step", "evaluation", "method"]

OMNIGLOT = Conv4((1, 28, 28), 5)
MINI_IMAGENET = Conv4((3, 84, 84), 5, channels=32, downsample="max-pool", reduce="flatten")
SINUSOID = MLP(1, 1)


@cache
def resnet12() -> Network:
    """Return ResNet-12 for CIFAR-FS's images; made where it is used, because that takes time and memory."""
    entry = NETWORKS["resnet12"]
    return entry.build(entry.options.model_validate({}), (3, 32, 32), 5)


@dataclass(frozen=True)
class Workload:
    """An outer step on ``tasks`` episodes of ``shape``, or the adaptation to them.

    Attributes:
        name: of the workload.
        algorithm: of ours.
        trained: the network that is trained, or what returns it, the same at each call.
        shape: of the episodes.
        tasks: episodes at once.
        hparams: of the algorithm.
        work: whether the outer step is timed, or adapting to the episodes and predicting their queries; ``method`` is
            the outer step in training, on new tensors and from the state before.
        target: whether it counts in the geometric mean that the project's targets speak of.
    """

    name: str
    algorithm: str
    trained: Network | Callable[[], Network]
    shape: Shape
    tasks: int
    hparams: dict[str, Any] = field(default_factory=dict)
    work: TimedWork = "outer step"
    target: bool = False

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self.trained() if callable(self.trained) else self.trained

    @property
    def kind(self) -> Kind:
        return "regression" if isinstance(self.network, MLP) else "classification"

    def episodes(self, dtype: torch.dtype = torch.float32, tasks: int | None = None) -> Episodes:
        """The first ``tasks`` episodes of the workload, the same each time."""
        n, shape = self.tasks if tasks is None else tasks, self.shape
        generator = torch.Generator().manual_seed(0)
        x_shape = (1,) if isinstance(self.network, MLP) else getattr(self.network, "input_shape", ())
        support_x = torch.rand(self.tasks, shape.n_way * shape.n_shot, *x_shape, generator=generator, dtype=dtype)
        query_x = torch.rand(self.tasks, shape.n_way * shape.n_query, *x_shape, generator=generator, dtype=dtype)
        seeds, index = np.arange(n), np.arange(n)
        support = Support(support_x[:n], self._targets(support_x[:n]), seeds, shape.n_way)
        targets = self._targets(query_x[:n])
        return Episodes(index, support, query_x[:n], targets, index[:, None], index[:, None])

    def batch(self, dtype: torch.dtype = torch.float32) -> Episodes | Examples:
        """Return what an outer step takes, in tensors that nothing else has: a new object each time, as in training."""
        made = self.episodes(dtype)
        if ALGORITHMS[self.algorithm].factory.consumes == "examples":
            x, y = (torch.cat(parts, dim=1).flatten(0, 1) for parts in _parts(made))
            return Examples(x, y, self.shape.n_way)
        support = replace(made.support, x=made.support.x.clone())
        return replace(made, support=support, query_x=made.query_x.clone())

    def _targets(self, x: Tensor) -> Tensor:
        if self.kind == "regression":
            return torch.sin(6.0 * x)
        return torch.arange(self.shape.n_way).repeat_interleave(x.shape[1] // self.shape.n_way).expand(x.shape[:2])

    def weights(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """The initial weights, the same for every contender."""
        weights = self.network.init(torch.Generator().manual_seed(0))
        return {name: value.to(dtype) for name, value in weights.items()}

    def made(self, name: str, engine: EngineName | None, dtype: torch.dtype) -> tuple[Algorithm[Any], State]:
        """One of our algorithms on the workload's network, and its first state."""
        entry = ALGORITHMS[name]
        problem = Problem(self.kind, self.shape, self.shape.n_way if self.kind == "classification" else 1, 100)
        algorithm = entry.factory(entry.hparams(**self.hparams), problem, self.network, engine=engine)
        state = algorithm.init(self.weights(dtype), torch.Generator().manual_seed(1))
        return algorithm, {key: value.to(dtype) for key, value in state.items()}


def _parts(made: Episodes) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Inputs and targets of support and queries."""
    return (made.support.x, made.query_x), (made.support.y, made.query_y)


def of_methods() -> tuple[Workload, ...]:
    """An outer step of every algorithm of the registry that is installed, on images and on points, by its paper's
    settings on four episodes."""
    workloads = []
    for network, family, test_shape in (
        (OMNIGLOT, "omniglot", Shape(5, 1, 5)),
        (SINUSOID, "sinusoid", Shape(1, 10, 10)),
    ):
        kind, label = ("regression", "points") if isinstance(network, MLP) else ("classification", "images")
        for entry in ALGORITHMS:
            if kind in entry.kinds and not entry.missing():
                hparams = entry.settings(family, test_shape.n_way, test_shape.n_shot, {"meta_batch": 4})
                shape = entry.factory.train_shape(hparams, test_shape)
                workloads.append(
                    Workload(f"{label}: {entry.name}", entry.name, network, shape, 4, hparams.model_dump(), "method")
                )
    return tuple(workloads)


# adapt_norm: the libraries adapt every parameter, batch norm's too
_OMNIGLOT = {"adapt_norm": True, "inner_lr": 0.4, "train_steps": 1, "test_steps": 3, "meta_batch": 32}
_MINI = {"adapt_norm": True, "inner_lr": 0.01, "train_steps": 5, "test_steps": 10, "meta_batch": 4}
_RESNET12 = {"adapt_norm": True, "inner_lr": 0.01, "train_steps": 1, "test_steps": 5, "meta_batch": 2}
_POINTS = {"inner_lr": 0.01, "train_steps": 1, "test_steps": 10, "meta_batch": 25}
_REPTILE = {"train_steps": 5, "inner_batch": 10, "train_shots": 10, "test_steps": 3, "meta_batch": 32}
_META_SGD = {"train_steps": 1, "test_steps": 1, "meta_batch": 32}

WORKLOADS: tuple[Workload, ...] = (
    Workload("omniglot-5w1s", "maml", OMNIGLOT, Shape(5, 1, 15), 32, _OMNIGLOT, target=True),
    Workload("omniglot-5w1s-q1", "maml", OMNIGLOT, Shape(5, 1, 1), 32, _OMNIGLOT, target=True),
    Workload("mini-5w1s", "maml", MINI_IMAGENET, Shape(5, 1, 15), 4, _MINI, target=True),
    Workload("sinusoid-10", "maml", SINUSOID, Shape(1, 10, 10), 25, _POINTS, target=True),
    Workload("omniglot-5w1s-fomaml", "fomaml", OMNIGLOT, Shape(5, 1, 15), 32, _OMNIGLOT),
    Workload("omniglot-5w1s-anil", "anil", OMNIGLOT, Shape(5, 1, 15), 32, _OMNIGLOT),
    Workload("omniglot-5w1s-meta-sgd", "meta-sgd", OMNIGLOT, Shape(5, 1, 15), 32, _META_SGD),
    Workload("omniglot-5w1s-reptile", "reptile", OMNIGLOT, Shape(5, 10, 1), 32, _REPTILE),
    Workload("mini-5w1s-fomaml", "fomaml", MINI_IMAGENET, Shape(5, 1, 15), 4, _MINI),
    Workload("resnet12-5w1s", "maml", resnet12, Shape(5, 1, 15), 2, _RESNET12),
    Workload("sinusoid-10-fomaml", "fomaml", SINUSOID, Shape(1, 10, 10), 25, _POINTS),
    Workload("omniglot-5w1s-evaluation", "maml", OMNIGLOT, Shape(5, 1, 15), 600, _OMNIGLOT, work="evaluation"),
)
