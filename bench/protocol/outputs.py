"""Checks of an algorithm's outputs: a wrong shape would be broadcast, and stored as a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from algorithms import Algorithm
from algorithms.control.algorithm import ControlAlgorithm
from algorithms.core.algorithm import MODES, Mode
from algorithms.core.meta_state import State
from datasets.core.control import ControlEpisodes
from datasets.core.episodes import Support


class WrongOutput(ValueError):
    """An algorithm breaks the contract of ``algorithms.core.algorithm``; the message says how."""


def checked_outputs(
    algorithm: Algorithm[Any], state: State, support: Support, query_x: Tensor, n_outputs: int, last_only: bool = False
) -> Iterator[tuple[int, Mapping[Mode, Tensor]]]:
    """``algorithm.outputs`` after each of its test steps, or the last one only.

    Args:
        algorithm: the algorithm.
        state: its meta-state.
        support: of T episodes.
        query_x: [T, Q, *input_shape].
        n_outputs: logits or values of each query.
        last_only: whether the last step is all that is wanted.

    Raises:
        WrongOutput: outputs are not [T, Q, n_outputs], or the steps not those that were asked for.
    """
    expected, last = (*query_x.shape[:2], n_outputs), algorithm.test_steps
    steps: list[int] = []
    for step, outputs in algorithm.outputs(state, support, query_x, last, last_only):
        steps.append(step)
        for mode in MODES:
            output = outputs.get(mode)
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            if shape != expected:
                raise WrongOutput(
                    f"the {mode} outputs after step {step} are {shape}, but must be {expected}: "
                    f"{expected[0]} episodes, {expected[1]} queries, {n_outputs} outputs"
                )
        yield step, outputs
    _check_steps(steps, last, last_only)


def checked_returns(
    algorithm: Algorithm[Any], state: State, episodes: ControlEpisodes, last_only: bool = False
) -> Iterator[tuple[int, Tensor]]:
    """Yield the mean returns [T] of the policies of T tasks after each of the algorithm's test steps, or the last one.

    Args:
        algorithm: of control.
        state: its meta-state.
        episodes: T episodes.
        last_only: whether the last step is all that is wanted.

    Raises:
        WrongOutput: returns are not [T], or the steps not those that were asked for.
    """
    if not isinstance(algorithm, ControlAlgorithm):
        raise WrongOutput(f"{type(algorithm).__name__} is no ControlAlgorithm, but its kind is control")
    last = algorithm.test_steps
    steps: list[int] = []
    for step, returns in algorithm.returns(state, episodes, last, last_only):
        steps.append(step)
        if tuple(returns.shape) != (len(episodes),):
            raise WrongOutput(f"the returns after step {step} are {tuple(returns.shape)}, but must be {len(episodes)}")
        yield step, returns
    _check_steps(steps, last, last_only)


def _check_steps(steps: list[int], last: int, last_only: bool) -> None:
    """Raise WrongOutput where outputs did not come after the steps that were asked for."""
    if steps != sorted(set(steps)) or steps[-1:] != [last] or steps[0] != (last if last_only else 0):
        expected_steps = f"{last}" if last_only else f"0 and {last}, ascending"
        raise WrongOutput(f"outputs came after the steps {steps}, but must come after {expected_steps}")
