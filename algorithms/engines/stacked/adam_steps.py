"""Steps of Adam on an MLP, on one task after another, in kept buffers: a step is some twenty operations."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import torch
from torch import Tensor

from algorithms.engines.fused_adam import AdamSettings, fused_adam_
from algorithms.engines.stacked.layers import Matrices, Pass
from algorithms.engines.stacked.outputs import loss_of
from algorithms.engines.threads import on_one_thread
from algorithms.networks.mlp import MLP
from datasets.core.episodes import Kind


class AdamSteps:
    """Buffers for steps on minibatches of one size, which every call writes anew."""

    def __init__(self, network: MLP, n_examples: int, kind: Kind, like: Tensor) -> None:
        names = ("start", "weights", "gradient", "mean", "square", "moved")
        made = {name: Matrices(network, 1, like) for name in names}
        self.start, self.weights, self.gradient, self.mean, self.square, self.moved = made.values()
        torch._foreach_zero_([*self.mean.layers, *self.square.layers])  # those of the constant rows
        self.of_constants = [layer[:, -1] for layer in self.gradient.layers[:-1]]
        self.minibatch, self.loss = Pass(self.weights, 1, n_examples), loss_of(kind)

    def run(
        self, adam: AdamSettings, start: Mapping[str, Tensor], moments: Mapping[str, Tensor], x: Tensor, y: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
        """Adapt from ``start`` to one task after another, each time with the moments that the task before left.

        Args:
            adam: its numbers.
            start: the weights that every task starts from.
            moments: ``mean.<name>``, ``square.<name>`` and ``step``, as ``algorithms.core.optimizers.Adam`` has them.
            x: [T, K, B, n_inputs] a minibatch for each of K steps on T tasks.
            y: [T, K, B, n_outputs], or [T, K, B] classes.

        Returns:
            The sum over tasks of adapted weights less ``start``, the moments after the last task, and the sum of the
            losses over tasks and steps.
        """
        step = moments["step"].float().clone()
        torch._foreach_copy_(list(self.start.named.values()), [start[name] for name in self.start.named])
        for group, kept in (("mean", self.mean), ("square", self.square)):
            torch._foreach_copy_(list(kept.named.values()), [moments[f"{group}.{name}"] for name in kept.named])
        torch._foreach_zero_(self.moved.layers)
        outputs = x.new_empty(x.shape[0] * x.shape[1], x.shape[2], self.weights.layers[-1].shape[1])
        minibatches = zip(*(torch.split(each, 1) for each in (x.flatten(0, 1), y.flatten(0, 1), outputs)), strict=True)
        for i, (inputs, targets, predicted) in enumerate(minibatches):
            if i % x.shape[1] == 0:
                torch._foreach_copy_(self.weights.layers, self.start.layers)
            self._take_step(adam, step, inputs, targets)
            predicted.copy_(self.minibatch.outputs.tasks)
            if (i + 1) % x.shape[1] == 0:
                torch._foreach_add_(self.moved.layers, self.weights.layers)
                torch._foreach_sub_(self.moved.layers, self.start.layers)
        after = {
            f"{group}.{name}": view[0].clone()
            for group, kept in (("mean", self.mean), ("square", self.square))
            for name, view in kept.named.items()
        }
        moved = {name: view[0].clone() for name, view in self.moved.named.items()}
        return moved, after | {"step": step.to(moments["step"])}, self.loss.total(outputs, y.flatten(0, 1))

    def _take_step(self, adam: AdamSettings, step: Tensor, x: Tensor, y: Tensor) -> None:
        own, e = self.minibatch, self.minibatch.slopes[-1].tasks
        own.x.copy_(x)
        own.forward(self.weights)
        self.loss.slope(own.outputs.tasks, y, 1.0, e)
        own.backward(self.weights)
        own.gradient(self.gradient)
        for constants in self.of_constants:
            constants.zero_()
        fused_adam_(
            adam,
            self.weights.layers,
            self.gradient.layers,
            self.mean.layers,
            self.square.layers,
            step.add_(1),
        )


class AdamInTurn:
    """Steps of Adam on an MLP, with the buffers of the thread's last call."""

    def __init__(self, network: MLP) -> None:
        self.network = network
        self._kept = threading.local()

    def run(
        self,
        adam: AdamSettings,
        start: Mapping[str, Tensor],
        moments: Mapping[str, Tensor],
        x: Tensor,
        y: Tensor,
        kind: Kind,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
        """See ``AdamSteps.run``."""
        sizes = (x.shape[2], kind, x.dtype)
        if getattr(self._kept, "sizes", None) != sizes:
            self._kept.sizes, self._kept.steps = sizes, AdamSteps(self.network, x.shape[2], kind, x)
        with torch.no_grad(), on_one_thread():
            steps: AdamSteps = self._kept.steps
            return steps.run(adam, start, moments, x, y)
