"""Fine-tuning baselines: train on all training classes together, then fit the new task.

Classification: the Baseline of Chen, Liu, Kira, Wang and Huang 2019 (arXiv 1904.04232, section 3.2): a network and a
linear classifier of all training classes are trained with cross-entropy; for a new task the network is frozen and a new
linear head is trained for 100 epochs. Regression: the pre-trained baseline of Finn et al. 2017 (section 5.1): one
network is fitted to the points of all tasks, and all of its weights take gradient steps on the new task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from algorithms.base import MODES, Algorithm, Metrics, Mode, Problem
from algorithms.hyperparameters import HyperParameters, Range, hyper
from algorithms.inner_loop import gradients, leaves, stack
from algorithms.networks import Network, Weights, head, init_head
from algorithms.objectives import task_losses
from algorithms.optimizers import Adam
from algorithms.presets import Preset
from algorithms.state import State, group, grouped
from algorithms.task_map import EngineName, TaskNetwork
from datasets.episodes import Episodes, Examples, Support

CODE = "the authors' code (wyharveychen/CloserLookFewShot)"


class FinetuneHyperParameters(HyperParameters):
    """The baselines' settings."""

    train_lr: float = hyper(
        1e-3, "Adam's step size in pre-training", f"{CODE}: train.py", Range(1e-4, 1e-2, log=True), gt=0
    )
    batch_size: int = hyper(16, "examples of one pre-training step", f"{CODE}: train.py", Range(8, 128), ge=1)
    test_steps: int = hyper(100, "epochs of the new head (steps for regression)", "Chen et al. 2019, section 4.1", ge=1)
    head_batch: int = hyper(4, "examples of one step of the new head", f"{CODE}: methods/baselinefinetune.py", ge=1)
    head_lr: float = hyper(
        0.01, "SGD's step size at test time", f"{CODE}: methods/baselinefinetune.py", Range(1e-3, 1.0, log=True), gt=0
    )
    head_momentum: float = hyper(0.9, "momentum and dampening of the new head's SGD", CODE, ge=0, lt=1)
    head_weight_decay: float = hyper(1e-3, "weight decay of the new head's SGD", CODE, ge=0)


FINETUNE_PRESETS = (Preset({"test_steps": 10, "batch_size": 250}, "Finn et al. 2017, section 5.1", "sinusoid"),)


