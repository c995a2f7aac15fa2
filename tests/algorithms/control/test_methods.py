"""The methods of control: gradients through adaptation against brute force, and what each does with its tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.control.algorithm import ControlHyperParameters
from algorithms.control.surrogates import ratio_surrogates
from algorithms.control.trpo import flat, moved
from algorithms.maml_trpo import FOMAMLTRPO, MAMLTRPO, MAMLTRPOHyperParameters, PolicyThroughAdaptation
from algorithms.meta_sgd_trpo import MetaSGDTRPO, MetaSGDTRPOHyperParameters
from algorithms.pretrained import (
    OracleHyperParameters,
    OraclePolicy,
    PretrainedHyperParameters,
    PretrainedPolicy,
    ScratchPolicy,
)
from algorithms.reptile_pg import ReptilePG, ReptilePGHyperParameters
from datasets.bandit import BanditEnvironment
from datasets.navigation import NavigationEnvironment
from tests.algorithms.control.helpers import Target, first_state, make, stream

SHORT, BANDIT = NavigationEnvironment(horizon=4), BanditEnvironment(3, 4)
METHODS: dict[str, tuple[Any, Any]] = {
    "maml": (MAMLTRPO, MAMLTRPOHyperParameters),
    "fomaml": (FOMAMLTRPO, MAMLTRPOHyperParameters),
    "meta-sgd": (MetaSGDTRPO, MetaSGDTRPOHyperParameters),
    "reptile": (ReptilePG, ReptilePGHyperParameters),
    "pretrained": (PretrainedPolicy, PretrainedHyperParameters),
    "oracle": (OraclePolicy, OracleHyperParameters),
    "scratch": (ScratchPolicy, ControlHyperParameters),
}


@pytest.mark.parametrize("name", ["maml", "meta-sgd"])
@pytest.mark.parametrize("estimator", ["likelihood", "dice"])
@pytest.mark.parametrize("environment", [SHORT, BANDIT], ids=["navigation", "bandit"])
def test_the_gradient_through_two_steps_is_that_of_brute_force(name: str, estimator: str, environment: Any) -> None:
    """On fixed trajectories, which are the common random numbers, the objective is a function of theta alone."""
    algorithm = make(*METHODS[name], environment, train_steps=2, inner_lr=0.2, estimator=estimator)
    assert isinstance(algorithm, PolicyThroughAdaptation)
    meta, batch = algorithm.learned_part(first_state(algorithm)), stream(environment).batch([0, 1])
    weights: Any = algorithm.initial(meta, 2)
    support = []
    for step in range(2):
        support.append(algorithm.act(weights, batch.support, step))
        weights = algorithm.inner_step(meta, weights, support[-1])
    query = algorithm.act(weights, batch.query, 0)

    def objective(values: Any, differentiable: bool) -> Tensor:
        return ratio_surrogates(algorithm.net, algorithm.adapted(values, support, 2, differentiable), query)[0].sum()

    leaves = {part: value.detach().requires_grad_() for part, value in meta.items()}
    gradient = flat(torch.autograd.grad(objective(leaves, True), list(leaves.values())))
    generator = torch.Generator().manual_seed(1)
    for direction in torch.randn(3, len(gradient), generator=generator, dtype=torch.float64):
        up, down = (float(objective(moved(meta, sign * 1e-6 * direction), False)) for sign in (1, -1))
        assert float(gradient @ direction) == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-7)


def test_first_order_takes_the_inner_gradient_for_a_constant() -> None:
    algorithm = make(*METHODS["fomaml"], SHORT, inner_lr=0.5)
    assert isinstance(algorithm, FOMAMLTRPO)
    meta, batch = algorithm.learned_part(first_state(algorithm)), stream(SHORT).batch([0, 1])
    support = algorithm.act(algorithm.initial(meta, 2), batch.support, 0)
    query = algorithm.act(algorithm.inner_step(meta, algorithm.initial(meta, 2), support), batch.query, 0)
    leaves = {name: value.detach().requires_grad_() for name, value in meta.items()}
    adapted = algorithm.adapted(leaves, [support], 2, differentiable=True)
    found = torch.autograd.grad(ratio_surrogates(algorithm.net, adapted, query)[0].sum(), list(leaves.values()))
    at_adapted = {name: value.detach().requires_grad_() for name, value in adapted.items()}
    slopes = torch.autograd.grad(ratio_surrogates(algorithm.net, at_adapted, query)[0].sum(), list(at_adapted.values()))
    for one, tasks in zip(found, slopes, strict=True):
        assert torch.allclose(one, tasks.sum(dim=0))


@pytest.mark.parametrize("name", ["maml", "fomaml", "meta-sgd", "pretrained", "oracle"])
@pytest.mark.parametrize("environment", [SHORT, BANDIT], ids=["navigation", "bandit"])
@pytest.mark.parametrize("fisher", [None, 2])
def test_an_outer_step_stays_within_the_region(name: str, environment: Any, fisher: int | None) -> None:
    algorithm = make(*METHODS[name], environment, fisher_trajectories=fisher, kl_bound=0.02)
    state, episodes, moves = first_state(algorithm), stream(environment, 4, 4), 0
    for step in range(4):
        after, metrics = algorithm.outer_step(state, episodes.batch(range(3 * step, 3 * step + 3)))
        assert 0 <= metrics["kl"] <= 0.02
        moves += any(not torch.equal(after[part], state[part]) for part in state)
        state = after
    assert moves >= 1  # a first-order direction may find no better length


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("environment", [SHORT, BANDIT], ids=["navigation", "bandit"])
def test_tasks_are_independent_and_the_state_is_kept(name: str, environment: Any) -> None:
    """In single precision and to the last bit: an episode's result does not depend on what it is adapted with."""
    algorithm = make(*METHODS[name], environment, hidden=(20, 20))
    state = first_state(algorithm, torch.float32)
    before = {part: value.clone() for part, value in state.items()}
    episodes = stream(environment, 5, 5, "test")
    together = list(algorithm.returns(state, episodes.batch(range(5)), algorithm.test_steps))
    assert [step for step, _ in together] == list(range(algorithm.test_steps + 1))
    pairs = [list(algorithm.returns(state, episodes.batch(rows), algorithm.test_steps)) for rows in ([0, 1, 2], [3, 4])]
    alone = [list(algorithm.returns(state, episodes.batch([i]), algorithm.test_steps)) for i in range(5)]
    for position, (_, values) in enumerate(together):
        assert torch.equal(torch.cat([pair[position][1] for pair in pairs]), values)
        assert torch.equal(torch.cat([one[position][1] for one in alone]), values)
    assert all(torch.equal(state[part], before[part]) for part in state)
    ((_, last),) = algorithm.returns(state, episodes.batch(range(5)), algorithm.test_steps, last_only=True)
    assert torch.equal(last, together[-1][1])


