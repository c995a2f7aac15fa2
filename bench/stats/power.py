"""The number of further episodes or seeds that would separate two algorithms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.stats.estimate import ALPHA, LEAST_SEEDS, quantile
from bench.stats.marginal import Components

POWER = 0.8
MOST_EPISODES, MOST_SEEDS = 1_000_000, 1_000


@dataclass(frozen=True)
class Needed:
    """The number of further episodes, or of further seeds, that is enough with the other kept.

    None where no number is enough (up to a million episodes or a thousand seeds), or where it cannot be estimated.
    """

    episodes: int | None
    seeds: int | None


def detectable(spread: Components, n_seeds: int, n_episodes: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the smallest true difference that such an experiment separates from zero with this power.

    ``sqrt(sum_i t_i^2 v_i) + z_power * sqrt(sum_i v_i)`` with the parts of ``crossed``: what the interval reaches, and
    the room that chance needs (Cohen 1988, Statistical Power Analysis, chapter 2, for one part).
    """
    if n_seeds < LEAST_SEEDS:
        per_episode = spread.episode + (0.0 if np.isnan(spread.residual) else spread.residual / n_seeds)
        parts = [(per_episode / n_episodes, n_episodes - 1)]
    else:
        between = (spread.seed + spread.residual / n_episodes) / n_seeds
        parts = [(between, n_seeds - 1), (spread.episode / n_episodes, n_episodes - 1)]
    reach = np.sqrt(sum(quantile(1 - alpha / 2, degrees) ** 2 * variance for variance, degrees in parts))
    return float(reach + special.ndtri(power) * np.sqrt(sum(variance for variance, _ in parts)))


def needed(spread: Components, effect: float, alpha: float = ALPHA, power: float = POWER) -> Needed:
    """Return how many more episodes, or seeds, separate a true difference of ``effect`` from zero with this power.

    The observed difference in place of the true one makes this a plan for the next experiment, not a property of the
    last (Hoenig and Heisey 2001, Am. Stat. 55). With fewer than three seeds the variance between seeds is not known,
    and neither is the number of seeds.
    """
    size = abs(effect)

    def enough_episodes(count: int) -> bool:
        return detectable(spread, spread.n_seeds, count, alpha, power) <= size

    def enough_seeds(count: int) -> bool:
        return detectable(spread, count, spread.n_episodes, alpha, power) <= size

    episodes = _least(enough_episodes, spread.n_episodes, MOST_EPISODES)
    if spread.n_seeds < LEAST_SEEDS:
        return Needed(episodes, None)
    return Needed(episodes, _least(enough_seeds, spread.n_seeds, MOST_SEEDS))


def _least(enough: Callable[[int], bool], now: int, most: int) -> int | None:
    """Return how many more than ``now`` are enough, by bisection; None where ``most`` are not."""
    if enough(now):
        return 0
    if not enough(most):
        return None
    low, high = now, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - now
