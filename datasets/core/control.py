"""Episodes of control: Markov decision processes, vectorized over tasks and trajectories, and their noise.

An episode is a task and the keys of its noise. Trajectory ``n`` after ``step`` steps of adaptation meets the same
random numbers whatever acts, in whatever order tasks are asked for: what differs between two policies is the policy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.episodes import ExampleStream, Kind, Shape, Split, StreamName
from datasets.core.errors import UserError
from datasets.core.randomness import Int64Array, UInt64Array, bits, key_of

START = 2**32  # the counter from which the noise of first states is drawn, behind that of all steps
SUPPORT, QUERY, SEEDS = 1, 2, 3  # counters behind an episode's key; its task is drawn from the key itself


@dataclass(frozen=True)
class Actions:
    """The actions of an environment.

    Attributes:
        kind: ``continuous`` for vectors of real numbers, ``discrete`` for one of ``size`` choices.
        size: components of a vector, or number of choices.
    """

    kind: Literal["continuous", "discrete"]
    size: int

    @property
    def n_noise(self) -> int:
        """Uniform numbers that a policy draws an action with."""
        return self.size if self.kind == "continuous" else 1


class Environment(Protocol):
    """The decision processes of a dataset, over T tasks and N trajectories at once.

    States are whatever ``start`` returns: a tensor where steps are functions of tensors, or an object that holds
    simulators. Nothing else looks into them.

    Attributes:
        observation_size: components O of an observation.
        n_parameters: numbers P that tell tasks apart, such as the coordinates of a goal.
        actions: what a policy chooses from.
        horizon: steps of a trajectory at most, H.
        n_start_noise: uniform numbers that the first state of a trajectory is drawn with.
        n_noise: uniform numbers that one step draws.
    """

    @property
    def observation_size(self) -> int: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def actions(self) -> Actions: ...
    @property
    def horizon(self) -> int: ...
    @property
    def n_start_noise(self) -> int: ...
    @property
    def n_noise(self) -> int: ...

    def sample(self, keys: UInt64Array) -> npt.NDArray[np.float64]:
        """Return [T, P] the parameters of the tasks with these keys."""

    def start(self, parameters: Tensor, noise: Tensor) -> Any:
        """Return the first states of T tasks' N trajectories.

        Args:
            parameters: [T, P] of the tasks.
            noise: [T, N, n_start_noise] float64 uniform numbers in (0, 1).
        """

    def observe(self, parameters: Tensor, states: Any) -> Tensor:
        """Return [T, N, O] what a policy sees of the states."""

    def step(self, parameters: Tensor, states: Any, actions: Tensor, noise: Tensor) -> tuple[Any, Tensor, Tensor]:
        """Return the next states, the rewards [T, N] and whether the trajectories end there [T, N].

        Args:
            parameters: [T, P] of the tasks.
            states: those before the step.
            actions: [T, N, A] real numbers, or [T, N] whole ones for discrete actions.
            noise: [T, N, n_noise] uniform numbers in (0, 1).
        """


@runtime_checkable
class ControlDataset(Protocol):
    """A dataset whose tasks are decision processes."""

    @property
    def environment(self) -> Environment: ...


@dataclass(frozen=True)
class Tasks:
    """T tasks with the noise of their support or of their query trajectories.

    Attributes:
        environment: whose tasks they are.
        parameters: [T, P] float64 parameters.
        keys: [T] of the noise.
        seeds: [T] int64: one random number per episode.
        n_trajectories: of each task, N.
        device: where trajectories are computed.
    """

    environment: Environment
    parameters: npt.NDArray[np.float64]
    keys: UInt64Array
    seeds: Int64Array
    n_trajectories: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, tasks: slice) -> Tasks:
        return Tasks(
            self.environment,
            self.parameters[tasks],
            self.keys[tasks],
            self.seeds[tasks],
            self.n_trajectories,
            self.device,
        )

    def noise(self, step: int) -> Tensor:
        """Return [T, N, H, noise] float64 uniform numbers in (0, 1) of the trajectories after ``step`` inner steps.

        The first ``actions.n_noise`` of each step are the policy's, the others the environment's.
        """
        environment = self.environment
        width = environment.actions.n_noise + environment.n_noise
        uniform = self._uniform(step, np.arange(environment.horizon * width))
        return uniform.reshape(*uniform.shape[:2], environment.horizon, width)

    def start_noise(self, step: int) -> Tensor:
        """Return [T, N, n_start_noise] float64 uniform numbers in (0, 1) of the same trajectories' first states."""
        return self._uniform(step, START + np.arange(self.environment.n_start_noise))

    def _uniform(self, step: int, counters: Int64Array) -> Tensor:
        """Return [T, N, C] uniform numbers of the trajectories after ``step`` inner steps, one for each counter."""
        own = bits(bits(self.keys, step)[:, None], np.arange(self.n_trajectories))
        drawn = bits(own[..., None], counters) >> np.uint64(11)
        uniform = (drawn.astype(np.float64) + 0.5) * 2.0**-53  # never 0 or 1, whose normal quantiles are infinite
        return torch.from_numpy(uniform).to(self.device)