def test_the_return_is_the_undiscounted_mean_over_query_trajectories() -> None:
    algorithm = make(*METHODS["scratch"], BANDIT)
    state, episodes = first_state(algorithm), stream(BANDIT, 3, 50).batch([0, 1])
    (_, first), *_ = algorithm.returns(state, episodes, 1)
    policy = algorithm.net(algorithm.initial(state, 2), torch.ones(2, 1, 1, dtype=torch.float64)).softmax(-1)[:, 0]
    expected = BANDIT.horizon * (policy * torch.from_numpy(episodes.query.parameters)).sum(dim=-1)
    assert torch.allclose(first, expected, atol=4 * (BANDIT.horizon * 0.25 / 50) ** 0.5)


def test_maml_learns_to_adapt_and_the_pretrained_policy_does_not() -> None:
    """One step with a target U[-1, 1]: whoever cannot see it does best at 0, with -1/3 and the deviation's loss."""
    environment, episodes = Target(), stream(Target(), 30, 30, "test").batch(range(30))
    results = {}
    for name in ("maml", "pretrained", "oracle"):
        settings = {} if name == "oracle" else {"inner_lr": 0.3, "test_steps": 1}
        algorithm = make(*METHODS[name], environment, hidden=(8,), kl_bound=0.05, **settings)
        state, train = first_state(algorithm), stream(environment, 30, 30)
        for step in range(25):
            state, _ = algorithm.outer_step(state, train.batch(np.arange(8 * step, 8 * step + 8)))
        results[name] = [float(values.mean()) for _, values in algorithm.returns(state, episodes, algorithm.test_steps)]
    assert results["maml"][1] > results["maml"][0] + 0.1
    assert results["maml"][1] > results["pretrained"][0] + 0.05
    assert results["oracle"][0] > results["maml"][1]


def test_reptile_moves_by_the_mean_difference_and_anneals() -> None:
    algorithm = make(*METHODS["reptile"], SHORT, n_outer=4, outer_step_size=0.8)
    state, batch = first_state(algorithm), stream(SHORT).batch([0, 1, 2])
    state = {**state, "progress/outer": torch.tensor(2.0)}
    weights: Any = algorithm.initial(state, 3)
    for step in range(2):
        weights = algorithm.inner_step(state, weights, algorithm.act(weights, batch.support, step))
    after, metrics = algorithm.outer_step(state, batch)
    for name, value in weights.items():
        start = state[f"weights/{name}"]
        assert torch.allclose(after[f"weights/{name}"], start + 0.4 * (value.mean(dim=0) - start))
    assert float(after["progress/outer"]) == 3.0
    assert np.isfinite(metrics["loss"])


def test_meta_sgd_learns_its_rates() -> None:
    algorithm = make(*METHODS["meta-sgd"], SHORT)
    state = first_state(algorithm)
    rates = flat({name: value for name, value in state.items() if name.startswith("rates/")})
    assert 0.005 <= float(rates.min()) < float(rates.max()) <= 0.1
    after, _ = algorithm.outer_step(state, stream(SHORT, 5, 5).batch(range(4)))
    assert not torch.equal(after["rates/head.weight"], state["rates/head.weight"])
    assert not torch.equal(after["weights/head.weight"], state["weights/head.weight"])


def test_the_oracle_sees_the_goal_and_is_not_adapted() -> None:
    algorithm = make(*METHODS["oracle"], SHORT)
    state, episodes = first_state(algorithm), stream(SHORT).batch([0, 1])
    seen = algorithm.act(algorithm.initial(state, 2), episodes.support, 0)
    goals = torch.from_numpy(episodes.support.parameters)
    assert torch.equal(seen.observations[..., 2:], goals[:, None].expand(2, seen.observations.shape[1], 2))
    assert algorithm.test_steps == 0


def test_scratch_learns_nothing() -> None:
    algorithm = make(*METHODS["scratch"], SHORT)
    state = first_state(algorithm)
    after, metrics = algorithm.outer_step(state, stream(SHORT).batch([0, 1]))
    assert after is state
    assert metrics["loss"] > 0
