"""Returns, the linear feature baseline, and generalized advantages, for T tasks of N trajectories of H steps at most.

Steps after the end of a trajectory are marked by ``valid`` = 0; they have reward, value and advantage zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-5  # added to the diagonal of the baseline's normal equations, as rllab does
CLIP = 10.0  # bound of the observations in the baseline's features, as rllab has it


def discounted_sums(values: Tensor, discount: float) -> Tensor:
    """Return [..., H] the discounted sums to the end: at step t, sum_{k >= t} discount^(k - t) values_k.

    >>> discounted_sums(torch.tensor([1.0, 2.0, 4.0]), 0.5)
    tensor([3., 4., 4.])
    """
    later, sums = torch.zeros_like(values[..., 0]), []
    for value in reversed(values.unbind(dim=-1)):  # no matrix product, whose bits depend on the number of rows
        later = value + discount * later
        sums.append(later)
    return torch.stack(sums[::-1], dim=-1)


def baseline_features(observations: Tensor, valid: Tensor) -> Tensor:
    """Return [T, N * H, 2 * O + 4] features: o, o squared, t, t squared, t cubed and 1, with t in hundreds of steps.

    Duan et al. 2016, appendix.

    Args:
        observations: [T, N, H, O].
        valid: [T, N, H].
    """
    clipped = observations.clamp(-CLIP, CLIP)
    time = torch.arange(valid.shape[-1], device=valid.device, dtype=observations.dtype).expand(valid.shape)[..., None]
    time = time / 100.0
    features = torch.cat([clipped, clipped**2, time, time**2, time**3, torch.ones_like(time)], dim=-1)
    return (features * valid[..., None]).flatten(1, 2)


def fitted_values(observations: Tensor, returns: Tensor, valid: Tensor) -> Tensor:
    """Return [T, N, H] the values that ridge regression of the returns on the features gives, a fit for each task.

    Args:
        observations: [T, N, H, O].
        returns: [T, N, H] discounted.
        valid: [T, N, H].
    """
    features = baseline_features(observations.double(), valid.double())
    targets = (returns * valid).double().flatten(1)[..., None]
    ridge = RIDGE * torch.eye(features.shape[-1], dtype=torch.float64, device=features.device)
    coefficients: Tensor = torch.linalg.solve(features.mT @ features + ridge, features.mT @ targets)
    return (features @ coefficients)[..., 0].reshape(valid.shape).to(returns)


def generalised_advantages(rewards: Tensor, values: Tensor, valid: Tensor, discount: float, smoothing: float) -> Tensor:
    """Return [T, N, H] advantages (Schulman et al. 2016, arXiv 1506.02438, equation 16); values after the end are zero.

    Args:
        rewards: [T, N, H].
        values: [T, N, H] of the baseline.
        valid: [T, N, H].
        discount: gamma.
        smoothing: lambda; 1 for the return minus the baseline.
    """
    values = values * valid
    later = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)
    residuals = (rewards + discount * later - values) * valid
    return discounted_sums(residuals, discount * smoothing) * valid


def normalized(advantages: Tensor, valid: Tensor) -> Tensor:
    """Return each task's advantages with mean 0 and deviation 1 over its valid steps; the other steps stay 0.

    Args:
        advantages: [T, N, H].
        valid: [T, N, H].
    """
    count = valid.sum(dim=(1, 2), keepdim=True)
    centred = (advantages - (advantages * valid).sum(dim=(1, 2), keepdim=True) / count) * valid
    deviation = (centred.square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
    return centred / (deviation + 1e-8)
