"""Reptile (Nichol, Achiam and Schulman 2018, arXiv 1803.02999, algorithm 2), with the settings of the authors' code.

The authors' code (openai/supervised-reptile) differs from the algorithm's box in ways that matter: the inner optimizer
is Adam without first moment, and its second moments carry over from task to task; evaluation starts from them and
leaves them as they were; the outer step falls linearly to zero; minibatches cycle through the task's examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from algorithms.core.algorithm import EpisodicAlgorithm, Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import HyperParameters, Range, hyper
from algorithms.core.meta_state import State, group, grouped
from algorithms.core.optimizers import Adam
from algorithms.core.plain_gradients import losses_and_gradients
from algorithms.core.presets import TUNED_ON_TEXTS, Preset
from algorithms.engines.mean_gradient import parts_of
from algorithms.networks.network import Weights
from datasets.core.episodes import Episodes, Shape, Support
from datasets.core.randomness import Int64Array

CODE = "the authors' code (openai/supervised-reptile)"
PAPER = "appendix A, tables 3 to 5"
Batch = tuple[Tensor, Tensor]


class ReptileHyperParameters(HyperParameters):
    """Reptile's settings."""

    meta_batch: int = hyper(5, "episodes of one outer step", f"{CODE}: meta-batch", ge=1)
    inner_lr: float = hyper(1e-3, "Adam's step size in the inner loop", PAPER, Range(1e-4, 1e-1, log=True), gt=0)
    train_steps: int = hyper(5, "inner steps in meta-training", PAPER, Range(2, 20), ge=1)
    test_steps: int = hyper(50, "inner steps at test time", PAPER, ge=1)
    inner_batch: int = hyper(10, "examples of one inner step", PAPER, Range(5, 30), ge=1)
    test_batch: int | None = hyper(
        None, "examples of one inner step at test time; None: as in training", f"{PAPER}: eval. inner batch", ge=1
    )
    outer_step_size: float = hyper(1.0, "first outer step size", PAPER, Range(0.1, 1.0), gt=0)
    final_outer_step_size: float = hyper(0.0, "outer step size after the last outer step", PAPER, ge=0)
    train_shots: int | None = hyper(
        None, "shots of training episodes; None: the grid's shots and queries together", f"{CODE}: 10 or 15", ge=1
    )
    carry_moments: bool = hyper(True, "whether the inner optimizer's moments carry over between tasks", CODE)


REPTILE_PRESETS = (
    Preset({"train_steps": 5, "inner_batch": 10, "test_batch": 5, "train_shots": 10}, PAPER, "omniglot"),
    Preset({"train_steps": 10, "inner_batch": 20, "test_batch": 10, "inner_lr": 5e-4}, PAPER, "omniglot", n_way=20),
    Preset({"train_steps": 8, "inner_batch": 10, "test_batch": 5, "train_shots": 15}, PAPER, "mini-imagenet"),
    Preset({"test_batch": 15}, PAPER, "mini-imagenet", n_shot=5),
    Preset(
        {"inner_lr": 0.01, "train_steps": 10, "test_steps": 10},
        "no published setting for 10 points (section 3's sinusoids have 50 points and another network)",
        "sinusoid",
    ),
    Preset({"inner_lr": 0.01}, "this project's choice: as on sinusoids", "table"),
    Preset(
        {"inner_lr": 0.018, "train_steps": 2, "inner_batch": 20, "outer_step_size": 0.69, "test_steps": 20},
        TUNED_ON_TEXTS,
        "text",
    ),
)


