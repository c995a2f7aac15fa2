"""Accuracy above chance, and the interquartile mean."""

from __future__ import annotations

from scipy import stats

from bench.stats.estimate import FloatArray


def above_chance(accuracy: FloatArray, n_way: int) -> FloatArray:
    """Rescale accuracy to 0 at chance and 1 at perfect: ``(accuracy - 1/n_way) / (1 - 1/n_way)``."""
    if n_way < 2:
        raise ValueError(f"`n_way >= 2` must hold, but got n_way={n_way}")
    return (accuracy - 1.0 / n_way) / (1.0 - 1.0 / n_way)


def interquartile_mean(scores: FloatArray) -> float:
    """Return the mean of the middle half of all scores (Agarwal et al. 2021, arXiv 2108.13264, section 4.3).

    As in rliable, the lowest and the highest quarter are dropped, each rounded down to whole scores.
    """
    return float(stats.trim_mean(scores, proportiontocut=0.25, axis=None))
