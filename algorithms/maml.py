"""Model-agnostic meta-learning, second and first order (Finn et al. 2017, arXiv 1703.03400, algorithm 2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal, TypeVar

from torch import Generator, Tensor

from algorithms.core.algorithm import EpisodicAlgorithm, Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import Choice, HyperParameters, Needs, Range, When, hyper
from algorithms.core.inner_loop import descend, leaves, query_losses_at
from algorithms.core.meta_state import State, group, grouped, only
from algorithms.core.optimizers import Adam, clip_elements
from algorithms.core.plain_gradients import support_gradient
from algorithms.core.presets import TUNED_ON_TEXTS, Preset
from algorithms.core.recomputed import recomputed
from algorithms.engines.descent import Descent
from algorithms.networks.network import Weights
from datasets.core.episodes import Episodes, Support

CODE = "the authors' code (cbfinn/maml)"


class GradientHyperParameters(HyperParameters):
    """Settings of methods that differentiate through adaptation; the defaults are MAML's for sinusoids."""

    outer_lr: float = hyper(1e-3, "Adam's step size", f"{CODE}: meta_lr", Range(1e-4, 1e-2, log=True), gt=0)
    train_steps: int = hyper(1, "inner steps in meta-training", "section 5.1", Range(1, 5), ge=1)
    test_steps: int = hyper(10, "inner steps at test time", "section 5.1, figure 3", ge=1)
    loss_reduction: Literal["mean", "sum_over_classes"] = hyper(
        "mean",
        "cross-entropy averaged, or summed over examples and divided by the shots (inner: n_way times the mean)",
        f"{CODE}: utils.xent sums",
        needs=Needs(kind="classification"),
    )
    later_steps: float = hyper(
        1.0,
        "factor of the inner step size after the first step at test time",
        "1 in the paper's tables; appendix A.2 halves it for reinforcement learning",
        Range(0.1, 1.0, when=When("test_steps", least=2)),
        gt=0,
    )
    adapt_norm: bool = hyper(
        False,
        "whether the inner loop adapts the parameters of normalization layers",
        f"{CODE}: it does not",
        Choice((False, True)),
        Needs(norm_layers=True),
    )
    clip: float | None = hyper(
        None, "bound of each element of the outer gradient", f"{CODE}: 10 on mini-ImageNet", gt=0
    )


class MAMLHyperParameters(GradientHyperParameters):
    """MAML's settings."""

    inner_lr: float = hyper(0.01, "step size of adaptation", "section 5.1", Range(0.001, 2.0, log=True), gt=0)


MAML_PRESETS = (
    Preset({"meta_batch": 25}, "section 5.1", family="sinusoid"),
    Preset(
        {"inner_lr": 0.4, "test_steps": 3, "loss_reduction": "sum_over_classes"},
        "this project's choice: as on Omniglot, where the paper's fully connected network has these too",
        family="table",
    ),
    Preset(
        {"inner_lr": 1.4, "outer_lr": 0.002, "train_steps": 2, "test_steps": 3, "later_steps": 0.28, "meta_batch": 4},
        TUNED_ON_TEXTS,
        family="text",
    ),
    Preset(
        {"inner_lr": 0.4, "train_steps": 1, "test_steps": 3, "meta_batch": 32, "loss_reduction": "sum_over_classes"},
        "appendix A.1",
        family="omniglot",
    ),
    Preset(
        {"inner_lr": 0.1, "train_steps": 5, "test_steps": 5, "meta_batch": 16}, "appendix A.1", "omniglot", n_way=20
    ),
    Preset(
        {
            "inner_lr": 0.01,
            "train_steps": 5,
            "test_steps": 10,
            "meta_batch": 4,
            "loss_reduction": "sum_over_classes",
            "clip": 10.0,
        },
        "appendix A.1",
        family="mini-imagenet",
    ),
    Preset({"meta_batch": 2}, "appendix A.1", "mini-imagenet", n_shot=5),
)
FOMAML_PRESETS = (
    *MAML_PRESETS,
    Preset({"inner_lr": 1.1, "outer_lr": 0.0058, "train_steps": 4, "later_steps": 0.44}, TUNED_ON_TEXTS, family="text"),
)


G = TypeVar("G", bound=GradientHyperParameters)


