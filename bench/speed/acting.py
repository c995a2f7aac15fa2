"""Environment steps per second: trajectories of all tasks at once beside a plain Gymnasium loop.

Every contender acts in ``navigation`` with the same policies (two hidden layers of 100) on the same noise, so that each
must earn the same returns; one thread, in alternating rounds:

- ``bench``: ``navigation`` in PyTorch, all tasks and trajectories at once.
- ``gymnasium_dataset``: the same game as a Gymnasium environment, a simulator per trajectory; policies at once.
- ``plain loop``: one such environment and one policy, one step after another, as most scripts act.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Generator, Tensor, nn

from algorithms.control.rollouts import roll_out
from algorithms.engines.task_network import TaskNetwork
from algorithms.engines.threads import on_one_thread
from algorithms.networks.network import Weights
from algorithms.networks.policy import policy_for
from datasets.core.control import ControlEpisodes, EnvironmentDataset, Tasks
from datasets.core.episodes import Shape
from datasets.core.errors import UserError
from datasets.gymnasium_tasks import gymnasium_dataset
from datasets.navigation import NEAR, SPEED, NavigationEnvironment

TASKS, TRAJECTORIES = 20, 20
OF_LOOP = 2  # tasks and trajectories of each that the loop acts in, in a round
WARM_UP = 1  # rounds
AS_NEAR = 1e-2  # returns of -50 or so agree, in float32 and float64
OURS = "bench"

Contender = Callable[[], tuple[int, Tensor]]
"""Acts for a round; returns the steps taken and the returns [T, N]."""


def compare(rounds: int = 10) -> pd.DataFrame:
    """Time all contenders.

    Args:
        rounds: timed rounds, after one that warms up.

    Returns:
        One row per contender: ``contender``, ``steps_per_second`` (the median over rounds), its quartiles ``q1`` and
        ``q3``, and ``times_ours`` (the median over rounds of our steps per second divided by the contender's).

    Raises:
        UserError: Gymnasium is not installed.
    """
    with on_one_thread():
        return _measured(_contenders(), rounds)


def _measured(contenders: Mapping[str, Contender], rounds: int) -> pd.DataFrame:
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + WARM_UP):
        earned: dict[str, Tensor] = {}
        for name, act in contenders.items():
            start = time.perf_counter()
            steps, earned[name] = act()
            rates[name].append(steps / (time.perf_counter() - start))
        for name, returns in earned.items():
            same = earned[OURS][: len(returns), : returns.shape[1]]
            if not torch.allclose(returns, same, rtol=0, atol=AS_NEAR):
                raise AssertionError(f"{name} earned other returns: {returns} and {same}")
    rows = []
    for name, of_rounds in rates.items():
        timed, ours = np.array(of_rounds[WARM_UP:]), np.array(rates[OURS][WARM_UP:])
        rows.append((name, *np.quantile(timed, [0.5, 0.25, 0.75]), np.median(ours / timed)))
    return pd.DataFrame(rows, columns=["contender", "steps_per_second", "q1", "q3", "times_ours"])


def _contenders() -> dict[str, Contender]:
    try:
        import gymnasium
    except ImportError:
        raise UserError("the comparison needs Gymnasium; run: uv sync --extra control") from None

    class Navigation(gymnasium.Env[npt.NDArray[np.float64], npt.NDArray[np.float64]]):
        """``datasets.navigation`` for one trajectory at a time, in NumPy."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float64)

        @staticmethod
        def sample_task(generator: np.random.Generator) -> npt.NDArray[np.float64]:
            return generator.uniform(-0.5, 0.5, 2)

        def set_task(self, task: npt.NDArray[np.float64]) -> None:
            self.goal = task

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
            super().reset(seed=seed)
            self.place = np.zeros(2)
            return self.place, {}

        def step(
            self, action: npt.NDArray[np.float64]
        ) -> tuple[npt.NDArray[np.float64], float, bool, bool, dict[str, Any]]:
            self.place = self.place + SPEED * np.clip(action, -1.0, 1.0)
            offset = self.place - self.goal
            return self.place, -float(np.sqrt((offset**2).sum())), bool((np.abs(offset) < NEAR).all()), False, {}

    environment = NavigationEnvironment()
    shape = Shape(1, TRAJECTORIES, TRAJECTORIES)
    dataset = EnvironmentDataset("navigation", environment)
    episodes: ControlEpisodes = dataset.stream("train", shape, 0).batch(range(TASKS))
    policy = policy_for(environment.actions, environment.observation_size)
    net, first = TaskNetwork(policy, "stacked"), policy.init(Generator().manual_seed(0))
    weights = {name: value.expand(TASKS, *value.shape).contiguous() for name, value in first.items()}
    simulated = gymnasium_dataset("navigation", Navigation, environment.horizon)
    return {
        OURS: lambda: _at_once(net, weights, episodes.support),
        "gymnasium_dataset": lambda: _at_once(
            net, weights, replace(episodes.support, environment=simulated.environment)
        ),
        "plain loop": lambda: _one_by_one(Navigation(), first, episodes.support),
    }


def _at_once(net: TaskNetwork, weights: Weights, tasks: Tasks) -> tuple[int, Tensor]:
    seen = roll_out(net, weights, tasks, step=0)
    return int(seen.valid.sum()), seen.rewards.double().sum(dim=2)


def _one_by_one(simulator: Any, weights: Weights, tasks: Tasks) -> tuple[int, Tensor]:
    """Act in the first tasks' first trajectories, as a script of one environment and one policy does."""
    layers: list[nn.Module] = []
    values = [weights[name] for name in weights if name != "log_std"]
    for weight, bias in zip(values[::2], values[1::2], strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = weight, bias
        layers += [layer, nn.ReLU()]
    policy, deviation, steps = nn.Sequential(*layers[:-1]), weights["log_std"].exp(), 0
    noise, returns = torch.special.ndtri(tasks.noise(0)).float(), torch.zeros(OF_LOOP, OF_LOOP, dtype=torch.float64)
    with torch.no_grad():
        for t in range(OF_LOOP):
            simulator.set_task(tasks.parameters[t])
            for n in range(OF_LOOP):
                seen, _ = simulator.reset(seed=n)
                for h in range(tasks.environment.horizon):
                    mean = policy(torch.from_numpy(seen).float())
                    seen, reward, ended, _, _ = simulator.step((mean + deviation * noise[t, n, h]).double().numpy())
                    returns[t, n] += reward
                    steps += 1
                    if ended:
                        break
    return steps, returns