@dataclass(frozen=True)
class ControlEpisodes:
    """T episodes of one stream.

    Attributes:
        index: [T] int64 which episodes of the stream these are.
        support: the tasks with the noise of the trajectories that adaptation may see.
        query: the same tasks with the noise of the trajectories on which adapted policies are measured.
        identity: [T, P + 2] float64: parameters, and the two halves of the episode's key.
        class_ids: [T, 1] int64 the episode's own index: there are no classes.
    """

    index: Int64Array
    support: Tasks
    query: Tasks
    identity: npt.NDArray[np.float64]
    class_ids: Int64Array

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, tasks: slice) -> ControlEpisodes:
        return ControlEpisodes(
            self.index[tasks],
            self.support[tasks],
            self.query[tasks],
            self.identity[tasks],
            self.class_ids[tasks],
        )


@dataclass(frozen=True)
class ControlStream:
    """Episodes of ``name.shape.n_shot`` support and ``n_query`` query trajectories."""

    name: StreamName
    environment: Environment
    device: torch.device

    @cached_property
    def _key(self) -> np.uint64:
        return key_of(self.name)

    def _draw(self, indices: Sequence[int] | Int64Array) -> tuple[UInt64Array, npt.NDArray[np.float64]]:
        keys = bits(self._key, np.asarray(indices, dtype=np.int64))
        halves = [(keys >> np.uint64(32)).astype(np.float64), (keys & np.uint64(0xFFFFFFFF)).astype(np.float64)]
        return keys, np.concatenate([self.environment.sample(keys), np.stack(halves, axis=1)], axis=1)

    def identity(self, indices: Sequence[int] | Int64Array) -> npt.NDArray[np.float64]:
        """[T, P + 2] float64: the tasks' parameters, and the halves of the keys that their noise comes from."""
        return self._draw(indices)[1]

    def batch(self, indices: Sequence[int] | Int64Array) -> ControlEpisodes:
        """Return the episodes ``indices``, in that order."""
        index = np.asarray(indices, dtype=np.int64)
        keys, identity = self._draw(index)
        seeds = (bits(keys, SEEDS) >> np.uint64(1)).astype(np.int64)
        support, query = (
            Tasks(self.environment, identity[:, :-2], bits(keys, purpose), seeds, n, self.device)
            for purpose, n in ((SUPPORT, self.name.shape.n_shot), (QUERY, self.name.shape.n_query))
        )
        return ControlEpisodes(index, support, query, identity, index[:, None])


@dataclass(frozen=True)
class EnvironmentDataset:
    """The tasks of an environment; the three splits are three independent draws of tasks and noise.

    Attributes:
        name: of the dataset.
        environment: whose tasks they are.
        version: of the environment's arithmetic; part of the fingerprint.
    """

    name: str
    environment: Environment
    version: int = 1

    @property
    def kind(self) -> Kind:
        return "control"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(O,) of an observation."""
        return (self.environment.observation_size,)

    @property
    def fingerprint(self) -> str:
        """Digest of the environment's name and settings."""
        return hashlib.sha256(f"{self.name}-{self.version} {self.environment!r}".encode()).hexdigest()

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> Any:
        """Return a ``ControlStream`` of ``shape``, whose ``n_way`` must be 1."""
        if shape.n_way != 1 or shape.n_query < 1:
            raise UserError(
                f"{self.name}: tasks have no classes, and are measured on query trajectories: n_way must be 1 and "
                f"n_query at least 1, but got n_way={shape.n_way} and n_query={shape.n_query}"
            )
        name = StreamName(self.name, self.fingerprint, split, shape, seed)
        return ControlStream(name, self.environment, device or torch.device("cpu"))

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """Raise UserError: there are no labelled examples."""
        raise UserError(f"{self.name} has no labelled examples: its tasks are acted in")
