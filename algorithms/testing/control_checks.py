"""The checks of a method of control against its contract, on a synthetic problem of a few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from algorithms import AlgorithmEntry, HyperParameters, Problem
from algorithms.control.algorithm import ControlAlgorithm
from algorithms.core.meta_state import State
from algorithms.networks.network import Network
from algorithms.networks.policy import policy_for
from algorithms.testing.effects import unused
from algorithms.testing.findings import Broken, NotPromised
from datasets.core.control import Actions, ControlEpisodes, ControlStream
from datasets.core.episodes import Kind, Shape, Split, StreamName
from datasets.core.randomness import UInt64Array, uniform

N_TASKS = 3  # adapted together
N_OUTER = 12  # outer steps of a whole training
SHAPE = Shape(1, 6, 6)
ONE_NUMBER = Actions("continuous", 1)


@dataclass(frozen=True)
class Approach:
    """Three steps on a line towards a hidden target U[0, 2]; the reward is minus the distance to it."""

    observation_size: int = 1
    n_parameters: int = 1
    actions: Actions = ONE_NUMBER
    horizon: int = 3
    n_start_noise: int = 0
    n_noise: int = 0

    def sample(self, keys: UInt64Array) -> npt.NDArray[np.float64]:
        """Return [T, 1] targets."""
        return 2 * uniform(keys[:, None], np.arange(1))

    def start(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Return [T, N, 1] zeros."""
        return parameters.new_zeros(*noise.shape[:2], 1)

    def observe(self, parameters: Tensor, states: Tensor) -> Tensor:
        """Return [T, N, 1] the places."""
        return states

    def step(self, parameters: Tensor, states: Tensor, actions: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Move by the action; see ``datasets.core.control.Environment``."""
        states = states + actions
        rewards = -(states - parameters[:, None]).abs()[..., 0]
        return states, rewards, torch.zeros_like(rewards, dtype=torch.bool)


@dataclass
class ControlSubject:
    """A method on the synthetic problem; see ``algorithms.testing.subject.Subject``."""

    entry: AlgorithmEntry
    kind: Kind = "control"
    changes: Mapping[str, Any] = field(default_factory=dict)
    n_classes: int = 1
    hparams: HyperParameters = field(init=False)
    algorithm: ControlAlgorithm[Any] = field(init=False)
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        environment = Approach()
        self.hparams = self.entry.settings("control", 1, SHAPE.n_shot, {"meta_batch": 3} | dict(self.changes))
        n_inputs = environment.observation_size + (environment.n_parameters if self.entry.factory.told else 0)
        self.network = policy_for(environment.actions, n_inputs, (8,))
        algorithm = self.entry.factory(self.hparams, Problem("control", SHAPE, 1, N_OUTER), self.network)
        if not isinstance(algorithm, ControlAlgorithm):
            raise Broken(f"{type(algorithm).__name__} must derive from ControlAlgorithm")
        self.algorithm = algorithm

    def first_state(self, dtype: torch.dtype = torch.float64) -> State:
        weights = self.network.init(Generator().manual_seed(1))
        return self.algorithm.init(
            {name: value.to(dtype) for name, value in weights.items()}, Generator().manual_seed(3)
        )

    def episodes(self, n: int = N_TASKS, split: Split = "test", start: int = 0) -> ControlEpisodes:
        """Return episodes of a split."""
        name = StreamName("synthetic", "0", split, SHAPE, 0)
        return ControlStream(name, Approach(), torch.device("cpu")).batch(range(start, start + n))

    def trained(self, n_outer: int = 2) -> State:
        """Return the meta-state after ``n_outer`` outer steps."""
        state, size = self.first_state(), self.hparams.meta_batch
        for step in range(n_outer):
            state, _ = self.algorithm.outer_step(state, self.episodes(size, "train", step * size))
        return state

    def returns(self, state: State, episodes: ControlEpisodes) -> Tensor:
        """Return [steps, T] the mean returns after each step that is yielded."""
        measured = self.algorithm.returns(state, episodes, self.algorithm.test_steps)
        return torch.stack([values for _, values in measured])

    def evidence(self, state: State) -> dict[str, Tensor]:
        """Return what hyper-parameters may change of a trained state's results."""
        return {"returns": self.returns(state, self.episodes())}


def _steps(subject: ControlSubject) -> None:
    """``returns`` gives the steps 0 to K, and weights have a leading task dimension."""
    last, episodes = subject.algorithm.test_steps, subject.episodes()
    adapted = list(subject.algorithm.adapt(subject.trained(), episodes.support, last))
    numbers = [step for step, _ in adapted]
    if numbers != sorted(set(numbers)) or numbers[:1] != [0] or numbers[-1:] != [last]:
        raise Broken(f"adapt gives the steps {numbers}; it must give 0 and {last} in ascending order")
    for step, weights in adapted:
        for name, value in weights.items():
            if value.shape[:1] != (len(episodes),):
                raise Broken(
                    f"at step {step} '{name}' has shape {tuple(value.shape)}; the first dimension must be the "
                    f"{len(episodes)} episodes"
                )


def _deterministic(subject: ControlSubject) -> None:
    """The same inputs give the same state and returns, to the bit."""
    states = [subject.trained() for _ in range(2)]
    for name, value in states[0].items():
        if not torch.equal(value, states[1][name]):
            raise Broken(f"two trainings from the same seeds differ in '{name}'; draw from the tasks' noise")
    first, second = (subject.returns(states[0], subject.episodes()) for _ in range(2))
    if not torch.equal(first, second):
        raise Broken("two adaptations to the same episodes differ; draw from the tasks' noise, and keep nothing")


def _independent_tasks(subject: ControlSubject) -> None:
    """An episode's returns do not depend on which others it is adapted with."""
    state, episodes = subject.trained(), subject.episodes()
    together = subject.returns(state, episodes)
    for t in range(len(episodes)):
        gap = float((subject.returns(state, episodes[t : t + 1])[:, 0] - together[:, t]).abs().max())
        if not gap <= 1e-6:
            raise Broken(
                f"episode {t} adapted alone gives returns that differ by up to {gap:.1e} from those of a batch of "
                f"{len(episodes)}; a task's result may depend on that task alone"
            )


def _state_unchanged(subject: ControlSubject) -> None:
    """Neither ``adapt`` nor ``outer_step`` changes the state that it is given."""
    state = subject.trained()
    before = {name: value.clone() for name, value in state.items()}
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("adapt", lambda: subject.returns(state, subject.episodes())),
        ("outer_step", lambda: subject.algorithm.outer_step(state, subject.episodes(3, "train"))),
    )
    for what, call in calls:
        call()
        if sorted(state) != sorted(before) or any(not torch.equal(state[name], before[name]) for name in before):
            raise Broken(f"{what} changes the state it is given; return a new one")


