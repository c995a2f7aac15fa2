"""Fine-tuning baselines: train on all training classes together, then fit the new task.

Classification: the Baseline of Chen, Liu, Kira, Wang and Huang 2019 (arXiv 1904.04232, section 3.2): a network and a
linear classifier of all training classes are trained with cross-entropy; for a new task the network is frozen and a new
linear head is trained for 100 epochs. Regression: the pre-trained baseline of Finn et al. 2017 (section 5.1): one
network is fitted to the points of all tasks, and all of its weights take gradient steps on the new task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Generator, Tensor

from algorithms.core.algorithm import Algorithm, Mode
from algorithms.core.entry import register
from algorithms.core.hyperparameters import Needs, Range, hyper
from algorithms.core.inner_loop import gradients, leaves
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State, group
from algorithms.core.plain_gradients import losses_and_gradients
from algorithms.core.presets import TUNED_ON_TEXTS, Preset
from algorithms.core.pretraining import CODE, Pretrained, PretrainingHyperParameters
from algorithms.networks.network import Weights
from datasets.core.episodes import Support

HEAD = Needs(kind="classification")  # for regression all weights take plain gradient steps
FINETUNE_CODE = f"{CODE}: methods/baselinefinetune.py"


class FinetuneHyperParameters(PretrainingHyperParameters):
    """The baselines' settings."""

    test_steps: int = hyper(100, "epochs of the new head (steps for regression)", "Chen et al. 2019, section 4.1", ge=1)
    head_batch: int = hyper(4, "examples of one step of the new head", FINETUNE_CODE, needs=HEAD, ge=1)
    head_lr: float = hyper(0.01, "SGD's step size at test time", FINETUNE_CODE, Range(1e-3, 1.0, log=True), gt=0)
    head_momentum: float = hyper(0.9, "momentum of the new head's SGD", FINETUNE_CODE, needs=HEAD, ge=0, lt=1)
    head_dampening: float = hyper(0.9, "dampening of that momentum", FINETUNE_CODE, needs=HEAD, ge=0, le=1)
    head_weight_decay: float = hyper(1e-3, "weight decay of the new head's SGD", FINETUNE_CODE, needs=HEAD, ge=0)


FINETUNE_PRESETS = (
    Preset({"meta_batch": 25, "test_steps": 10, "batch_size": 250}, "Finn et al. 2017, section 5.1", "sinusoid"),
    Preset({"head_lr": 0.005}, "Finn et al. 2017: a tuned step size; this one by meta-validation", "sinusoid"),
    Preset({"train_lr": 0.0097, "batch_size": 9, "head_lr": 0.1}, TUNED_ON_TEXTS, "text"),
)


@register(
    "finetune",
    hparams=FinetuneHyperParameters,
    paper="Chen et al. 2019, arXiv 1904.04232 (Baseline); Finn et al. 2017 for sinusoids",
    summary="pre-train on all training classes, then fit a new head (all weights for sinusoids)",
    presets=FINETUNE_PRESETS,
)
class Finetune(Pretrained[FinetuneHyperParameters]):
    """Pre-train on plain batches; at test time fit a new head on frozen features, or all weights for regression."""

    @property
    def test_steps(self) -> int:
        return self.hparams.test_steps

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        if self.problem.kind == "regression":
            return self._adapt_all(state, support, n_steps)
        return super().adapt(state, support, n_steps)

    def outputs(
        self, state: State, support: Support, query_x: Tensor, n_steps: int, last_only: bool = False
    ) -> Iterator[tuple[int, Mapping[Mode, Tensor]]]:
        """As the contract says."""
        if self.problem.kind == "regression":
            return Algorithm.outputs(self, state, support, query_x, n_steps, last_only)
        return super().outputs(state, support, query_x, n_steps, last_only)

    def _adapt_all(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights: Weights = self.net.stack(group(state, "weights"), len(support))
        yield 0, weights
        for step in range(1, n_steps + 1):
            _, gradient = losses_and_gradients(
                self.net, weights, support.x, support.y, "regression", self.net.dropout_seeds(support.seeds, step)
            )
            weights = {name: value - self.hparams.head_lr * gradient[name] for name, value in weights.items()}
            yield step, weights

    def heads(self, features: Tensor, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        """Each task's head after every epoch; it starts as drawn by the episode's seed, and sees each support example
        once an epoch."""
        drawn = [self.fresh_head(support.n_way, Generator().manual_seed(int(seed))) for seed in support.seeds]
        new: Weights = {name: torch.stack([head[name] for head in drawn]).to(features) for name in drawn[0]}
        velocity: Weights = {}
        yield 0, new
        generators = [np.random.Generator(np.random.PCG64(int(seed))) for seed in support.seeds]
        n, size = features.shape[1], self.hparams.head_batch
        for epoch in range(1, n_steps + 1):
            order = torch.from_numpy(np.stack([g.permutation(n) for g in generators])).to(features.device)
            for start in range(0, n, size):
                new, velocity = self._head_step(new, velocity, features, support.y, order[:, start : start + size])
            yield epoch, new

    def _head_step(
        self, new: Weights, velocity: Weights, features: Tensor, y: Tensor, rows: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One step of SGD with momentum, dampening and weight decay, as torch.optim.SGD defines them."""
        tasks = torch.arange(len(features), device=features.device)[:, None]
        hparams, new = self.hparams, leaves(new)
        losses = task_losses(self.task_logits(new, features[tasks, rows]), y[tasks, rows], "classification")
        gradient = gradients(losses, new)
        moved, kept = {}, {}
        for name, value in new.items():
            slope = gradient[name] + hparams.head_weight_decay * value.detach()
            old = velocity.get(name)
            kept[name] = slope if old is None else hparams.head_momentum * old + (1 - hparams.head_dampening) * slope
            moved[name] = value.detach() - hparams.head_lr * kept[name]
        return moved, kept