def minibatches(seeds: Int64Array, n_examples: int, size: int, count: int) -> Int64Array:
    """[count, T, size] examples of each task's minibatches: reshuffled passes, one after the other, cut into pieces.

    A minibatch may span two passes, and is larger than a pass where ``size > n_examples``, as in the authors' code.
    """
    passes = -(-size * count // n_examples)
    orders = []
    for seed in seeds:
        generator = np.random.Generator(np.random.PCG64(int(seed)))
        orders.append(np.concatenate([generator.permutation(n_examples) for _ in range(passes)])[: size * count])
    return np.stack(orders).reshape(len(seeds), count, size).swapaxes(0, 1)


def batches(x: Tensor, y: Tensor, seeds: Int64Array, size: int, count: int) -> Iterator[Batch]:
    """Yield inputs and targets [T, size, ...] of ``count`` minibatches of the tasks' examples x and y [T, n, ...]."""
    tasks = torch.arange(len(x), device=x.device)[:, None]
    for chosen in torch.from_numpy(minibatches(seeds, x.shape[1], size, count)).to(x.device):
        yield x[tasks, chosen], y[tasks, chosen]


@register(
    "reptile",
    hparams=ReptileHyperParameters,
    paper="Nichol et al. 2018, arXiv 1803.02999",
    summary="move the initial weights towards each task's adapted weights",
    presets=REPTILE_PRESETS,
    numerics=2,
    anneals=True,  # the outer step size falls to its final value at the last outer step
)
class Reptile(EpisodicAlgorithm[ReptileHyperParameters]):
    """Move the initial weights towards the weights that a few steps on a task lead to."""

    @classmethod
    def train_shape(cls, hparams: ReptileHyperParameters, shape: Shape) -> Shape:
        """Episodes of ``train_shots`` shots without queries where those are set."""
        return Shape(shape.n_way, hparams.train_shots, 0) if hparams.train_shots else shape

    @property
    def test_steps(self) -> int:
        return self.hparams.test_steps

    @property
    def inner_optimizer(self) -> Adam:
        return Adam(self.hparams.inner_lr, beta1=0.0)

    def init(self, weights: Weights, generator: Generator) -> State:
        moments = self.inner_optimizer.init(weights)
        return grouped(weights=weights, adam=moments, progress={"outer": torch.zeros(())})

    def outer_step(self, state: State, batch: Episodes) -> tuple[State, Metrics]:
        """Take one step towards the mean of the adapted weights: weights += step size * mean of (adapted - weights).

        Section 2's batch version of algorithm 1.
        """
        hparams, start = self.hparams, group(state, "weights")
        moved, moments, loss = self.moves(start, group(state, "adam"), batch)
        outer_steps = state["progress/outer"]
        fraction = float(outer_steps) / self.problem.n_outer if self.problem.n_outer else 0.0
        step_size = hparams.outer_step_size + fraction * (hparams.final_outer_step_size - hparams.outer_step_size)
        weights = {name: start[name] + step_size * moved[name] / len(batch) for name in start}
        state = grouped(weights=weights, adam=moments, progress={"outer": outer_steps + 1})
        return state, {"loss": loss / (len(batch) * hparams.train_steps)}

    def moves(
        self, start: Weights, moments: Weights, tasks: Episodes
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
        """Return the sum over tasks of (adapted - start), the moments after the last, and the sum of all steps' losses.

        The tasks run one after another where the inner optimizer's moments pass from each to the next, and otherwise
        together. Either way all start from the same weights, and their first gradients are computed together.
        """
        hparams = self.hparams
        if hparams.carry_moments and (quick := self._moves_in_turn(start, moments, tasks)) is not None:
            return quick
        moved, loss = {name: torch.zeros_like(value) for name, value in start.items()}, 0.0
        at_once = self.net.tasks_at_once(2 * hparams.inner_batch)  # half of the cache: no more memory than one by one
        for part in parts_of(tasks, at_once):
            batches, seeds = list(self.train_batches(part)), part.support.seeds
            losses, gradient = self.slopes(self.net.stack(start, len(part)), batches[0], seeds, step=1)
            one_by_one = [slice(t, t + 1) for t in range(len(part))]
            for some in one_by_one if hparams.carry_moments else [slice(None)]:
                if not hparams.carry_moments:
                    moments = self.inner_optimizer.init(start)
                own = [(x[some], y[some]) for x, y in batches]
                first = losses[some], {name: value[some] for name, value in gradient.items()}
                for end in self.inner_steps(start, moments, own, seeds[some], first):
                    loss += float(end[2].sum())
                weights, stacked, _ = end
                moments = {name: value if name == "step" else value[-1] for name, value in stacked.items()}
                for name in moved:
                    moved[name] += (weights[name] - start[name]).sum(0)
        return moved, {name: value.clone() for name, value in moments.items()}, loss  # not views of many tasks'

    def _moves_in_turn(
        self, start: Weights, moments: Weights, tasks: Episodes
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], float] | None:
        """Return the same by the engine's own steps of Adam on one task after another; None where it has none.

        A derived class whose steps are others keeps them.
        """
        own_steps = type(self).inner_steps is Reptile.inner_steps and type(self).slopes is Reptile.slopes
        if not own_steps or not self.net.has_adam_steps(self.device):
            return None
        xs, ys = zip(*self.train_batches(tasks), strict=True)
        kind = self.problem.kind
        return self.net.adam_steps(
            self.inner_optimizer, start, moments, torch.stack(xs, dim=1), torch.stack(ys, dim=1), kind
        )

    def train_batches(self, tasks: Episodes) -> Iterator[Batch]:
        """Yield the minibatches of each inner step of meta-training, on support set and queries together."""
        x = torch.cat([tasks.support.x, tasks.query_x], dim=1)
        y = torch.cat([tasks.support.y, tasks.query_y], dim=1)
        return batches(x, y, tasks.support.seeds, self.hparams.inner_batch, self.hparams.train_steps)

    def slopes(self, weights: Weights, batch: Batch, seeds: Int64Array, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return each task's loss [T] on the minibatch of inner step ``step``, from 1, and its gradient."""
        dropout = self.net.dropout_seeds(seeds, step)
        return losses_and_gradients(self.net, weights, *batch, self.problem.kind, dropout)

    def inner_steps(
        self,
        start: Weights,
        moments: Weights,
        batches: Iterable[Batch],
        seeds: Int64Array,
        first: tuple[Tensor, Weights] | None = None,
    ) -> Iterator[tuple[Weights, Weights, Tensor]]:
        """Yield weights, moments and losses [T] after each step of T tasks.

        Args:
            start: the weights that all start from.
            moments: of Adam, that all start from.
            batches: the minibatches of each step.
            seeds: [T] of the tasks.
            first: the losses and the gradient of the first step, where they are known.
        """
        weights: Weights = self.net.stack(start, len(seeds))
        moments = self._stack_moments(moments, len(seeds))
        for step, batch in enumerate(batches, start=1):
            known = first if step == 1 else None
            losses, gradient = known or self.slopes(weights, batch, seeds, step)
            weights, moments = self.inner_optimizer.update(weights, gradient, moments)
            yield weights, moments, losses

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        """Every task starts from the trained moments; ``state`` keeps them, as the authors' code restores them."""
        start, size = group(state, "weights"), self.hparams.test_batch or self.hparams.inner_batch
        yield 0, self.net.stack(start, len(support))
        drawn = batches(support.x, support.y, support.seeds, size, n_steps)
        steps = self.inner_steps(start, group(state, "adam"), drawn, support.seeds)
        for step, (weights, _, _) in enumerate(steps, start=1):
            yield step, weights

    def _stack_moments(self, moments: Weights, n_tasks: int) -> dict[str, Tensor]:
        """Adam's moments for each of T tasks; its step count is theirs in common."""
        stacked = self.net.stack({name: value for name, value in moments.items() if name != "step"}, n_tasks)
        return stacked | {"step": moments["step"]}