def _finite(subject: ControlSubject) -> None:
    """Loss, state and returns are finite, and training changes something."""
    first = subject.first_state()
    state, measured = subject.algorithm.outer_step(first, subject.episodes(3, "train"))
    if not np.isfinite(measured["loss"]):
        raise Broken(f"the training loss of the first outer step is {measured['loss']}")
    if wrong := sorted(name for name, value in state.items() if not torch.isfinite(value).all()):
        raise Broken(f"not finite after an outer step: {', '.join(wrong)}")
    if not torch.isfinite(subject.returns(state, subject.episodes())).all():
        raise Broken("returns are not finite")
    weights = [name for name in state if name.startswith("weights/")]
    if subject.algorithm.trains and all(torch.equal(state[name], first[name]) for name in weights):
        raise Broken("an outer step changes no weight; if there is nothing to train, say `trains = False`")


def _hyper_parameters(subject: ControlSubject) -> None:
    """Every hyper-parameter that applies here changes the training, the adaptation or the returns."""
    without_effect = unused(subject)
    if without_effect:
        raise Broken(
            f"no other value of {'; nor of '.join(without_effect)} changes the trained state, the number of test "
            "steps or the returns; use it, remove it, or declare where it has an effect (`needs=Needs(...)`, "
            "`when=When(...)`)"
        )


def _learns(subject: ControlSubject) -> None:
    """A short training raises the return on new tasks."""
    if not subject.algorithm.trains:
        raise NotPromised("it does not train")
    episodes = subject.episodes(10)
    before, after = (
        float(subject.returns(state, episodes)[-1].mean())
        for state in (subject.first_state(), subject.trained(N_OUTER))
    )
    if not after > before:
        raise Broken(f"after {N_OUTER} outer steps the mean return on new tasks is {after:.2f}, and was {before:.2f}")


CONTROL_CHECKS: dict[str, Callable[[ControlSubject], None]] = {
    "steps of adaptation": _steps,
    "deterministic": _deterministic,
    "tasks are independent": _independent_tasks,
    "state is not changed": _state_unchanged,
    "numbers are finite": _finite,
    "hyper-parameters have an effect": _hyper_parameters,
    "learns a simple problem": _learns,
}