class GradientThroughAdaptation(EpisodicAlgorithm[G]):
    """Learn what adaptation starts from, by the gradient of the query loss through the inner steps.

    ``outer_step`` is the body of algorithm 2's outer loop, ``query_losses`` its loop over tasks, ``inner_step`` its
    lines 6 and 7; the harness samples the tasks (line 3).

    Attributes:
        learned: groups of the meta-state that the outer loop changes.
        second_order: whether the outer gradient goes through the inner gradients too.
    """

    learned: ClassVar[tuple[str, ...]] = ("weights",)
    second_order: ClassVar[bool] = True

    def init(self, weights: Weights, generator: Generator) -> State:
        """Return the first meta-state, theta (line 1), with Adam's moments."""
        meta = super().init(weights, generator)
        return {**meta, **grouped(adam=self.optimizer.init(meta))}

    def outer_step(self, state: State, batch: Episodes) -> tuple[State, Metrics]:
        """Take one outer step on a batch of tasks (lines 3-10): theta <- theta - beta * gradient, by Adam."""
        gradient, loss = self.meta_gradient(state, batch)
        gradient = clip_elements(gradient, self.hparams.clip)
        meta, moments = self.optimizer.update(self.learned_part(state), gradient, group(state, "adam"))
        return {**meta, **grouped(adam=moments)}, {"loss": loss}

    def meta_gradient(self, state: State, episodes: Episodes) -> tuple[dict[str, Tensor], float]:
        """Return the gradient of the query loss after adaptation with respect to theta, and that loss.

        Line 10 with the mean over tasks in the place of the sum.
        """
        meta = self.learned_part(state)
        descent = self.descent(meta, episodes.support)
        closed_form = self.net.descent_gradient(descent, episodes) if descent else None
        gradient, loss = closed_form or self.net.mean_gradient(self.query_losses, meta, episodes)
        scale = self.loss_scale(episodes.query_x.shape[1], episodes.support.x.shape[1] // episodes.support.n_way)
        return {name: scale * value for name, value in gradient.items()}, loss

    def query_losses(self, meta: State, tasks: Episodes) -> Tensor:
        """Return the query loss [T] of each task at its adapted weights (lines 4-9), as a function of ``meta``."""
        weights: Weights = self.net.stack(group(meta, "weights"), len(tasks))
        for step in range(1, self.hparams.train_steps + 1):
            inner_step = partial(self.inner_step, support=tasks.support, step=step, training=True)
            checkpointed = self.second_order and self.checkpoint_steps
            weights = recomputed(inner_step, meta, weights) if checkpointed else inner_step(meta, weights)
        return query_losses_at(self.net, weights, tasks, self.problem.kind)

    def inner_step(
        self, meta: State, weights: Weights, support: Support, step: int, training: bool
    ) -> dict[str, Tensor]:
        """Return theta' = theta - alpha * gradient of the support loss for each of T tasks (lines 6 and 7).

        Args:
            meta: the groups of the meta-state that are learned.
            weights: [T, ...] the weights after the step before.
            support: of the T tasks.
            step: the number of this step, from 1.
            training: whether the outer loop differentiates through the step; False at test time.
        """
        adapted = [name for name in weights if self.is_adapted(name)]
        factor = self.rate_factor(step, training) * self.loss_scale(support.n_way, 1)
        gradient = support_gradient(
            self.net, weights, support, self.problem.kind, step, factor, adapted, training and self.second_order
        )
        return {**weights, **{name: descend(weights[name], self.rate(meta, name), gradient[name]) for name in adapted}}

    def descent(self, meta: State, support: Support) -> Descent | None:
        """Return the inner loop as data, by which an engine may differentiate ``query_losses`` in closed form.

        None where it is not gradient descent of all weights by fixed or learned rates: where a derived class has
        another inner loop, adapts some of the weights, or computes its rates.
        """
        own, here = type(self), GradientThroughAdaptation
        weights, rates = group(meta, "weights"), group(meta, "rates")
        if own.query_losses is not here.query_losses or own.inner_step is not here.inner_step:
            return None
        if len(meta) > len(weights) + len(rates) or not all(self.is_adapted(name) for name in weights):
            return None
        used = {name: self.rate(meta, name) for name in weights}
        if any(rate is not rates.get(name) for name, rate in used.items() if rates or isinstance(rate, Tensor)):
            return None
        steps = range(1, self.hparams.train_steps + 1)
        factors = tuple(self.rate_factor(k, True) * self.loss_scale(support.n_way, 1) for k in steps)
        return Descent(weights, used, factors, self.second_order, self.problem.kind)

    @abstractmethod
    def rate(self, meta: State, name: str) -> Tensor | float:
        """Return alpha for the weight called ``name``: a number, or a tensor in the weight's shape."""

    def rate_factor(self, step: int, training: bool) -> float:
        """Return the factor of the inner gradient, so of alpha, at inner step ``step``, from 1; see ``later_steps``."""
        return 1.0 if training or step == 1 else self.hparams.later_steps

    def is_adapted(self, name: str) -> bool:
        """Return whether the inner loop changes the weight called ``name``."""
        return self.hparams.adapt_norm or self.net.role(name) != "norm"

    def loss_scale(self, n_examples: int, n_shot: int) -> float:
        """Return what turns the mean loss of ``n_examples`` into the sum over classes; see ``loss_reduction``."""
        summed = self.hparams.loss_reduction == "sum_over_classes" and self.problem.kind == "classification"
        return n_examples / n_shot if summed else 1.0

    def learned_part(self, state: State) -> dict[str, Tensor]:
        """Return the part of the meta-state that the outer loop changes."""
        return only(state, self.learned)

    def adaptation_state(self, state: State) -> State:
        """Return the meta-state without Adam's moments."""
        return self.learned_part(state)

    @property
    def optimizer(self) -> Adam:
        on_small_weights = self.net.engine == "stacked" and self.device.type == "cpu"
        return Adam(self.hparams.outer_lr, fused=on_small_weights)

    @property
    def test_steps(self) -> int:
        return self.hparams.test_steps

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights = leaves(self.net.stack(group(state, "weights"), len(support)))  # a derived inner step may use autograd
        yield 0, weights
        for step in range(1, n_steps + 1):
            weights = leaves(self.inner_step(state, weights, support, step, training=False))
            yield step, weights


@register(
    "maml",
    hparams=MAMLHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400",
    summary="learn initial weights by the gradient through adaptation, second order",
    presets=MAML_PRESETS,
)
class MAML(GradientThroughAdaptation[MAMLHyperParameters]):
    """Learn initial weights from which one or a few gradient steps fit a new task."""

    def rate(self, meta: State, name: str) -> float:
        return self.hparams.inner_lr


@register(
    "fomaml",
    hparams=MAMLHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.2",
    summary="MAML without second derivatives",
    presets=FOMAML_PRESETS,
)
class FOMAML(MAML):
    """First-order MAML: the outer gradient is the query gradient at the adapted weights (section 5.2)."""

    second_order = False
