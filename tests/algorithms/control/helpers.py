"""Small problems of control: a linear-Gaussian one of one step with a closed form, and streams of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from algorithms.control.algorithm import ControlAlgorithm
from algorithms.core.algorithm import Problem
from algorithms.core.meta_state import State
from algorithms.networks.policy import policy_for
from datasets.core.control import Actions, ControlStream, Environment
from datasets.core.episodes import Shape, Split, StreamName
from datasets.core.randomness import UInt64Array, uniform

ONE_NUMBER = Actions("continuous", 1)


@dataclass(frozen=True)
class Target:
    """One step: the action is a number, the reward minus its squared distance to the task's target U[-1, 1].

    For a policy N(m, s^2) the expected reward is -(m - target)^2 - s^2.
    """

    observation_size: int = 1
    n_parameters: int = 1
    actions: Actions = ONE_NUMBER
    horizon: int = 1
    n_start_noise: int = 0
    n_noise: int = 0

    def sample(self, keys: UInt64Array) -> npt.NDArray[np.float64]:
        return 2 * uniform(keys[:, None], np.arange(1)) - 1

    def start(self, parameters: Tensor, noise: Tensor) -> Tensor:
        return parameters.new_ones(*noise.shape[:2], 1)

    def observe(self, parameters: Tensor, states: Tensor) -> Tensor:
        return states

    def step(self, parameters: Tensor, states: Tensor, actions: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rewards = -(actions[..., 0] - parameters).square()
        return states, rewards, torch.ones_like(rewards, dtype=torch.bool)


def stream(environment: Environment, n_shot: int = 3, n_query: int = 4, split: Split = "train") -> ControlStream:
    name = StreamName("made-up", "0", split, Shape(1, n_shot, n_query), 0)
    return ControlStream(name, environment, torch.device("cpu"))


def make(
    factory: type[ControlAlgorithm[Any]],
    hparams: type[Any],
    environment: Environment,
    hidden: tuple[int, ...] = (6,),
    n_outer: int = 10,
    **changes: Any,
) -> ControlAlgorithm[Any]:
    """Return the method on a small policy."""
    n_inputs = environment.observation_size + (environment.n_parameters if factory.told else 0)
    policy = policy_for(environment.actions, n_inputs, hidden)
    return factory(hparams(**changes), Problem("regression", Shape(1, 3, 4), 1, n_outer), policy)


def first_state(algorithm: ControlAlgorithm[Any], dtype: torch.dtype = torch.float64) -> State:
    generator = torch.Generator().manual_seed(0)
    weights = algorithm.net.network.init(generator)
    moved = {name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in weights.items()}
    return algorithm.init({name: value.to(dtype) for name, value in moved.items()}, generator)
