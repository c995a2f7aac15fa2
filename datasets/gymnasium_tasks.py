"""Tasks of a Gymnasium environment (Towers et al. 2024, arXiv 2407.17032) of the user's own.

The environment says how a task is drawn and how it is set::

    class Pendulums(PendulumEnv):
        @staticmethod
        def sample_task(generator):  # a numpy.random.Generator
            return generator.uniform([0.5, 0.5], [1.5, 1.5])

        def set_task(self, task):  # as sample_task returned it, flat
            self.m, self.l = task

There is one simulator per trajectory. A simulator is reset with a seed that comes from its trajectory's noise, so that
each trajectory begins, and draws on, as it would under any other policy.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.control import Actions, EnvironmentDataset
from datasets.core.errors import UserError
from datasets.core.printable import first_line_of
from datasets.core.randomness import UInt64Array

NEEDED = ("sample_task", "set_task", "reset", "step")
SEEDS = 2**31


@dataclass(frozen=True)
class Simulators:
    """The simulators of T tasks' N trajectories, and what they showed last.

    Attributes:
        of_task: N simulators for each of T tasks.
        observations: [T, N, O] float64.
        ended: [T, N] bool.
    """

    of_task: Sequence[Sequence[Any]]
    observations: npt.NDArray[np.float64]
    ended: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GymnasiumEnvironment:
    """An environment whose steps are those of simulators, one per trajectory.

    Real-valued actions are those of a box scaled to [-1, 1] and clipped, as in Duan et al. 2016; a component without
    bounds is passed on as it is.

    Attributes:
        make: the class of the environment, or a function that makes one.
        source: where that is from; stands for it in the fingerprint.
        simulator: the release of Gymnasium.
        observation_size: numbers of an observation, flat.
        n_parameters: numbers of a task.
        actions: what a policy chooses from.
        horizon: steps of a trajectory at most.
    """

    make: Any = field(repr=False)
    source: str
    simulator: str
    observation_size: int
    n_parameters: int
    actions: Actions
    horizon: int

    @property
    def n_start_noise(self) -> int:
        return 1

    @property
    def n_noise(self) -> int:
        return 0

    def sample(self, keys: UInt64Array) -> npt.NDArray[np.float64]:
        """Return [T, P] the tasks that ``sample_task`` draws with a generator seeded by each key."""
        tasks = [self.make.sample_task(np.random.default_rng(int(key))) for key in keys]
        return np.array([np.asarray(task, dtype=np.float64).ravel() for task in tasks]).reshape(-1, self.n_parameters)

    def start(self, parameters: Tensor, noise: Tensor) -> Simulators:
        """Return a new simulator for each trajectory, its task set, reset with a seed from the noise."""
        from gymnasium.spaces.utils import flatten

        tasks, seeds = parameters.double().cpu().numpy(), (noise[..., 0].cpu().numpy() * SEEDS).astype(np.int64)
        of_task, seen = [], np.empty((*seeds.shape, self.observation_size))
        for t, task in enumerate(tasks):
            of_task.append([self.make() for _ in seeds[t]])
            for n, simulator in enumerate(of_task[t]):
                simulator.set_task(task)
                first, _ = simulator.reset(seed=int(seeds[t, n]))
                seen[t, n] = np.asarray(flatten(simulator.observation_space, first))
        return Simulators(of_task, seen, np.zeros(seeds.shape, dtype=bool))

    def observe(self, parameters: Tensor, states: Simulators) -> Tensor:
        """Return [T, N, O] the last observations."""
        return torch.from_numpy(states.observations).to(parameters)

    def step(
        self, parameters: Tensor, states: Simulators, actions: Tensor, noise: Tensor
    ) -> tuple[Simulators, Tensor, Tensor]:
        """Step each simulator that has not ended; see ``datasets.core.control.Environment``."""
        from gymnasium.spaces.utils import flatten

        chosen = actions.cpu().numpy()
        seen, ended = states.observations.copy(), states.ended.copy()
        rewards = np.zeros(ended.shape)
        for t, simulators in enumerate(states.of_task):
            for n, simulator in enumerate(simulators):
                if ended[t, n]:
                    continue
                observation, reward, terminated, truncated, _ = simulator.step(_action(simulator, chosen[t, n]))
                seen[t, n] = np.asarray(flatten(simulator.observation_space, observation))
                rewards[t, n] = float(reward)
                ended[t, n] = terminated or truncated
        ends = torch.from_numpy(ended).to(parameters.device)
        return Simulators(states.of_task, seen, ended), torch.from_numpy(rewards).to(parameters), ends


def gymnasium_dataset(name: str, environment: Any, horizon: int, version: int = 1) -> EnvironmentDataset:
    """Return the dataset of tasks of a Gymnasium environment.

    Args:
        name: of the dataset.
        environment: a class of ``gymnasium.Env``, or a function that makes one and has the attribute ``sample_task``.
            ``sample_task(generator)`` returns the numbers of a task, and ``set_task(task)`` sets them.
        horizon: steps of a trajectory at most.
        version: of the environment; raise it when its arithmetic changes, so that results are not mixed.

    Raises:
        UserError: Gymnasium is not installed, something is missing, or the spaces are no numbers.
    """
    try:
        from gymnasium.spaces import Box, Discrete
        from gymnasium.spaces.utils import flatdim
    except ImportError:
        raise UserError(
            f"{name}: Gymnasium is not installed; run: uv sync --extra control, or: pip install gymnasium"
        ) from None
    source = f"{environment.__module__}:{environment.__qualname__}"
    made = environment()
    if missing := [f"`{part}`" for part in NEEDED if not callable(getattr(made, part, None))]:
        raise UserError(f"{name}: {source} has no {' and no '.join(missing)}; see docs/control.md")
    if not callable(getattr(environment, "sample_task", None)):
        raise UserError(f"{name}: {source} has `sample_task` only once it is made; make it a static method")
    if horizon < 1:
        raise UserError(f"{name}: a trajectory has at least 1 step, but got {horizon}", "horizon")
    task = environment.sample_task(np.random.default_rng(0))
    try:
        parameters = np.asarray(task, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}: a task of {source} is no list of numbers: {first_line_of(error)}") from None
    space = made.action_space
    if isinstance(space, Discrete):
        actions = Actions("discrete", int(space.n))
    elif isinstance(space, Box):
        actions = Actions("continuous", int(np.prod(space.shape)))
    else:
        raise UserError(f"{name}: actions of {source} are of {space}; a policy chooses from a Box or a Discrete space")
    try:
        size = flatdim(made.observation_space)
    except ValueError:
        raise UserError(f"{name}: observations of {source} have no fixed size: {made.observation_space}") from None
    release = importlib.metadata.version("gymnasium")
    known = GymnasiumEnvironment(environment, source, release, size, parameters.size, actions, horizon)
    return EnvironmentDataset(name, known, version)


def _action(simulator: Any, chosen: npt.NDArray[Any]) -> Any:
    """Return a policy's choice as the simulator takes it."""
    space = simulator.action_space
    if chosen.ndim == 0:
        return int(chosen) + int(space.start)
    low, high = space.low.ravel(), space.high.ravel()
    bounded = np.isfinite(low) & np.isfinite(high)
    with np.errstate(invalid="ignore"):  # of what has no bounds, and is not scaled
        scaled = np.where(bounded, low + 0.5 * (np.clip(chosen, -1.0, 1.0) + 1.0) * (high - low), chosen)
    return scaled.astype(space.dtype).reshape(space.shape)
