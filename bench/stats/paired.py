"""Two algorithms on the same seeds and episodes."""

from __future__ import annotations

import numpy as np

from bench.stats.estimate import CONFIDENCE, LEAST_SEEDS, Estimate, FloatArray, Interval
from bench.stats.marginal import crossed

DRAWS = 2000


def difference(a: FloatArray, b: FloatArray) -> Estimate:
    """The mean of ``a - b`` over shared seeds and episodes, with the crossed variance of the differences.

    What makes an episode hard for both cancels, so that the interval is narrower than those of ``a`` and ``b`` let one
    expect. See ``crossed`` for the formula.

    Args:
        a: [S, E], one row a seed, the same seeds and episodes as ``b``.
        b: [S, E].
    """
    return crossed(_same_shape(a, b))


def _same_shape(a: FloatArray, b: FloatArray) -> FloatArray:
    if a.shape != b.shape:
        raise ValueError(f"both must have the same seeds and episodes, but got shapes {a.shape} and {b.shape}")
    return np.asarray(a - b)


def improvement(gain: FloatArray) -> Estimate:
    """The paired probability of improvement, ``mean(1[d > 0] + 0.5 * 1[d = 0])`` over seeds and episodes.

    How often the first is better on the very same episode; after Agarwal et al. 2021 (arXiv 2108.13264), who compare
    independent runs where this compares pairs.

    Args:
        gain: [S, E] differences, positive where the first algorithm is the better one.
    """
    return crossed((gain > 0) + 0.5 * (gain == 0))


def resampled(n: int, n_draws: int, rng: np.random.Generator, *, least: int = 2) -> FloatArray:
    """[n_draws, n] weights, each row summing to 1, of drawing n - 1 of n with replacement.

    One fewer than there are makes the variance of the drawn means that of the mean itself (Rao and Wu 1988, J. Am.
    Stat. Assoc. 83; Hesterberg 2015, Am. Stat. 69), where n of n fall short by (n - 1) / n. Fewer than ``least`` are
    fixed: every row is 1 / n.
    """
    if n < least:
        return np.full((n_draws, n), 1.0 / n)
    return np.asarray(rng.multinomial(n - 1, np.full(n, 1.0 / n), size=n_draws) / (n - 1))


def two_way_draws(values: FloatArray, rng: np.random.Generator, n_draws: int = DRAWS) -> FloatArray:
    """[n_draws] means of ``values`` [S, E], seeds and episodes resampled independently of each other.

    Owen 2007 (Ann. Appl. Stat. 1), "the pigeonhole bootstrap": its variance is never too small, and too large by at
    most twice ``s_res^2 / (S E)``. Fewer than three seeds are fixed.
    """
    n_seeds, n_episodes = values.shape
    by_seed = resampled(n_seeds, n_draws, rng, least=LEAST_SEEDS)
    by_episode = resampled(n_episodes, n_draws, rng)
    return np.asarray(((by_episode @ values.T) * by_seed).sum(axis=1))


def bootstrap_interval(values: FloatArray, rng: np.random.Generator, n_draws: int = DRAWS) -> Interval:
    """The mean with the 95% percentile interval of ``two_way_draws``.

    A percentile interval knows no Student's t: where seeds vary most, it needs about ten of them. With fewer, use
    ``crossed``.
    """
    draws = two_way_draws(values, rng, n_draws)
    low, high = np.quantile(draws, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Interval(float(values.mean()), float(low), float(high))
