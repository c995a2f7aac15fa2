"""Adaptation by gradient descent, stated as data, for engines that know the derivative of it in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from datasets.core.episodes import Kind


@dataclass(frozen=True)
class Descent:
    """Steps of gradient descent of all weights on the support loss: w <- w - rate * factor * gradient.

    The loss is the mean over examples of the squared error or the cross-entropy (``algorithms.core.losses``).

    Attributes:
        weights: of one network, where every task starts.
        rates: the step size of each weight: a number for each, or a learned tensor in its shape for each.
        factors: of the support loss, one for each step.
        second_order: whether the outer gradient goes through the inner gradients too.
        kind: of the targets, by which the loss is chosen.
    """

    weights: Mapping[str, Tensor]
    rates: Mapping[str, Tensor | float]
    factors: tuple[float, ...]
    second_order: bool
    kind: Kind

    @property
    def learns_rates(self) -> bool:
        """Return whether the rates are learned."""
        return all(isinstance(rate, Tensor) for rate in self.rates.values())
