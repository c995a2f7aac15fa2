"""Trajectories of T tasks' policies, and what a policy gradient needs of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.control.advantages import discounted_sums, fitted_values, generalised_advantages, normalized
from algorithms.engines.task_network import TaskNetwork
from algorithms.networks.network import Weights
from algorithms.networks.policy import Distribution, Policy
from datasets.core.control import Tasks


@dataclass(frozen=True)
class Trajectories:
    """N trajectories of each of T tasks, of H steps at most.

    Attributes:
        observations: [T, N, H, O] before each step.
        actions: [T, N, H, A], or [T, N, H] int64 for discrete ones.
        rewards: [T, N, H]; 0 after the end.
        valid: [T, N, H] 1 for the steps before the end and the last one, 0 after it.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    valid: Tensor

    @property
    def returns(self) -> Tensor:
        """[T] the mean undiscounted return over each task's trajectories."""
        return self.rewards.double().sum(dim=2).mean(dim=1)


def distribution(net: TaskNetwork, weights: Weights, observations: Tensor) -> Distribution:
    """Return the distributions of actions of T tasks' policies.

    Args:
        net: a policy, lifted to tasks.
        weights: [T, ...].
        observations: [T, B, O].
    """
    policy = net.network
    assert isinstance(policy, Policy)
    return policy.distribution(weights, net(weights, observations))


def roll_out(net: TaskNetwork, weights: Weights, tasks: Tasks, step: int, told: bool = False) -> Trajectories:
    """Return the trajectories of T tasks' policies.

    Args:
        net: a policy, lifted to tasks.
        weights: [T, ...] of the policies.
        tasks: the tasks, with the noise that they meet.
        step: how many inner steps the policies have taken: it selects the noise.
        told: whether the policy sees the parameters of its task behind its observation.
    """
    environment, weights = tasks.environment, {name: value.detach() for name, value in weights.items()}
    like = next(iter(weights.values()))
    noise, split = tasks.noise(step), environment.actions.n_noise
    parameters = torch.from_numpy(tasks.parameters).to(like)
    states = environment.start(parameters, tasks.start_noise(step))
    running = parameters.new_ones(noise.shape[:2])
    seen, chosen, paid, valid = [], [], [], []
    hints = parameters[:, None].expand(-1, tasks.n_trajectories, -1)
    with torch.no_grad():
        for t in range(environment.horizon):
            observed = environment.observe(parameters, states)
            observed = torch.cat([observed, hints], dim=-1) if told else observed
            actions = distribution(net, weights, observed).sample(noise[:, :, t, :split])
            states, rewards, ends = environment.step(parameters, states, actions, noise[:, :, t, split:])
            seen.append(observed)
            chosen.append(actions)
            paid.append(rewards * running)
            valid.append(running)
            running = running * ~ends
    observations, actions, rewards, mask = (torch.stack(part, dim=2) for part in (seen, chosen, paid, valid))
    return Trajectories(observations, actions, rewards, mask)


@dataclass(frozen=True)
class Experience:
    """Trajectories with their advantages, B = N * H steps of each of T tasks in a row, trajectory by trajectory.

    Attributes:
        observations: [T, B, O].
        actions: [T, B, A], or [T, B] int64.
        advantages: [T, B], 0 after the end of a trajectory.
        valid: [T, B].
        horizon: steps of one trajectory, H.
        returns: [T] the mean undiscounted return.
        policy: the distributions that acted.
    """

    observations: Tensor
    actions: Tensor
    advantages: Tensor
    valid: Tensor
    horizon: int
    returns: Tensor
    policy: Distribution

    def first(self, n_trajectories: int) -> Experience:
        """Return the part of the first trajectories of each task; ``returns`` stay the means over all of them."""
        size = n_trajectories * self.horizon
        return Experience(
            self.observations[:, :size],
            self.actions[:, :size],
            self.advantages[:, :size],
            self.valid[:, :size],
            self.horizon,
            self.returns,
            self.policy.trajectories(n_trajectories, self.horizon),
        )

    def __len__(self) -> int:
        return len(self.observations)

    def __getitem__(self, tasks: slice) -> Experience:
        return Experience(
            self.observations[tasks],
            self.actions[tasks],
            self.advantages[tasks],
            self.valid[tasks],
            self.horizon,
            self.returns[tasks],
            self.policy[tasks],
        )

    def mean(self, values: Tensor) -> Tensor:
        """Return [T] the mean of ``values`` [T, B] over the valid steps."""
        return (values * self.valid).sum(dim=1) / self.valid.sum(dim=1)


def joined(first: Experience, second: Experience) -> Experience:
    """Return the trajectories of both, which the same policies made on the same tasks."""
    parts = (first, second)
    sizes = [len(part.valid[0]) // part.horizon for part in parts]
    returns = sum(size * part.returns for size, part in zip(sizes, parts, strict=True)) / sum(sizes)
    return Experience(
        torch.cat([part.observations for part in parts], dim=1),
        torch.cat([part.actions for part in parts], dim=1),
        torch.cat([part.advantages for part in parts], dim=1),
        torch.cat([part.valid for part in parts], dim=1),
        first.horizon,
        torch.as_tensor(returns),
        first.policy.joined(second.policy),
    )


def experience(
    net: TaskNetwork,
    weights: Weights,
    tasks: Tasks,
    step: int,
    discount: float,
    smoothing: float,
    told: bool = False,
) -> Experience:
    """Act and estimate advantages: the baseline is fitted to each task's trajectories anew (Finn et al. 2017, A.2).

    Args:
        net: a policy, lifted to tasks.
        weights: [T, ...] of the policies.
        tasks: the tasks.
        step: how many inner steps the policies have taken.
        discount: gamma.
        smoothing: lambda of generalized advantages.
        told: whether the policy sees the parameters of its task.
    """
    seen = roll_out(net, weights, tasks, step, told)
    with torch.no_grad():
        values = fitted_values(seen.observations, discounted_sums(seen.rewards, discount), seen.valid)
        advantages = generalised_advantages(seen.rewards, values, seen.valid, discount, smoothing)
        advantages = normalized(advantages, seen.valid)
        observations = seen.observations.flatten(1, 2)
        policy = distribution(net, weights, observations).detach()
    return Experience(
        observations,
        seen.actions.flatten(1, 2),
        advantages.flatten(1),
        seen.valid.flatten(1),
        seen.valid.shape[2],
        seen.returns,
        policy,
    )
