"""Two algorithms on the same seeds and episodes."""

from __future__ import annotations

import numpy as np

from bench.stats.estimate import Estimate, FloatArray
from bench.stats.marginal import crossed


def difference(a: FloatArray, b: FloatArray) -> Estimate:
    """Estimate the mean of ``a - b`` over shared seeds and episodes, with the crossed variance of the differences.

    What makes an episode hard for both cancels, so that the interval is narrower than those of ``a`` and ``b`` let one
    expect. See ``crossed`` for the formula.

    Args:
        a: [S, E], one row per seed, the same seeds and episodes as ``b``.
        b: [S, E].
    """
    return crossed(_same_shape(a, b))


def _same_shape(a: FloatArray, b: FloatArray) -> FloatArray:
    if a.shape != b.shape:
        raise ValueError(f"both must have the same seeds and episodes, but got shapes {a.shape} and {b.shape}")
    return np.asarray(a - b)


def improvement(gain: FloatArray) -> Estimate:
    """Estimate the paired probability of improvement, ``mean(1[d > 0] + 0.5 * 1[d = 0])`` over seeds and episodes.

    The probability that the first algorithm is better on the same episode; after Agarwal et al. 2021 (arXiv
    2108.13264), who compare independent runs where this compares pairs.

    Args:
        gain: [S, E] differences, positive where the first algorithm is the better one.
    """
    return crossed((gain > 0) + 0.5 * (gain == 0))
