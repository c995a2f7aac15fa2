"""Prototypical networks (Snell, Swersky and Zemel 2017, arXiv 1703.05175, algorithm 1).

A class's prototype is the mean of its support features; a query belongs to the nearest prototype. With squared
distances that is a linear classifier of weights 2 c and biases -|c|^2 (section 2.4, equation 8), which ``adapt`` gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from algorithms.core.algorithm import EpisodicAlgorithm, Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import HyperParameters, Range, hyper
from algorithms.core.inner_loop import leaves, query_losses_at
from algorithms.core.meta_state import State, group, grouped
from algorithms.core.optimizers import Adam
from algorithms.core.presets import TUNED_ON_TEXTS, Preset
from algorithms.networks.network import Weights
from datasets.core.episodes import Episodes, Shape, Support


class ProtoNetHyperParameters(HyperParameters):
    """Prototypical networks' settings."""

    meta_batch: int = hyper(1, "episodes of one outer step", "algorithm 1: one", ge=1)
    lr: float = hyper(1e-3, "Adam's first step size", "section 3.1", Range(1e-4, 1e-2, log=True), gt=0)
    halve_every: int = hyper(2000, "outer steps after which the step size is halved", "section 3.1", ge=1)
    train_ways: int | None = hyper(None, "classes of training episodes; None: as at test", "sections 3.1 and 3.2", ge=2)
    train_queries: int | None = hyper(
        None, "queries per class of training episodes; None: the grid's", "section 3.1: 5; section 3.2: 15", ge=1
    )


PROTONET_PRESETS = (
    Preset({"train_ways": 60, "train_queries": 5}, "section 3.1", "omniglot"),
    Preset({"train_ways": 30, "train_queries": 15}, "section 3.2", "mini-imagenet", n_shot=1),
    Preset({"train_ways": 20, "train_queries": 15}, "section 3.2", "mini-imagenet", n_shot=5),
    Preset({"lr": 0.01, "meta_batch": 4}, TUNED_ON_TEXTS, "text"),
)


@register(
    "protonet",
    hparams=ProtoNetHyperParameters,
    paper="Snell et al. 2017, arXiv 1703.05175",
    summary="learn features in which the nearest class mean is right",
    presets=PROTONET_PRESETS,
    kinds=("classification",),
)
class ProtoNet(EpisodicAlgorithm[ProtoNetHyperParameters]):
    """Learn features in which classes gather around their means."""

    label_equivariant: ClassVar[bool] = True

    @classmethod
    def train_shape(cls, hparams: ProtoNetHyperParameters, shape: Shape) -> Shape:
        """Episodes of more ways than at test, where ``train_ways`` says so."""
        return Shape(hparams.train_ways or shape.n_way, shape.n_shot, hparams.train_queries or shape.n_query)

    @property
    def test_steps(self) -> int:
        """Return 0: prototypes are means, and the result is at step 0."""
        return 0

    def init(self, weights: Weights, generator: Generator) -> State:
        """Return the network's weights without its head, and Adam's moments."""
        body = {name: value for name, value in weights.items() if self.net.role(name) != "head"}
        return grouped(weights=body, adam=Adam(self.hparams.lr).init(body))

    def adaptation_state(self, state: State) -> State:
        """Return the weights without Adam's moments."""
        return grouped(weights=group(state, "weights"))

    def outer_step(self, state: State, batch: Episodes) -> tuple[State, Metrics]:
        """Take one step of Adam on the mean query loss of a batch of episodes (algorithm 1)."""
        meta, moments = grouped(weights=group(state, "weights")), group(state, "adam")
        gradient, loss = self.net.mean_gradient(self.query_losses, meta, batch)
        halvings = int(moments["step"]) // self.hparams.halve_every
        optimizer = Adam(self.hparams.lr * 0.5**halvings)
        weights, moments = optimizer.update(group(meta, "weights"), group(gradient, "weights"), moments)
        return grouped(weights=weights, adam=moments), {"loss": loss}

    def query_losses(self, meta: State, tasks: Episodes) -> Tensor:
        """Return each episode's query loss [T] with its prototypes as the classifier (equations 1 and 2)."""
        weights = self.net.stack(group(meta, "weights"), len(tasks))
        dropout = self.net.dropout_seeds(tasks.support.seeds, 1)
        weights = self.with_prototypes(weights, tasks.support, dropout)
        return query_losses_at(self.net, weights, tasks, "classification")

    def with_prototypes(
        self, weights: Weights, support: Support, dropout: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """Return the weights with the prototypes as head: weight [T, n_way, n_features] and bias [T, n_way].

        Minus the squared distance of features f to a prototype c is 2 c.f - |c|^2 - |f|^2 (section 2.4); the last term
        is the same for all classes, so that a linear head has the same softmax.
        """
        features = self.net.features(weights, support.x, dropout=dropout)
        one_hot = torch.nn.functional.one_hot(support.y, support.n_way).to(features)
        prototypes = (one_hot.mT @ features) / one_hot.sum(dim=1)[..., None]
        return {**weights, "head.weight": 2 * prototypes, "head.bias": -prototypes.square().sum(dim=-1)}

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights = leaves(self.net.stack(group(state, "weights"), len(support)))
        with torch.no_grad():
            yield 0, self.with_prototypes(weights, support)
