"""Navigation and bandits against plain Python, and noise that depends on the episode alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.bandit import BanditEnvironment
from datasets.core.control import ControlStream, Environment
from datasets.core.episodes import Shape, StreamName, digest
from datasets.navigation import NavigationEnvironment

SHAPE = Shape(1, 3, 2)
ENVIRONMENTS = [NavigationEnvironment(), BanditEnvironment()]


def stream(environment: Environment, seed: int = 0, shape: Shape = SHAPE) -> ControlStream:
    return ControlStream(StreamName("made-up", "0", "train", shape, seed), environment, torch.device("cpu"))


def test_navigation_moves_as_the_authors_environment() -> None:
    """Theirs, in words: state += velocity, reward minus the distance, done within 0.01 of the goal on both axes."""
    environment = NavigationEnvironment()
    rng = np.random.default_rng(0)
    goals = torch.from_numpy(environment.sample(np.arange(2, dtype=np.uint64)))
    states = environment.start(goals, torch.empty(2, 3, 0))
    positions = np.zeros((2, 3, 2))
    for _ in range(30):
        actions = torch.from_numpy(2 * rng.normal(size=(2, 3, 2)))
        states, rewards, ends = environment.step(goals, states, actions, torch.empty(2, 3, 0))
        for t, n in np.ndindex(2, 3):
            velocity = [min(max(0.1 * float(a), -0.1), 0.1) for a in actions[t, n]]
            positions[t, n] += velocity
            away = positions[t, n] - goals[t].numpy()
            assert float(rewards[t, n]) == pytest.approx(-((away[0] ** 2 + away[1] ** 2) ** 0.5))
            assert bool(ends[t, n]) == (abs(away[0]) < 0.01 and abs(away[1]) < 0.01)
    at_goal = environment.step(goals, goals[:, None].clone(), torch.zeros(2, 1, 2), torch.empty(2, 1, 0))
    assert at_goal[2].all()


def test_goals_lie_in_the_square_of_the_paper() -> None:
    goals = NavigationEnvironment().sample(np.arange(20_000, dtype=np.uint64))
    assert np.abs(goals).max() <= 0.5
    assert np.allclose(goals.mean(axis=0), 0.0, atol=0.01)
    assert np.allclose(goals.std(axis=0), 1 / 12**0.5, atol=0.01)


def test_an_arm_pays_as_often_as_its_mean_says() -> None:
    environment = BanditEnvironment(3)
    means = torch.from_numpy(environment.sample(np.arange(2, dtype=np.uint64)))
    noise = ((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000).expand(2, 1000)[..., None]
    for arm in range(3):
        actions = torch.full((2, 1000), arm)
        _, rewards, ends = environment.step(means, environment.start(means, torch.empty(2, 1000, 0)), actions, noise)
        assert torch.allclose(rewards.mean(dim=1), means[:, arm], atol=1e-3)
        assert not ends.any()


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=["navigation", "bandit"])
def test_an_episode_depends_on_its_number_alone(environment: Environment) -> None:
    together, alone = stream(environment).batch([4, 7, 2]), stream(environment).batch([7])
    assert np.array_equal(together.identity[1], alone.identity[0])
    for step in (0, 2):
        assert torch.equal(together.support.noise(step)[1], alone.support.noise(step)[0])
    assert torch.equal(together[1:2].query.noise(0), alone.query.noise(0))
    assert together.support.noise(0).shape == (
        3,
        3,
        environment.horizon,
        environment.n_noise + environment.actions.n_noise,
    )


def test_noise_differs_between_steps_trajectories_purposes_and_streams() -> None:
    environment = NavigationEnvironment()
    shape = Shape(1, 2, 2)
    batch = stream(environment, shape=shape).batch([0, 1])
    other = stream(environment, seed=1, shape=shape).batch([0, 1])
    draws = [batch.support.noise(0), batch.support.noise(1), batch.query.noise(0), other.support.noise(0)]
    rows = torch.cat([noise.flatten(0, 1).flatten(1) for noise in draws])
    assert len(torch.unique(rows, dim=0)) == len(rows)
    assert float(rows.min()) > 0
    assert float(rows.max()) < 1
    assert float(rows.mean()) == pytest.approx(0.5, abs=0.02)


def test_the_digest_names_tasks_and_noise() -> None:
    environment = NavigationEnvironment()
    assert digest(stream(environment), 3) == digest(stream(environment), 3)
    assert digest(stream(environment), 3) != digest(stream(environment, seed=1), 3)
