"""Reptile in float64 against NumPy, and the habits of its authors' code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import ALGORITHMS, Problem
from algorithms.core.meta_state import group
from algorithms.engines.task_network import choose_engine
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.reptile import minibatches
from datasets.core.episodes import Shape
from tests.algorithms.helpers import (
    CONV,
    LINEAR,
    POINTS,
    POOLED,
    SMALL_MLP,
    THREE_WAY,
    made_episodes,
    make,
    relative_error,
    same_state,
    start,
)

SHAPE = Shape(1, 6, 2)


def numpy_adam(
    theta: np.ndarray, square: np.ndarray, step: int, batches: list[tuple[np.ndarray, np.ndarray]], lr: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Adam without first moment on a linear model with squared loss, a step a minibatch (z, y)."""
    for z, y in batches:
        gradient = 2 / len(z) * z.T @ (z @ theta - y)
        square, step = 0.999 * square + 0.001 * gradient**2, step + 1
        theta = theta - lr * gradient / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return theta, square, step


@pytest.mark.parametrize("carry", [True, False])
def test_two_outer_steps_in_numpy(carry: bool) -> None:
    """A linear model: moments pass from task to task (or not), weights do not; the step falls from 1 to 1/2."""
    lr, size, steps = 0.05, 4, 3
    algorithm = make(
        "reptile", LINEAR, SHAPE, n_outer=2, inner_lr=lr, inner_batch=size, train_steps=steps, carry_moments=carry
    )
    state: Any = start(algorithm)
    theta = np.append(state["weights/head.weight"][0].numpy(), state["weights/head.bias"].numpy())
    square, step = np.zeros(4), 0
    for outer, factor in enumerate((1.0, 0.5)):
        episodes = made_episodes(LINEAR, SHAPE, 3, seed=outer)
        state, _ = algorithm.outer_step(state, episodes)
        moves = []
        for t in range(3):
            x = torch.cat([episodes.support.x[t], episodes.query_x[t]]).numpy()
            y = torch.cat([episodes.support.y[t], episodes.query_y[t]])[:, 0].numpy()
            z = np.concatenate([x, np.ones((len(x), 1))], axis=1)
            rows = minibatches(episodes.support.seeds[t : t + 1], len(z), size, steps)[:, 0]
            if not carry:
                square, step = np.zeros(4), 0
            adapted, square, step = numpy_adam(theta, square, step, [(z[r], y[r]) for r in rows], lr)
            moves.append(adapted - theta)
        theta = theta + factor * np.mean(moves, axis=0)
        found = np.append(state["weights/head.weight"][0].numpy(), state["weights/head.bias"].numpy())
        np.testing.assert_allclose(found, theta, rtol=1e-9)
    kept = np.append(state["adam/square.head.weight"][0].numpy(), state["adam/square.head.bias"].numpy())
    np.testing.assert_allclose(kept, square, rtol=1e-9)


def test_minibatches_cycle_without_replacement() -> None:
    for size, count in ((4, 6), (10, 5), (25, 3)):
        rows = minibatches(np.array([1, 2, 3]), 12, size, count)
        assert rows.shape == (count, 3, size)
        for t in range(3):
            order = rows[:, t].reshape(-1)
            for start_of_pass in range(0, len(order) - 11, 12):
                assert sorted(order[start_of_pass : start_of_pass + 12]) == list(range(12))
    again = minibatches(np.array([3]), 12, 4, 6)
    assert (again[:, 0] == minibatches(np.array([1, 2, 3]), 12, 4, 6)[:, 2]).all()


def test_evaluation_starts_from_the_trained_moments_and_leaves_them() -> None:
    algorithm = make("reptile", CONV, THREE_WAY, inner_batch=4, train_steps=2)
    episodes, first = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    state, _ = algorithm.outer_step(first, episodes)
    assert any(group(state, "adam")[key].any() for key in group(state, "adam") if key.startswith("square."))
    before = {key: value.clone() for key, value in state.items()}
    *_, (_, warm) = algorithm.adapt(state, episodes.support, 2)
    assert same_state(before, state)
    cold_state = {**state, **{key: value for key, value in first.items() if key.startswith("adam/")}}
    *_, (_, cold) = algorithm.adapt(cold_state, episodes.support, 2)
    assert not torch.allclose(warm["head.weight"], cold["head.weight"])


def test_the_outer_step_falls_linearly_to_its_last_value() -> None:
    network, shape = MLP(3, 1, hidden=()), Shape(1, 4, 0)
    episodes = made_episodes(network, shape, 2)
    algorithm = make("reptile", network, shape, n_outer=4, outer_step_size=0.8, final_outer_step_size=0.4)
    whole = make("reptile", network, shape, n_outer=4, outer_step_size=1.0, final_outer_step_size=1.0)
    for done, size in ((0, 0.8), (1, 0.7), (3, 0.5)):
        state = {**start(algorithm), "progress/outer": torch.tensor(float(done))}
        partly, _ = algorithm.outer_step(state, episodes)
        wholly, _ = whole.outer_step(state, episodes)
        moved = (partly["weights/head.weight"] - state["weights/head.weight"]) / (
            wholly["weights/head.weight"] - state["weights/head.weight"]
        )
        torch.testing.assert_close(moved, torch.full_like(moved, size), rtol=1e-9, atol=0)


