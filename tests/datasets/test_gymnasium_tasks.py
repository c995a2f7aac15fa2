"""Environments of Gymnasium as datasets: what they show and pay is what they do when run one by one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bench.cli import app
from datasets.core.control import ControlStream, EnvironmentDataset
from datasets.core.episodes import SPLITS, Shape, digest
from datasets.core.errors import UserError
from datasets.gymnasium_tasks import SEEDS, gymnasium_dataset
from tests.bench.helpers import entries_removed_again

pytest.importorskip("gymnasium", reason="gymnasium is not installed; run: uv sync --extra control")

from tests.plugins import simulators

SHAPE = Shape(1, 3, 2)


def stream_of(environment: Any, horizon: int = 8) -> tuple[EnvironmentDataset, ControlStream]:
    dataset = gymnasium_dataset("mine", environment, horizon)
    return dataset, dataset.stream("train", SHAPE, 0)


def test_a_trajectory_is_that_of_the_simulator_alone() -> None:
    dataset, stream = stream_of(simulators.Pendulums)
    environment, tasks = dataset.environment, stream.batch([3, 8]).query
    parameters, noise = torch.from_numpy(tasks.parameters), tasks.start_noise(1)
    states = environment.start(parameters, noise)
    alone: dict[tuple[int, int], simulators.Pendulums] = {}
    for t, n in np.ndindex(2, 2):
        alone[t, n] = simulators.Pendulums()
        alone[t, n].set_task(tasks.parameters[t])
        first, _ = alone[t, n].reset(seed=int(float(noise[t, n, 0]) * SEEDS))
        np.testing.assert_allclose(environment.observe(parameters, states)[t, n], first)
    rng = np.random.default_rng(0)
    for _ in range(8):
        actions = torch.from_numpy(rng.normal(size=(2, 2, 1)))
        states, rewards, ends = environment.step(parameters, states, actions, torch.empty(2, 2, 0))
        for t, n in np.ndindex(2, 2):
            torque = np.clip(actions[t, n].numpy(), -1.0, 1.0) * 2.0  # the pendulum's are in [-2, 2]
            seen, reward, *_ = alone[t, n].step(torque.astype(np.float32))
            np.testing.assert_allclose(environment.observe(parameters, states)[t, n], seen)
            assert float(rewards[t, n]) == pytest.approx(float(reward))
        assert not ends.any()
    assert ((tasks.parameters >= 0.5) & (tasks.parameters <= 1.5)).all()


def test_a_game_that_has_ended_pays_nothing_and_stands_still() -> None:
    dataset, stream = stream_of(simulators.Doors)
    environment, tasks = dataset.environment, stream.batch([0]).support
    assert (environment.actions.kind, environment.actions.size, environment.observation_size) == ("discrete", 3, 4)
    parameters = torch.from_numpy(tasks.parameters)
    states = environment.start(parameters, tasks.start_noise(0))
    assert (environment.observe(parameters, states).sum(dim=-1) == 1).all(), "a room of four, one-hot"
    prize = torch.full((1, 3), int(tasks.parameters[0, 0]))
    states, rewards, ends = environment.step(parameters, states, prize, torch.empty(1, 3, 0))
    assert rewards.tolist() == [[1.0] * 3]
    assert ends.all()
    last = environment.observe(parameters, states)
    states, rewards, ends = environment.step(parameters, states, prize, torch.empty(1, 3, 0))
    assert rewards.tolist() == [[0.0] * 3]
    assert ends.all()
    assert torch.equal(environment.observe(parameters, states), last)


def test_first_states_depend_on_the_trajectory_and_the_step_alone() -> None:
    _, stream = stream_of(simulators.Pendulums)
    together, alone = stream.batch([4, 7]), stream.batch([7])
    assert torch.equal(together.support.start_noise(2)[1], alone.support.start_noise(2)[0])
    draws = [tasks.start_noise(step) for tasks in (together.support, together.query) for step in (0, 1)]
    values = torch.cat([draw.flatten() for draw in draws])
    assert len(values.unique()) == len(values)
    steps = together.support.noise(0).flatten()
    assert not torch.isin(together.support.start_noise(0).flatten(), steps).any()


def test_the_digest_names_source_horizon_and_version() -> None:
    known = [
        gymnasium_dataset("mine", environment, horizon, version)
        for environment, horizon, version in (
            (simulators.Pendulums, 8, 1),
            (simulators.Pendulums, 9, 1),
            (simulators.Pendulums, 8, 2),
            (simulators.Doors, 8, 1),
        )
    ]
    assert len({dataset.fingerprint for dataset in known}) == 4
    assert known[0].fingerprint == gymnasium_dataset("mine", simulators.Pendulums, 8).fingerprint
    assert len({digest(known[0].stream(split, SHAPE, seed), 5) for split in SPLITS for seed in (0, 1)}) == 6


class Untold(simulators.PendulumEnv):
    """It has no tasks."""


class Nameless(simulators.Pendulums):
    """Its tasks are words."""

    @staticmethod
    def sample_task(generator: np.random.Generator) -> Any:
        return ["heavy"]


class Texts(simulators.Doors):
    """Its actions are words."""

    action_space: Any = simulators.gymnasium.spaces.Text(3)


class Growing(simulators.Doors):
    """What it shows has no fixed size."""

    observation_space: Any = simulators.gymnasium.spaces.Sequence(simulators.gymnasium.spaces.Discrete(2))


@pytest.mark.parametrize(
    ("environment", "horizon", "words"),
    [
        (Untold, 5, "no `sample_task` and no `set_task`"),
        (Nameless, 5, "no list of numbers"),
        (Texts, 5, "a Box or a Discrete"),
        (Growing, 5, "no fixed size"),
        (simulators.Doors, 0, "at least 1 step"),
    ],
)
def test_an_environment_that_cannot_be_used_is_refused_in_words(environment: Any, horizon: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        gymnasium_dataset("mine", environment, horizon)


def test_without_gymnasium_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium.spaces", None)
    with pytest.raises(UserError, match="uv sync --extra control"):
        gymnasium_dataset("mine", simulators.Doors, 5)


GRID = """
algorithms: [maml-trpo, scratch-policy]
datasets: [{name: NAME, shots: [4]}]
seeds: [0]
train: {episodes: 6, n_query: 4, eval_every: 2}
evaluation: {val_episodes: 2, test_episodes: 3, n_query: 2}
settings: [{set: {meta_batch: 2}}]
"""


@pytest.mark.parametrize("name", ["swings", "doors"])
def test_a_grid_of_them_runs_from_the_command_line_and_again_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text(GRID.replace("NAME", name))
    plugin = ["--import", "tests.plugins.pendulums"]
    with entries_removed_again():
        sys.modules.pop("tests.plugins.pendulums", None)  # its entries were removed again, where it was imported before
        for out, jobs in (("a", "1"), ("b", "2")):
            run = ["run", str(grid), "--out", str(tmp_path / out), "--jobs", jobs, "--no-cost", "--quiet", *plugin]
            done = CliRunner().invoke(app, run)
            assert done.exit_code == 0, done.output
    found = [sorted((tmp_path / out).glob("cells/*/episodes.parquet")) for out in "ab"]
    assert len(found[0]) == 2
    assert [path.read_bytes() for path in found[0]] == [path.read_bytes() for path in found[1]]
    assert "maml-trpo" in next((tmp_path / "a").rglob("leaderboard.md")).read_text()
