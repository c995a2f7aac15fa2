"""Base of the baselines without episodes: cross-entropy on all training classes, then a frozen network.

A subclass fits the head of a new task to frozen features.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from torch import Generator, Tensor

from algorithms.core.algorithm import MODES, BatchAlgorithm, Metrics, Mode
from algorithms.core.hyperparameters import HyperParameters, Range, hyper
from algorithms.core.inner_loop import gradients, leaves
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State, group, grouped
from algorithms.core.optimizers import Adam
from algorithms.networks.network import Weights, apply_head
from datasets.core.episodes import Examples, Support

CODE = "the authors' code (wyharveychen/CloserLookFewShot)"


class PretrainingHyperParameters(HyperParameters):
    """Settings of the pre-training (Chen et al. 2019)."""

    train_lr: float = hyper(
        1e-3, "Adam's step size in pre-training", f"{CODE}: train.py", Range(1e-4, 1e-2, log=True), gt=0
    )
    batch_size: int = hyper(16, "examples of one pre-training step", f"{CODE}: train.py", Range(8, 256, log=True), ge=1)


P = TypeVar("P", bound=PretrainingHyperParameters)


class Pretrained(BatchAlgorithm[P]):
    """Train a network and a classifier of all training classes on plain batches; freeze the network for new tasks."""

    @abstractmethod
    def heads(self, features: Tensor, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        """Yield each task's new head [T, ...] from support features [T, n, n_features], after steps of 0..n_steps."""

    def fresh_head(self, n_outputs: int, generator: Generator) -> dict[str, Tensor]:
        """Return a linear head as PyTorch and the authors' code draw it: uniform within 1 / sqrt(n_features)."""
        n_features = self.net.network.n_features
        bound = n_features**-0.5
        return {
            "head.weight": (2 * torch.rand(n_outputs, n_features, generator=generator) - 1) * bound,
            "head.bias": (2 * torch.rand(n_outputs, generator=generator) - 1) * bound,
        }

    def logits(self, head: Weights, features: Tensor) -> Tensor:
        """Return [T, B, n_classes] from each task's head and features [T, B, n_features]."""
        return apply_head(head, features)

    def task_logits(self, head: Weights, features: Tensor) -> Tensor:
        """Return the same for the heads of new tasks."""
        return self.logits(head, features)

    @property
    def _optimizer(self) -> Adam:
        return Adam(self.hparams.train_lr)

    def init(self, weights: Weights, generator: Generator) -> State:
        """Return the first state; for classification the head is replaced by one of all training classes."""
        if self.problem.kind == "classification":
            like = weights["head.weight"]
            body = {name: value for name, value in weights.items() if self.net.role(name) != "head"}
            fresh = self.fresh_head(self.problem.n_train_classes, generator)
            weights = body | {name: value.to(like) for name, value in fresh.items()}
        state = grouped(weights=weights, adam=self._optimizer.init(weights))
        if self.net.draws:
            state["dropout/seed"] = torch.randint(2**62, (), generator=generator)
        return state

    def adaptation_state(self, state: State) -> State:
        """Return the weights without Adam's moments."""
        return grouped(weights=group(state, "weights"))

    def outer_step(self, state: State, batch: Examples) -> tuple[State, Metrics]:
        """Take pre-training steps of ``batch_size`` examples each until the batch is used up."""
        weights, moments, total = group(state, "weights"), group(state, "adam"), 0.0
        for start in range(0, len(batch.x), self.hparams.batch_size):
            x, y = (part[None, start : start + self.hparams.batch_size] for part in (batch.x, batch.y))
            stacked = leaves(self.net.stack(weights, 1))
            dropout = (
                self.net.dropout_seeds([int(state["dropout/seed"])], int(moments["step"])) if self.net.draws else None
            )
            features = self.net.features(stacked, x, dropout=dropout)
            losses = task_losses(self.logits(stacked, features), y, self.problem.kind)
            gradient = {name: value[0] for name, value in gradients(losses, stacked).items()}
            weights, moments = self._optimizer.update(weights, gradient, moments)
            total += float(losses.detach().sum()) * x.shape[1]
        kept = {name: value for name, value in state.items() if name.startswith("dropout/")}
        return {**grouped(weights=weights, adam=moments), **kept}, {"loss": total / len(batch.x)}

    def _body(self, state: State, n_tasks: int) -> dict[str, Tensor]:
        """Return the frozen weights, without the pre-training head."""
        weights = group(state, "weights")
        return self.net.stack({n: v for n, v in weights.items() if self.net.role(n) != "head"}, n_tasks)

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        body = self._body(state, len(support))
        with torch.no_grad():
            features = self.net.features(body, support.x)
        for step, head in self.heads(features, support, n_steps):
            yield step, {**body, **head}

    def predict(self, weights: Weights, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        statistics = self.net.statistics(weights, support.x) if mode == "inductive" else None
        return self.task_logits(weights, self.net.features(weights, query_x, statistics))

    def outputs(
        self, state: State, support: Support, query_x: Tensor, n_steps: int, last_only: bool = False
    ) -> Iterator[tuple[int, Mapping[Mode, Tensor]]]:
        """Yield as the contract says; frozen features are computed once for all steps of the head."""
        body = self._body(state, len(support))
        with torch.no_grad():
            features = self.net.features(body, support.x)
            queries = {
                "transductive": self.net.features(body, query_x),
                "inductive": self.net.features(body, query_x, self.net.statistics(body, support.x)),
            }
        for step, head in self.heads(features, support, n_steps):
            if step == n_steps or not last_only:
                with torch.no_grad():
                    yield step, {mode: self.task_logits(head, queries[mode]) for mode in MODES}
