"""Prototypical networks (Snell, Swersky and Zemel 2017, arXiv 1703.05175, algorithm 1).

A class's prototype is the mean of its support features; a query belongs to the nearest prototype. With squared
distances that is a linear classifier of weights 2 c and biases -|c|^2 (section 2.4, equation 8), which ``adapt`` gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Generator, Tensor

from algorithms.core.algorithm import Algorithm, Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import HyperParameters, Range, hyper
from algorithms.core.inner_loop import leaves, meta_gradient
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State, group, grouped
from algorithms.core.optimizers import Adam
from algorithms.core.presets import Preset
from algorithms.networks.network import Weights
from datasets.core.episodes import Episodes, Examples, Shape, Support


class ProtoNetHyperParameters(HyperParameters):
    """Prototypical networks' settings."""

    meta_batch: int = hyper(1, "episodes of one outer step", "algorithm 1: one", ge=1)
    lr: float = hyper(1e-3, "Adam's first step size", "section 3.1", Range(1e-4, 1e-2, log=True), gt=0)
    halve_every: int = hyper(2000, "outer steps after which the step size is halved", "section 3.1", ge=1)
    train_ways: int | None = hyper(None, "classes of training episodes; None: as at test", "sections 3.1 and 3.2", ge=2)
    train_queries: int | None = hyper(
        None, "queries a class of training episodes; None: the grid's", "section 3.1: 5; section 3.2: 15", ge=1
    )


PROTONET_PRESETS = (
    Preset({"train_ways": 60, "train_queries": 5}, "section 3.1", "omniglot"),
    Preset({"train_ways": 30, "train_queries": 15}, "section 3.2", "mini-imagenet", n_shot=1),
    Preset({"train_ways": 20, "train_queries": 15}, "section 3.2", "mini-imagenet", n_shot=5),
)


@register(
    "protonet",
    hparams=ProtoNetHyperParameters,
    paper="Snell et al. 2017, arXiv 1703.05175",
    summary="learn features in which the nearest class mean is right",
    presets=PROTONET_PRESETS,
    kinds=("classification",),
)
class ProtoNet(Algorithm[ProtoNetHyperParameters]):
    """Learn features in which classes gather around their means."""

    label_equivariant: ClassVar[bool] = True

    @classmethod
    def train_shape(cls, hparams: ProtoNetHyperParameters, shape: Shape) -> Shape:
        """Episodes of more ways than at test, where ``train_ways`` says so."""
        return Shape(hparams.train_ways or shape.n_way, shape.n_shot, hparams.train_queries or shape.n_query)

    @property
    def test_steps(self) -> int:
        """None: prototypes are means, and what is measured is at step 0."""
        return 0

    def init(self, weights: Weights, generator: Generator) -> State:
        """The network without its head."""
        body = {name: value for name, value in weights.items() if not name.startswith("head.")}
        return grouped(weights=body, adam=Adam(self.hparams.lr).init(body))

    def _with_prototypes(self, weights: Weights, support: Support) -> dict[str, Tensor]:
        """The weights with the head that the prototypes are: weight [T, n_way, n_features] and bias [T, n_way]."""
        features = self.net.features(weights, support.x)
        member = torch.nn.functional.one_hot(support.y, support.n_way).to(features)
        prototypes = (member.mT @ features) / member.sum(dim=1)[..., None]
        return {**weights, "head.weight": 2 * prototypes, "head.bias": -prototypes.square().sum(dim=-1)}

    def _learned_head(self, meta: State, episodes: Episodes) -> Weights:
        return self._with_prototypes(self.net.stack(group(meta, "weights"), len(episodes)), episodes.support)

    def _query_losses(self, weights: Weights, episodes: Episodes) -> Tensor:
        return task_losses(self.net(weights, episodes.query_x), episodes.query_y, "classification")

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        """Algorithm 1: one gradient step on the query losses."""
        assert isinstance(batch, Episodes)
        meta = {name: value for name, value in state.items() if name.startswith("weights/")}
        gradient, loss = meta_gradient(meta, batch, self._learned_head, self._query_losses, self.net.tasks_at_once)
        moments = group(state, "adam")
        halvings = int(moments["step"]) // self.hparams.halve_every
        optimizer = Adam(self.hparams.lr * 0.5**halvings)
        meta, moments = optimizer.update(group(meta, "weights"), group(gradient, "weights"), moments)
        return grouped(weights=meta, adam=moments), {"loss": loss}

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights = leaves(self.net.stack(group(state, "weights"), len(support)))
        with torch.no_grad():
            yield 0, self._with_prototypes(weights, support)
