"""Ranks of algorithms that were tested on the same episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bench.stats.estimate import ALPHA, LEAST_SEEDS, FloatArray
from bench.stats.paired import difference
from bench.stats.tests import holm

DRAWS = 2000


def _resampled(n: int, n_draws: int, rng: np.random.Generator, *, least: int = 2) -> FloatArray:
    """Return [n_draws, n] weights, each row summing to 1, of drawing n - 1 of n with replacement.

    One fewer than there are makes the variance of the drawn means that of the mean itself (Rao and Wu 1988, J. Am.
    Stat. Assoc. 83; Hesterberg 2015, Am. Stat. 69), where n of n fall short by (n - 1) / n. Fewer than ``least`` are
    fixed: every row is 1 / n.
    """
    if n < least:
        return np.full((n_draws, n), 1.0 / n)
    return np.asarray(rng.multinomial(n - 1, np.full(n, 1.0 / n), size=n_draws) / (n - 1))


def joint_draws(scores: Sequence[pd.DataFrame], rng: np.random.Generator, n_draws: int = DRAWS) -> FloatArray:
    """Draw [n_draws, K] means of K algorithms, seeds and episodes resampled independently of each other.

    Owen 2007 (Ann. Appl. Stat. 1), "the pigeonhole bootstrap": its variance is never too small, and too large by at
    most twice ``s_res^2 / (S E)``. Fewer than three seeds are fixed. All algorithms share the resampled seeds and
    episodes.

    Args:
        scores: K tables of seeds by episodes, with the same episodes; a seed that an algorithm lacks is left out of its
            mean alone, and a draw that holds none of its seeds gives the mean over all it has.
        rng: of the resampling.
        n_draws: how many draws.
    """
    seeds = sorted({seed for table in scores for seed in table.index})
    by_seed = _resampled(len(seeds), n_draws, rng, least=LEAST_SEEDS)
    by_episode = _resampled(scores[0].shape[1], n_draws, rng)
    draws = np.empty((n_draws, len(scores)))
    for place, table in enumerate(scores):
        weights = by_seed[:, [seeds.index(seed) for seed in table.index]]
        total = weights.sum(axis=1, keepdims=True)
        weights = np.where(total > 0, weights, 1.0)
        weights = weights / weights.sum(axis=1, keepdims=True)
        draws[:, place] = ((by_episode @ table.to_numpy(dtype=float).T) * weights).sum(axis=1)
    return draws


def pair_p_values(scores: Sequence[pd.DataFrame]) -> FloatArray:
    """Return [K, K] p-values of all pairs' differences over shared seeds and episodes, Holm-adjusted over the pairs.

    NaN on the diagonal and where two algorithms share no seed.
    """
    count = len(scores)
    first, second = np.triu_indices(count, k=1)
    p_values = np.full(len(first), np.nan)
    for place, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        shared = scores[i].index.intersection(scores[j].index)
        if len(shared):
            a, b = (scores[k].loc[shared].to_numpy(dtype=float) for k in (i, j))
            p_values[place] = difference(a, b).p_value()
    table = np.full((count, count), np.nan)
    table[first, second] = table[second, first] = holm(p_values)
    return table


def better_than(means: FloatArray, p_values: FloatArray) -> npt.NDArray[np.bool_]:
    """Return [K, K] flags: the row is better than the column (has the larger mean) and separable from it."""
    return np.asarray((means[:, None] > means[None, :]) & (np.nan_to_num(p_values, nan=1.0) < ALPHA))


def rank_table(
    scores: Sequence[pd.DataFrame], rng: np.random.Generator, *, higher_is_better: bool = True, n_draws: int = DRAWS
) -> pd.DataFrame:
    """Return a row per algorithm, in the order given: ``rank``, ``rank_low``, ``rank_high``, ``p_rank_1``.

    - ``rank`` is 1 + how many algorithms are better and separable (Holm-adjusted p < 0.05, ``pair_p_values``):
      algorithms that no such test can order share it.
    - ``rank_low`` to ``rank_high``: the 95% interval of the rank in the two-way bootstrap's draws, widened where it
      must be to hold every rank that the pairwise tests leave open, 1 + (separably better) to K - (separably worse)
      (Mogstad, Romano, Shaikh and Wilhelm 2024, Rev. Econ. Stud. 91); with few seeds the draws alone are too sure.
    - ``p_rank_1``: the share of draws in which it is best, ties shared evenly. A description, not a test.
    """
    sign = 1.0 if higher_is_better else -1.0
    means = sign * np.array([float(table.to_numpy(dtype=float).mean()) for table in scores])
    better = better_than(means, pair_p_values(scores))
    draws = sign * joint_draws(scores, rng, n_draws)
    ranks = stats.rankdata(-draws, method="min", axis=1)
    first = ranks == 1
    low, high = np.quantile(ranks, [ALPHA / 2, 1 - ALPHA / 2], axis=0, method="nearest")
    above, below = better.sum(axis=0), better.sum(axis=1)
    return pd.DataFrame(
        {
            "rank": 1 + above,
            "rank_low": np.minimum(low, 1 + above).astype(int),
            "rank_high": np.maximum(high, len(scores) - below).astype(int),
            "p_rank_1": (first / first.sum(axis=1, keepdims=True)).mean(axis=0),
        }
    )
