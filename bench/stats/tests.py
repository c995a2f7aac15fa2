"""p-values over paired episodes, and Holm's adjustment."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bench.stats.estimate import FloatArray

RESAMPLES = 9999


def _mean(values: FloatArray, axis: int = -1) -> FloatArray:
    return np.asarray(values.mean(axis=axis))


def sign_flip(differences: FloatArray, rng: np.random.Generator, resamples: int = RESAMPLES) -> float:
    """Two-sided p-value of the mean difference under random signs (Fisher 1935, The Design of Experiments, 21).

    Exact where the episodes have at most ``resamples`` sign patterns, else from that many and the observed one
    (Phipson and Smyth 2010). It speaks of the checkpoints that were tested: episodes are exchangeable, seeds are not.

    Args:
        differences: [E], the mean over seeds where there are several.
        rng: of the signs.
        resamples: how many patterns at most.
    """
    found = stats.permutation_test(
        (differences,),
        _mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=1000,
        rng=rng,
    )
    return float(found.pvalue)


def wilcoxon(differences: FloatArray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test, zeros by Pratt's rule (1959, J. Am. Stat. Assoc. 54).

    It asks for symmetry about zero rather than for a mean of zero, and speaks of the checkpoints that were tested.

    Args:
        differences: [E].
    """
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)


def holm(p_values: FloatArray) -> FloatArray:
    """Holm's adjusted p-values (1979, Scand. J. Stat. 6): ``max over the smaller of (m - i + 1) p_(i)``, at most 1.

    NaN, a comparison that could not be made, stays NaN and does not count.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted
