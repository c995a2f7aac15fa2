"""Policies against PyTorch's distributions; Fisher matrices and policy gradients against differences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.control.rollouts import Experience, distribution
from algorithms.control.surrogates import dice_surrogates, likelihood_surrogates, self_divergences
from algorithms.control.trpo import flat, hessian_product, moved
from algorithms.core.meta_state import group
from algorithms.maml_trpo import MAMLTRPO, MAMLTRPOHyperParameters
from algorithms.networks.policy import Categorical, CategoricalPolicy, Gaussian, GaussianPolicy
from datasets.bandit import BanditEnvironment
from datasets.core.control import Environment
from datasets.navigation import NavigationEnvironment
from tests.algorithms.control.helpers import Target, first_state, make, stream

RNG = torch.Generator().manual_seed(0)
MEANS, OTHER_MEANS = torch.randn(2, 3, 4, 2, generator=RNG, dtype=torch.float64)
SHORT = NavigationEnvironment(horizon=4)


def gaussians() -> tuple[Gaussian, Gaussian]:
    log_stds = torch.tensor([[[0.1, -0.3]], [[0.0, 0.2]], [[0.4, 0.0]]], dtype=torch.float64)
    return Gaussian(MEANS, log_stds), Gaussian(OTHER_MEANS, log_stds - 0.2)


def test_a_gaussian_has_the_density_and_divergence_of_pytorchs() -> None:
    old, new = gaussians()
    theirs = [torch.distributions.Normal(each.mean, each.log_std.exp()) for each in (old, new)]
    actions = torch.randn(3, 4, 2, generator=RNG, dtype=torch.float64)
    assert torch.allclose(old.log_prob(actions), theirs[0].log_prob(actions).sum(-1))
    assert torch.allclose(old.kl(new), torch.distributions.kl_divergence(*theirs).sum(-1))


def test_a_choice_has_the_probabilities_and_divergence_of_pytorchs() -> None:
    old, new = (Categorical(values.log_softmax(-1)) for values in (MEANS, OTHER_MEANS))
    theirs = [torch.distributions.Categorical(logits=each.logits) for each in (old, new)]
    actions = torch.randint(2, (3, 4), generator=RNG)
    assert torch.allclose(old.log_prob(actions), theirs[0].log_prob(actions))
    assert torch.allclose(old.kl(new), torch.distributions.kl_divergence(*theirs))


def test_samples_have_the_distribution() -> None:
    uniform = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    normal = Gaussian(torch.full((1, 1, 1), 2.0, dtype=torch.float64), torch.full((1, 1, 1), -1.0, dtype=torch.float64))
    drawn = normal.sample(uniform[None, :, None])
    assert drawn.mean() == pytest.approx(2.0, abs=1e-6)
    assert drawn.std() == pytest.approx(np.exp(-1.0), rel=1e-3)
    chosen = Categorical(torch.tensor([[[0.2, 0.5, 0.3]]], dtype=torch.float64).log()).sample(uniform[None, :, None])
    assert torch.bincount(chosen.flatten()).tolist() == [2000, 5000, 3000]


def test_a_policy_starts_with_a_deviation_of_one_and_glorots_weights() -> None:
    weights = GaussianPolicy(2, 3).init(torch.Generator().manual_seed(0))
    assert weights["log_std"].tolist() == [0.0, 0.0, 0.0]
    assert weights["layer2.weight"].shape == (100, 100)
    assert float(weights["layer2.weight"].abs().max()) == pytest.approx((6 / 200) ** 0.5, rel=0.01)
    assert "log_std" not in CategoricalPolicy(2, 3).init(torch.Generator())


def seen_by(environment: Environment, n_shot: int = 3) -> tuple[MAMLTRPO, dict[str, Tensor], Experience]:
    algorithm = make(MAMLTRPO, MAMLTRPOHyperParameters, environment)
    assert isinstance(algorithm, MAMLTRPO)
    weights = group(first_state(algorithm), "weights")
    tasks = stream(environment, n_shot).batch([0, 1]).support
    return algorithm, weights, algorithm.act(algorithm.net.stack(weights, 2), tasks, 0)


@pytest.mark.parametrize("environment", [SHORT, BanditEnvironment(3, 4)], ids=["gaussian", "categorical"])
@pytest.mark.parametrize("surrogates", [likelihood_surrogates, dice_surrogates])
def test_the_policy_gradient_is_that_of_finite_differences_of_log_likelihoods(environment, surrogates) -> None:  # type: ignore[no-untyped-def]
    algorithm, weights, seen = seen_by(environment)
    leaves = {name: value.requires_grad_() for name, value in weights.items()}
    value = surrogates(algorithm.net, algorithm.net.stack(leaves, 2), seen).sum()
    gradient = flat(torch.autograd.grad(value, list(leaves.values())))

    def weighted_log_likelihood(at: Mapping[str, Tensor]) -> float:
        logs = distribution(algorithm.net, algorithm.net.stack(at, 2), seen.observations).log_prob(seen.actions)
        return float(seen.mean(logs * seen.advantages).sum())

    for direction in torch.randn(3, len(gradient), generator=RNG, dtype=torch.float64):
        up, down = (weighted_log_likelihood(moved(weights, sign * 1e-6 * direction)) for sign in (1, -1))
        assert float(gradient @ direction) == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("environment", [SHORT, BanditEnvironment(3, 4)], ids=["gaussian", "categorical"])
def test_fisher_products_are_second_differences_of_the_divergence(environment: Environment) -> None:
    algorithm, weights, seen = seen_by(environment)
    product = hessian_product(
        lambda at: self_divergences(algorithm.net, algorithm.net.stack(at, 2), seen).sum(), weights
    )

    def divergence(change: Tensor) -> float:
        stacked = algorithm.net.stack(moved(weights, change), 2)
        return float(seen.mean(seen.policy.kl(distribution(algorithm.net, stacked, seen.observations))).sum())

    n = sum(value.numel() for value in weights.values())
    for direction in torch.randn(3, n, generator=RNG, dtype=torch.float64):
        direction /= direction.norm()
        second = (divergence(1e-4 * direction) + divergence(-1e-4 * direction)) / 1e-8
        assert float(direction @ product(direction)) == pytest.approx(second, rel=1e-4)


def test_the_policy_gradient_of_a_linear_gaussian_problem_is_its_closed_form() -> None:
    """The slope of the expected reward -(m - target)^2 - s^2 in m is -2 (m - target), in log s it is -2 s^2."""
    environment, n = Target(), 4000
    algorithm = make(MAMLTRPO, MAMLTRPOHyperParameters, environment, hidden=())
    mean, log_std = 0.3, -0.5
    zero = torch.zeros(1, 1, dtype=torch.float64)
    weights = {"head.weight": zero, "head.bias": zero[0] + mean, "log_std": zero[0] + log_std}
    tasks = stream(environment, n).batch([0, 1, 2]).support
    leaves = {name: value.expand(3, *value.shape).clone().requires_grad_() for name, value in weights.items()}
    seen = algorithm.act(leaves, tasks, 0)
    target = torch.from_numpy(tasks.parameters)
    rewards = -(seen.actions[..., 0] - target).square()
    raw = Experience(
        seen.observations, seen.actions, rewards, seen.valid, seen.horizon, seen.returns, seen.policy
    )  # without baseline and normalization, which change the scale
    value = likelihood_surrogates(algorithm.net, leaves, raw).sum()
    by_mean, by_log_std = torch.autograd.grad(value, [leaves["head.bias"], leaves["log_std"]])
    variance = np.exp(2 * log_std)
    assert torch.allclose(by_mean, -2 * (mean - target), atol=5 * 2.0 / n**0.5)
    assert torch.allclose(by_log_std, torch.full_like(by_log_std, -2 * variance), atol=5 * 3.0 / n**0.5)
    assert torch.allclose(seen.returns, -((mean - target[:, 0]) ** 2) - variance, atol=5 * 1.5 / n**0.5)


def test_dice_has_the_second_derivative_that_the_likelihood_surrogate_lacks() -> None:
    """For one step it is E[(grad log p)^2 r + (grad^2 log p) r]; the likelihood surrogate has the second term alone."""
    environment, n = Target(), 4000
    algorithm = make(MAMLTRPO, MAMLTRPOHyperParameters, environment, hidden=())
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    leaves = {"head.weight": zero, "head.bias": zero[0].clone().requires_grad_(), "log_std": zero[0]}
    tasks = stream(environment, n).batch([0]).support
    seen = algorithm.act(leaves, tasks, 0)
    target = torch.from_numpy(tasks.parameters)
    rewards = -(seen.actions[..., 0] - target).square()
    raw = Experience(seen.observations, seen.actions, rewards, seen.valid, seen.horizon, seen.returns, seen.policy)
    second = {}
    for surrogates in (likelihood_surrogates, dice_surrogates):
        value = surrogates(algorithm.net, leaves, raw).sum()
        (slope,) = torch.autograd.grad(value, [leaves["head.bias"]], create_graph=True)
        second[surrogates] = float(torch.autograd.grad(slope.sum(), [leaves["head.bias"]])[0])
    assert second[dice_surrogates] == pytest.approx(-2.0, abs=5 * 8 / n**0.5)  # of -(m - target)^2 - 1
    assert second[likelihood_surrogates] == pytest.approx(float(-rewards.mean()), rel=1e-6)
