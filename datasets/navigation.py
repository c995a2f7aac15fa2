"""Two-dimensional navigation (Finn, Abbeel and Levine 2017, arXiv 1703.03400, section 5.3, and the authors' code).

A point starts at the origin and is to reach a goal U[-0.5, 0.5]^2 that it does not see. An action is a velocity in
units of 0.1 an axis, clipped at 1, as in the authors' normalized environment; the reward is minus the distance to the
goal after the step (the paper says its square, the code has the distance). A trajectory ends after 100 steps, or within
0.01 of the goal on both axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from datasets.core.control import Actions, EnvironmentDataset
from datasets.core.entry import register
from datasets.core.episodes import Dataset
from datasets.core.randomness import UInt64Array, uniform

GOAL = 0.5  # the largest coordinate of a goal
SPEED = 0.1  # the largest velocity of an axis
NEAR = 0.01  # of the goal, on both axes, where a trajectory ends
VELOCITY = Actions("continuous", 2)


@dataclass(frozen=True)
class NavigationEnvironment:
    """A point in the plane; a task's parameters are its goal (x, y)."""

    observation_size: int = 2
    n_parameters: int = 2
    actions: Actions = VELOCITY
    horizon: int = 100
    n_noise: int = 0

    @property
    def n_start_noise(self) -> int:
        return 0

    def sample(self, keys: UInt64Array) -> npt.NDArray[np.float64]:
        """Return [T, 2] goals."""
        return GOAL * (2 * uniform(keys[:, None], np.arange(2)) - 1)

    def start(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Return [T, N, 2] the origin."""
        return parameters.new_zeros(*noise.shape[:2], 2)

    def observe(self, parameters: Tensor, states: Tensor) -> Tensor:
        """Return [T, N, 2] the positions; the goal is hidden."""
        return states

    def step(self, parameters: Tensor, states: Tensor, actions: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Move by the clipped velocity; see ``datasets.core.control.Environment``."""
        states = states + SPEED * actions.clamp(-1.0, 1.0)
        offset = states - parameters[:, None]
        rewards = -offset.square().sum(dim=-1).sqrt()
        return states, rewards, (offset.abs() < NEAR).all(dim=-1)


@register(
    "navigation",
    kind="control",
    family="control",
    summary="a point that is to find a hidden goal in the plane; simulated",
    paper="Finn et al. 2017, arXiv 1703.03400",
    input_shape=(2,),
)
def load(root: Path) -> Dataset:
    """Return the dataset for the registry; it needs nothing under ``root``."""
    return EnvironmentDataset("navigation", NavigationEnvironment())
