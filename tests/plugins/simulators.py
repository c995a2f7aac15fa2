"""Environments with tasks: Gymnasium's pendulum with another mass and length in each, and a game with three actions."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import PendulumEnv


class Pendulums(PendulumEnv):
    """A task is a mass and a length."""

    @staticmethod
    def sample_task(generator: np.random.Generator) -> np.ndarray:
        return generator.uniform([0.5, 0.5], [1.5, 1.5])

    def set_task(self, task: np.ndarray) -> None:
        self.m, self.l = task


class Doors(gymnasium.Env[int, int]):
    """Behind one of three doors, numbered from 5, is a prize; the game ends with it. Rooms are seen, one of four."""

    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.Discrete(3, start=5)

    @staticmethod
    def sample_task(generator: np.random.Generator) -> int:
        return int(generator.integers(3))

    def set_task(self, task: np.ndarray) -> None:
        self.prize = 5 + int(task[0])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return int(self.np_random.integers(4)), {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert action in (5, 6, 7)
        return int(self.np_random.integers(4)), float(action == self.prize), action == self.prize, False, {}
