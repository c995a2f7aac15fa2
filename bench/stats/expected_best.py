"""The expected best value of n trials of a search."""

from __future__ import annotations

import numpy as np

from bench.stats.estimate import FloatArray


def expected_best(values: FloatArray, higher_is_better: bool = True) -> FloatArray:
    """Return [N] the expected best of n = 1, ..., N trials, from the validation values of N trials.

    For the maximum, with the values sorted upwards, v_1 <= ... <= v_N::

        E[max of n] = sum_i v_i * ((i / N)^n - ((i - 1) / N)^n)

    which is the mean of the best of n draws with replacement from the N values (Dodge, Gururangan, Card, Schwartz and
    Smith 2019, "Show Your Work: Improved Reporting of Experimental Results", EMNLP, arXiv 1909.03004,
    section 3). The trials should be independent and alike, as random search's are; for other samplers the curve
    describes the values that they found. At n = N it stays below the best value: N draws with replacement miss it
    sometimes.

    Args:
        values: [N] finite, N >= 1.
        higher_is_better: whether the best is the maximum.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values must be a list of finite numbers, at least one, but got {values!r}")
    ordered = np.sort(values if higher_is_better else -values)
    places = np.arange(len(values) + 1) / len(values)
    counts = np.arange(1, len(values) + 1)[:, None]
    weights = places[1:] ** counts - places[:-1] ** counts
    expected: FloatArray = weights @ ordered
    return expected if higher_is_better else -expected
