"""The objectives of policy-gradient methods, a value for each of T tasks; all of them are to be maximized."""

from __future__ import annotations

from torch import Tensor

from algorithms.control.rollouts import Experience, distribution
from algorithms.engines.task_network import TaskNetwork
from algorithms.networks.network import Weights
from algorithms.networks.policy import divergence


def likelihood_surrogates(net: TaskNetwork, weights: Weights, seen: Experience) -> Tensor:
    """Return [T] the mean over steps of log-likelihood times advantage, whose gradient is the policy gradient.

    The surrogate of Finn et al. 2017 and their code. Its second derivative, through which second-order MAML
    differentiates, is not an unbiased estimate of that of the return (Foerster et al. 2018, arXiv 1802.05098).

    Args:
        net: a policy, lifted to tasks.
        weights: [T, ...].
        seen: what the policies at these weights did.
    """
    return seen.mean(distribution(net, weights, seen.observations).log_prob(seen.actions) * seen.advantages)


def dice_surrogates(net: TaskNetwork, weights: Weights, seen: Experience) -> Tensor:
    """Return [T] the mean over steps of the product of the likelihood ratios so far, times the advantage.

    DiCE (Foerster et al. 2018, arXiv 1802.05098, equation 5) with advantages in the place of rewards, in the form of
    loaded DiCE (Farquhar et al. 2019, arXiv 1909.10549, equation 9): a step's advantage is weighted by the product up
    to it minus the product before it. Ratios are to the policy that acted, so that the objective of an outer step is
    one function of its parameters, at other ones too. At the policy that acted the gradient is that of
    ``likelihood_surrogates``; the second derivative has the terms that the latter lacks.

    Args:
        net: a policy, lifted to tasks.
        weights: [T, ...].
        seen: what the policies at these weights did.
    """
    logs = distribution(net, weights, seen.observations).log_prob(seen.actions)
    ratios = ((logs - seen.policy.log_prob(seen.actions)) * seen.valid).reshape(len(logs), -1, seen.horizon)
    up_to = ratios.cumsum(dim=2)
    before = up_to - ratios
    products = up_to.exp() - before.exp()
    return seen.mean(products.flatten(1) * seen.advantages)


def ratio_surrogates(net: TaskNetwork, weights: Weights, seen: Experience) -> tuple[Tensor, Tensor]:
    """Return [T] the mean likelihood ratio times advantage, and [T] the mean KL divergence from the policy that acted.

    Schulman et al. 2015, arXiv 1502.05477, equation 14.

    Args:
        net: a policy, lifted to tasks.
        weights: [T, ...].
        seen: what a policy did, perhaps at other weights.
    """
    now = distribution(net, weights, seen.observations)
    ratios = (now.log_prob(seen.actions) - seen.policy.log_prob(seen.actions)).exp()
    return seen.mean(ratios * seen.advantages), seen.mean(divergence(seen.policy, now))


def self_divergences(net: TaskNetwork, weights: Weights, seen: Experience) -> Tensor:
    """Return [T] the mean KL divergence from the policies at the very same weights: zero, and so is its gradient.

    Its Hessian with respect to what the weights depend on is the mean Fisher matrix.

    Args:
        net: a policy, lifted to tasks.
        weights: [T, ...].
        seen: what a policy observed.
    """
    now = distribution(net, weights, seen.observations)
    return seen.mean(divergence(now.detach(), now))
