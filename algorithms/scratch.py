"""No meta-learning: adapt the random initial weights to each task. The floor that every method should exceed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from algorithms.core.algorithm import EpisodicAlgorithm, Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import HyperParameters, Range, hyper
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State, group
from algorithms.core.optimizers import Adam
from algorithms.core.plain_gradients import losses_and_gradients
from algorithms.core.presets import Preset
from algorithms.networks.network import Weights
from datasets.core.episodes import Episodes, Support

CHOICE = "no paper: this project's choice"


class ScratchHyperParameters(HyperParameters):
    """Settings of the only training there is."""

    inner_lr: float = hyper(1e-3, "Adam's step size at test time", CHOICE, Range(1e-4, 1e-1, log=True), gt=0)
    test_steps: int = hyper(50, "steps on the whole support set at test time", CHOICE, Range(10, 200), ge=1)


SCRATCH_PRESETS = (
    Preset({"inner_lr": 0.01}, CHOICE, "sinusoid"),
    Preset({"inner_lr": 0.01, "test_steps": 20}, CHOICE, "text"),
)


@register(
    "scratch",
    hparams=ScratchHyperParameters,
    paper="none: the floor",
    summary="adapt random initial weights, learn nothing before",
    presets=SCRATCH_PRESETS,
    bound="floor",
)
class Scratch(EpisodicAlgorithm[ScratchHyperParameters]):
    """Adam on the support set from random weights."""

    trains: ClassVar[bool] = False

    @property
    def test_steps(self) -> int:
        return self.hparams.test_steps

    def outer_step(self, state: State, batch: Episodes) -> tuple[State, Metrics]:
        """Nothing is learned; the loss is that of the initial weights on the queries."""
        with torch.no_grad():
            outputs = self.net(self.net.stack(group(state, "weights"), len(batch)), batch.query_x)
            return state, {"loss": float(task_losses(outputs, batch.query_y, self.problem.kind).mean())}

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights: Weights = self.net.stack(group(state, "weights"), len(support))
        optimizer = Adam(self.hparams.inner_lr)
        moments = optimizer.init(weights)
        yield 0, weights
        for step in range(1, n_steps + 1):
            _, gradient = losses_and_gradients(
                self.net, weights, support.x, support.y, self.problem.kind, self.net.dropout_seeds(support.seeds, step)
            )
            weights, moments = optimizer.update(weights, gradient, moments)
            yield step, weights
