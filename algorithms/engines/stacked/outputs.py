"""The loss at an MLP's outputs: its value, its gradient, and how that changes with the outputs.

For the mean squared error over B examples of n outputs z with targets y, and for the mean cross-entropy in nats with
p = softmax(z) and y the class as a vector of zeros and a one,

    e = 2 (z - y) / (B n),    dot e = 2 dot z / (B n);        e = (p - y) / B,    dot e = p (dot z - p . dot z) / B.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.core.episodes import Kind


class Loss(Protocol):
    """A mean loss over the examples of each of T tasks; e and dot e are those of ``factor`` times it."""

    def slope(self, outputs: Tensor, targets: Tensor, factor: float, into: Tensor) -> None:
        """Compute e, in the shape of ``outputs`` [T, B, n_outputs]."""

    def change(self, by_outputs: Tensor, factor: float, into: Tensor) -> None:
        """Compute dot e from dot z at the outputs that ``slope`` was last called with."""

    def total(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the sum over tasks of their losses."""


class SquaredError:
    """The mean squared error; targets are [T, B, n_outputs]."""

    def slope(self, outputs: Tensor, targets: Tensor, factor: float, into: Tensor) -> None:
        torch.sub(outputs, targets, out=into).mul_(2 * factor / math.prod(outputs.shape[1:]))

    def change(self, by_outputs: Tensor, factor: float, into: Tensor) -> None:
        torch.mul(by_outputs, 2 * factor / math.prod(by_outputs.shape[1:]), out=into)

    def total(self, outputs: Tensor, targets: Tensor) -> float:
        return float(F.mse_loss(outputs, targets)) * len(outputs)


class CrossEntropy:
    """The mean cross-entropy in nats; targets are [T, B] classes."""

    def __init__(self) -> None:
        self._p = torch.empty(0)

    def slope(self, outputs: Tensor, targets: Tensor, factor: float, into: Tensor) -> None:
        self._p = outputs.softmax(2)
        into.copy_(self._p)
        into.scatter_add_(2, targets.unsqueeze(2), into.new_full((1, 1, 1), -1.0).expand(*targets.shape, 1))
        into.mul_(factor / outputs.shape[1])

    def change(self, by_outputs: Tensor, factor: float, into: Tensor) -> None:
        torch.mul(self._p, by_outputs, out=into)
        torch.addcmul(into, self._p, into.sum(2, keepdim=True), value=-1, out=into).mul_(factor / by_outputs.shape[1])

    def total(self, outputs: Tensor, targets: Tensor) -> float:
        return float(F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="sum")) / targets.shape[1]


def loss_of(kind: Kind) -> Loss:
    """Return the loss for targets of that kind."""
    return SquaredError() if kind == "regression" else CrossEntropy()
