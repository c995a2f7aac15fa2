"""Bernoulli bandits (Duan et al. 2016, arXiv 1611.02779, section 3.2): the smallest game.

A task has ``n_arms`` arms whose means are drawn from U[0, 1]; a trajectory is ``n_pulls`` pulls, and a pull of an arm
pays 1 with the probability that is its mean. There is nothing to see: the observation is the constant 1, so that all
that a policy can know of a task is in its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.control import Actions, EnvironmentDataset
from datasets.core.entry import register
from datasets.core.episodes import Dataset
from datasets.core.randomness import UInt64Array, uniform


@dataclass(frozen=True)
class BanditEnvironment:
    """Arms that pay 0 or 1; a task's parameters are the arms' means."""

    n_arms: int = 5
    horizon: int = 10
    observation_size: int = 1
    n_noise: int = 1

    @property
    def n_parameters(self) -> int:
        return self.n_arms

    @property
    def actions(self) -> Actions:
        return Actions("discrete", self.n_arms)

    @property
    def n_start_noise(self) -> int:
        return 0

    def sample(self, keys: UInt64Array) -> npt.NDArray[np.float64]:
        """Return [T, n_arms] means."""
        return uniform(keys[:, None], np.arange(self.n_arms))

    def start(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Return [T, N, 1] ones: there is one state."""
        return parameters.new_ones(*noise.shape[:2], 1)

    def observe(self, parameters: Tensor, states: Tensor) -> Tensor:
        """Return [T, N, 1] ones."""
        return states

    def step(self, parameters: Tensor, states: Tensor, actions: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pull the arms; see ``datasets.core.control.Environment``."""
        rewards = (noise[..., 0] < parameters.gather(1, actions)).to(parameters)
        return states, rewards, torch.zeros_like(actions, dtype=torch.bool)


@register(
    "bandit",
    kind="control",
    family="control",
    summary="five Bernoulli arms, ten pulls; simulated",
    paper="Duan et al. 2016, arXiv 1611.02779",
    input_shape=(1,),
)
def load(root: Path) -> Dataset:
    """Return the dataset for the registry; it needs nothing under ``root``."""
    return EnvironmentDataset("bandit", BanditEnvironment())