def test_shots_and_batches_at_test_are_their_own() -> None:
    algorithm = make("reptile", CONV, THREE_WAY, train_shots=7, inner_batch=4, test_batch=2)
    assert type(algorithm).train_shape(algorithm.hparams, THREE_WAY) == Shape(3, 7, 0)
    free = make("reptile", CONV, THREE_WAY)
    assert type(free).train_shape(free.hparams, THREE_WAY) == THREE_WAY
    support, state = made_episodes(CONV, THREE_WAY, 2).support, start(algorithm)
    *_, (_, small) = algorithm.adapt(state, support, 2)
    *_, (_, large) = make("reptile", CONV, THREE_WAY, inner_batch=4).adapt(state, support, 2)
    *_, (_, same) = make("reptile", CONV, THREE_WAY, inner_batch=2).adapt(state, support, 2)
    assert not torch.equal(small["head.weight"], large["head.weight"])
    assert torch.equal(small["head.weight"], same["head.weight"])


@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize(
    ("network", "shape", "engine"),
    [
        (SMALL_MLP, POINTS, "stacked"),
        (LINEAR, POINTS, "stacked"),
        (CONV, THREE_WAY, "fused"),
        (POOLED, THREE_WAY, "vmap"),
    ],
    ids=["mlp", "linear", "fused", "vmap"],
)
def test_engines_and_parts_give_the_same(
    network: Any, shape: Shape, engine: Any, carry: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two outer steps, against the loop with a task at once."""
    episodes, ends = [made_episodes(network, shape, 5, seed=seed) for seed in (0, 1)], []
    for chosen in ("loop", engine):
        algorithm = make("reptile", network, shape, chosen, inner_batch=4, train_steps=3, carry_moments=carry)
        monkeypatch.setattr(algorithm.net, "tasks_at_once", lambda n, at=1 if chosen == "loop" else at_once: at)
        state, losses = start(algorithm), []
        for batch in episodes:
            state, metrics = algorithm.outer_step(state, batch)
            losses.append(metrics["loss"])
        ends.append((state, losses))
    (expected, expected_losses), (found, found_losses) = ends
    assert found_losses == pytest.approx(expected_losses, rel=1e-9)
    assert list(found) == list(expected)
    assert all(found[key].shape == expected[key].shape for key in expected)
    for part in ("weights", "adam"):
        assert relative_error(group(found, part), group(expected, part)) < 1e-8


def test_a_network_that_is_adapted_by_the_engine_itself_may_have_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    network = MLP(2, 3, hidden=(5, 4))
    images = made_episodes(Conv4((1, 1, 2), 3, channels=1), THREE_WAY, 4)
    support = replace(images.support, x=images.support.x.flatten(2))
    episodes, ends = replace(images, support=support, query_x=images.query_x.flatten(2)), []
    entry = ALGORITHMS["reptile"]
    for engine in ("loop", "stacked"):
        problem = Problem("classification", THREE_WAY, 7, 10)
        hparams = entry.hparams.model_validate({"inner_batch": 4, "train_steps": 3})
        algorithm: Any = entry.factory(hparams, problem, network, engine)  # type: ignore[arg-type]
        if engine == "stacked":
            monkeypatch.setattr(algorithm, "slopes", None)  # the other way is not taken
        ends.append(algorithm.outer_step(start(algorithm), episodes))
    assert ends[1][1]["loss"] == pytest.approx(ends[0][1]["loss"], rel=1e-9)
    assert relative_error(ends[1][0], ends[0][0]) < 1e-8


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("network", [SMALL_MLP, CONV], ids=["mlp", "fused"])
def test_bytes_do_not_depend_on_threads_or_on_earlier_calls(network: Any, carry: bool) -> None:
    shape = POINTS if network is SMALL_MLP else THREE_WAY
    algorithm = make("reptile", network, shape, choose_engine(network, torch.device("cpu")), carry_moments=carry)
    state, episodes = start(algorithm), made_episodes(network, shape, 3)
    first, _ = algorithm.outer_step(state, episodes)
    kept, before = {key: value.clone() for key, value in first.items()}, torch.get_num_threads()
    algorithm.outer_step(first, made_episodes(network, shape, 3, seed=4))
    assert same_state(first, kept)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert same_state(algorithm.outer_step(state, episodes)[0], first)
    finally:
        torch.set_num_threads(before)