class Finetune(Algorithm[FinetuneHyperParameters]):
    """Pre-train on plain batches; at test time fit a new head on frozen features, or all weights for regression."""

    consumes: ClassVar[Literal["episodes", "examples"]] = "examples"

    def __init__(
        self,
        hparams: FinetuneHyperParameters,
        problem: Problem,
        network: Network,
        engine: EngineName | None = None,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(hparams, problem, network, engine, device)
        self._pretraining = TaskNetwork(network.with_outputs(problem.n_train_classes), self.net.engine)

    @property
    def test_steps(self) -> int:
        return self.hparams.test_steps

    @property
    def _optimizer(self) -> Adam:
        return Adam(self.hparams.train_lr)

    def init(self, weights: Weights, generator: Generator) -> State:
        """For classification the head is replaced by one of all training classes."""
        if self.problem.kind == "classification":
            fresh = init_head(self.problem.n_train_classes, self.net.network.n_features, generator)
            weights = {**weights, **{name: value.to(weights[name]) for name, value in fresh.items()}}
        return grouped(weights=weights, adam=self._optimizer.init(weights))

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        """Pre-training steps of ``batch_size`` examples each until the batch is used up."""
        assert isinstance(batch, Examples)
        weights, moments, total = group(state, "weights"), group(state, "adam"), 0.0
        for start in range(0, len(batch.x), self.hparams.batch_size):
            x, y = (part[None, start : start + self.hparams.batch_size] for part in (batch.x, batch.y))
            stacked = leaves(stack(weights, 1))
            losses = task_losses(self._pretraining(stacked, x), y, self.problem.kind)
            gradient = {name: value[0] for name, value in gradients(losses, stacked).items()}
            weights, moments = self._optimizer.update(weights, gradient, moments)
            total += float(losses.detach().sum()) * x.shape[1]
        return grouped(weights=weights, adam=moments), {"loss": total / len(batch.x)}

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        if self.problem.kind == "regression":
            return self._adapt_all(state, support, n_steps)
        return self._adapt_head(state, support, n_steps)

    def _adapt_all(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights: Weights = stack(group(state, "weights"), len(support))
        yield 0, weights
        for step in range(1, n_steps + 1):
            weights = leaves(weights)
            gradient = gradients(task_losses(self.net(weights, support.x), support.y, "regression"), weights)
            weights = {name: value.detach() - self.hparams.head_lr * gradient[name] for name, value in weights.items()}
            yield step, weights

    def _body(self, state: State, n_tasks: int) -> dict[str, Tensor]:
        """The frozen weights, without the pre-training head."""
        return stack({n: v for n, v in group(state, "weights").items() if not n.startswith("head.")}, n_tasks)

    def _adapt_head(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        body = self._body(state, len(support))
        with torch.no_grad():
            features = self.net.features(body, support.x)
        for epoch, new in self._heads(features, support, n_steps):
            yield epoch, {**body, **new}

    def _heads(self, features: Tensor, support: Support, n_epochs: int) -> Iterator[tuple[int, Weights]]:
        """Each task's head [T, n_way, n_features] on its support features [T, n, n_features] after every epoch.

        The head starts as drawn by the episode's seed, and sees each support example once an epoch.
        """
        new, velocity = self._fresh_heads(support, features), dict[str, Tensor]()
        yield 0, new
        generators = [np.random.Generator(np.random.PCG64(int(seed))) for seed in support.seeds]
        n, size = features.shape[1], self.hparams.head_batch
        for epoch in range(1, n_epochs + 1):
            order = torch.from_numpy(np.stack([g.permutation(n) for g in generators])).to(features.device)
            for start in range(0, n, size):
                new, velocity = self._head_step(new, velocity, features, support.y, order[:, start : start + size])
            yield epoch, new

    def outputs(
        self, state: State, support: Support, query_x: Tensor, n_steps: int, last_only: bool = False
    ) -> Iterator[tuple[int, Mapping[Mode, Tensor]]]:
        """As the contract says; frozen features are computed once for all epochs of the head."""
        if self.problem.kind == "regression":
            yield from super().outputs(state, support, query_x, n_steps, last_only)
            return
        body = self._body(state, len(support))
        with torch.no_grad():
            features = self.net.features(body, support.x)
            queries = {
                "transductive": self.net.features(body, query_x),
                "inductive": self.net.features(body, query_x, self.net.statistics(body, support.x)),
            }
        for epoch, new in self._heads(features, support, n_steps):
            if epoch == n_steps or not last_only:
                with torch.no_grad():
                    yield epoch, {mode: torch.func.vmap(head)(new, queries[mode]) for mode in MODES}

    def _fresh_heads(self, support: Support, features: Tensor) -> dict[str, Tensor]:
        drawn = [
            init_head(support.n_way, features.shape[-1], Generator().manual_seed(int(seed))) for seed in support.seeds
        ]
        return {name: torch.stack([one[name] for one in drawn]).to(features) for name in drawn[0]}

    def _head_step(
        self, new: Weights, velocity: Weights, features: Tensor, y: Tensor, rows: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One step of SGD with momentum, dampening and weight decay, as torch.optim.SGD defines them."""
        tasks = torch.arange(len(features), device=features.device)[:, None]
        hparams, new = self.hparams, leaves(new)
        logits = torch.func.vmap(head)(new, features[tasks, rows])
        gradient = gradients(task_losses(logits, y[tasks, rows], "classification"), new)
        moved, kept = {}, {}
        for name, value in new.items():
            slope = gradient[name] + hparams.head_weight_decay * value.detach()
            old = velocity.get(name)
            kept[name] = slope if old is None else hparams.head_momentum * old + (1 - hparams.head_momentum) * slope
            moved[name] = value.detach() - hparams.head_lr * kept[name]
        return moved, kept
