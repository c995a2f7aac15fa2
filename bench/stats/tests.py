"""p-values over paired episodes, and Holm's adjustment."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bench.stats.estimate import FloatArray

RESAMPLES = 9999


def _mean(values: FloatArray, axis: int = -1) -> FloatArray:
    return np.asarray(values.mean(axis=axis))


def sign_flip(differences: FloatArray, rng: np.random.Generator, resamples: int = RESAMPLES) -> float:
    """Return the two-sided p-value of the mean difference under random signs.

    Fisher 1935, The Design of Experiments, 21. Exact where the episodes have at most ``resamples`` sign patterns, else
    from that many and the observed one (Phipson and Smyth 2010). It holds for the checkpoints that were tested:
    episodes are exchangeable, seeds are not.

    Args:
        differences: [E], the mean over seeds where there are several.
        rng: of the signs.
        resamples: how many patterns at most.
    """
    result = stats.permutation_test(
        (differences,),
        _mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=1000,
        rng=rng,
    )
    return float(result.pvalue)


def wilcoxon(differences: FloatArray) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, zeros by Pratt's rule.

    Pratt 1959, J. Am. Stat. Assoc. 54.

    It tests symmetry about zero rather than a mean of zero, and holds for the checkpoints that were tested.

    Args:
        differences: [E].
    """
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)


def holm(p_values: FloatArray) -> FloatArray:
    """Return Holm's adjusted p-values, ``max over the smaller of (m - i + 1) p_(i)``, at most 1.

    Holm 1979, Scand. J. Stat. 6.

    NaN, a comparison that could not be made, stays NaN and does not count.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted
