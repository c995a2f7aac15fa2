"""Policies: a multi-layer perceptron whose outputs are the parameters of a distribution over actions.

Finn et al. 2017, section 5.3: two hidden layers of 100 with ReLU; a Gaussian with a learned deviation for real-valued
actions, and a softmax for discrete ones. Actions are drawn by the inverse of the distribution function from uniform
numbers that are given, so that two policies under the same numbers differ only by what they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from algorithms.networks.mlp import MLP
from algorithms.networks.network import Weights
from datasets.core.control import Actions

POLICY_HIDDEN = (100, 100)


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions of the components of an action.

    Attributes:
        mean: [T, B, A].
        log_std: [T, 1, A] natural logarithm of the deviation, the same for all observations of a task.
    """

    mean: Tensor
    log_std: Tensor

    def sample(self, uniform: Tensor) -> Tensor:
        """Return actions [T, B, A] from uniform numbers [T, B, A] in (0, 1)."""
        normal: Tensor = torch.special.ndtri(uniform)
        return self.mean + self.log_std.exp() * normal.to(self.mean)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return the logarithm of the density [T, B] at actions [T, B, A]."""
        scaled = (actions - self.mean) * (-self.log_std).exp()
        return (-0.5 * scaled.square() - self.log_std - 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def kl(self, new: Gaussian) -> Tensor:
        """Return [T, B] the Kullback-Leibler divergence KL(this || ``new``)."""
        ratio = (2 * (self.log_std - new.log_std)).exp()
        moved = (self.mean - new.mean) * (-new.log_std).exp()
        return (new.log_std - self.log_std + 0.5 * (ratio + moved.square() - 1)).sum(dim=-1)

    def detach(self) -> Gaussian:
        """Return the same distribution as a constant."""
        return Gaussian(self.mean.detach(), self.log_std.detach())

    def joined(self, other: Distribution) -> Gaussian:
        """Return the distributions of both; ``other`` are those of the same policies for other observations."""
        assert isinstance(other, Gaussian)
        return Gaussian(torch.cat([self.mean, other.mean], dim=1), self.log_std)

    def trajectories(self, n: int, horizon: int) -> Gaussian:
        """Return the distributions of the first ``n`` trajectories, of ``horizon`` steps each."""
        return Gaussian(self.mean[:, : n * horizon], self.log_std)

    def __getitem__(self, tasks: slice) -> Gaussian:
        return Gaussian(self.mean[tasks], self.log_std[tasks])


@dataclass(frozen=True)
class Categorical:
    """A choice among ``logits.shape[-1]`` actions.

    Attributes:
        logits: [T, B, A] logarithms of the probabilities.
    """

    logits: Tensor

    def sample(self, uniform: Tensor) -> Tensor:
        """Return actions [T, B] int64 from uniform numbers [T, B, 1] in (0, 1)."""
        below = self.logits.exp().cumsum(dim=-1)[..., :-1]
        return (uniform.to(below) >= below).sum(dim=-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return the logarithm of the probability [T, B] of actions [T, B]."""
        return self.logits.gather(-1, actions[..., None])[..., 0]

    def kl(self, new: Categorical) -> Tensor:
        """Return [T, B] the Kullback-Leibler divergence KL(this || ``new``)."""
        return (self.logits.exp() * (self.logits - new.logits)).sum(dim=-1)

    def detach(self) -> Categorical:
        """Return the same distribution as a constant."""
        return Categorical(self.logits.detach())

    def joined(self, other: Distribution) -> Categorical:
        """Return the distributions of both; ``other`` are those of the same policies for other observations."""
        assert isinstance(other, Categorical)
        return Categorical(torch.cat([self.logits, other.logits], dim=1))

    def trajectories(self, n: int, horizon: int) -> Categorical:
        """Return the distributions of the first ``n`` trajectories, of ``horizon`` steps each."""
        return Categorical(self.logits[:, : n * horizon])

    def __getitem__(self, tasks: slice) -> Categorical:
        return Categorical(self.logits[tasks])


Distribution = Gaussian | Categorical


def divergence(old: Distribution, new: Distribution) -> Tensor:
    """Return [T, B] the Kullback-Leibler divergence KL(``old`` || ``new``) of two distributions of one kind."""
    if isinstance(old, Gaussian) and isinstance(new, Gaussian):
        return old.kl(new)
    assert isinstance(old, Categorical)
    assert isinstance(new, Categorical)
    return old.kl(new)


@dataclass(frozen=True)
class Policy(MLP):
    """Base of the policies; ``n_inputs`` are the components of an observation."""

    hidden: tuple[int, ...] = POLICY_HIDDEN

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Return weights by Glorot's uniform distribution and zero biases, as in the authors' code (cbfinn/maml_rl)."""
        zeros = MLP.init(self, Generator().manual_seed(0))
        return {
            name: torch.nn.init.xavier_uniform_(torch.empty_like(value), generator=generator)
            if value.dim() == 2
            else torch.zeros_like(value)
            for name, value in zeros.items()
        }

    def distribution(self, weights: Weights, outputs: Tensor) -> Distribution:
        """Return the distributions of T tasks' actions from weights [T, ...] and outputs [T, B, n_outputs]."""
        raise NotImplementedError


@dataclass(frozen=True)
class GaussianPolicy(Policy):
    """Normal distributions with the outputs as means and a learned deviation, 1 at first."""

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Return ``Policy.init`` and ``log_std`` [n_outputs]."""
        return super().init(generator) | {"log_std": torch.zeros(self.n_outputs)}

    def distribution(self, weights: Weights, outputs: Tensor) -> Gaussian:
        """Return the normal distributions; see ``Policy.distribution``."""
        return Gaussian(outputs, weights["log_std"][:, None])


@dataclass(frozen=True)
class CategoricalPolicy(Policy):
    """A softmax over the outputs."""

    def distribution(self, weights: Weights, outputs: Tensor) -> Categorical:
        """Return the choices; see ``Policy.distribution``."""
        return Categorical(F.log_softmax(outputs, dim=-1))


def policy_for(actions: Actions, n_inputs: int, hidden: tuple[int, ...] | None = None) -> Policy:
    """Return the policy for such actions.

    Args:
        actions: of the environment.
        n_inputs: components of an observation.
        hidden: units of the hidden layers; None for two of 100.
    """
    kind = GaussianPolicy if actions.kind == "continuous" else CategoricalPolicy
    return kind(n_inputs, actions.size, POLICY_HIDDEN if hidden is None else hidden)
