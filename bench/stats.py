"""Statistics as pure functions on arrays; each says its formula and source. See docs/protocol.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its 95% interval; the bounds are NaN where there is too little data for one."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def _interval(mean: float, standard_error: float, degrees: float) -> Interval:
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, degrees)) * standard_error
    return Interval(mean, mean - reach, mean + reach)


def crossed_interval(values: FloatArray) -> Interval:
    """The mean over seeds and episodes with a 95% interval for these classes.

    Seeds and episodes are crossed random effects: the variance of the mean is
    ``s_seed^2 / S + s_ep^2 / E + s_res^2 / (S E)``, with the components from the two-way analysis of variance without
    replication, negative ones set to zero (Searle, Casella and McCulloch 1992, chapter 4), and Student's t at
    Satterthwaite's degrees of freedom (1946). With one seed it is Student's t over the episodes, and speaks of that one
    meta-training only.

    Args:
        values: [S, E], one row a seed, the same episodes in every row.
    """
    n_seeds, n_episodes = values.shape
    mean = float(values.mean())
    if n_seeds == 1:
        return _interval(mean, float(values.std(ddof=1)) / np.sqrt(n_episodes), n_episodes - 1)
    by_seed, by_episode = values.mean(axis=1), values.mean(axis=0)
    residual = values - by_seed[:, None] - by_episode[None, :] + mean
    degrees_seed, degrees_episode = n_seeds - 1, n_episodes - 1
    square_seed = n_episodes * float(((by_seed - mean) ** 2).sum()) / degrees_seed
    square_episode = n_seeds * float(((by_episode - mean) ** 2).sum()) / degrees_episode
    square_residual = float((residual**2).sum()) / (degrees_seed * degrees_episode)
    extra_seed = max(square_seed - square_residual, 0.0)
    extra_episode = max(square_episode - square_residual, 0.0)
    cells = n_seeds * n_episodes
    variance = (extra_seed + extra_episode + square_residual) / cells
    if variance == 0.0:
        return Interval(mean, mean, mean)
    weight_residual = 1.0 - (extra_seed > 0) - (extra_episode > 0)
    parts = (
        ((square_seed if extra_seed > 0 else 0.0), degrees_seed),
        ((square_episode if extra_episode > 0 else 0.0), degrees_episode),
        (weight_residual * square_residual, degrees_seed * degrees_episode),
    )
    degrees = variance**2 / sum((part / cells) ** 2 / degree for part, degree in parts)
    return _interval(mean, float(np.sqrt(variance)), degrees)


def jackknife_interval(values: FloatArray, class_ids: npt.NDArray[np.int64]) -> Interval:
    """The mean with a 95% interval for new classes, by leaving out one class at a time.

    ``SE^2 = (C - 1) / C * sum_c (theta_-c - mean of them)^2``, where ``theta_-c`` is the mean over the episodes without
    class c (Efron and Stein 1981), with Student's t at C - 1 degrees of freedom. Episodes share classes, so that the
    usual interval over episodes is far too narrow for classes that were not drawn.

    Args:
        values: [E] one value an episode (the mean over seeds where there are several).
        class_ids: [E, n_way] the classes of each episode.
    """
    mean = float(values.mean())
    classes, positions = np.unique(class_ids, return_inverse=True)
    count = len(classes)
    member = np.zeros((len(values), count), dtype=bool)
    member[np.arange(len(values))[:, None], positions.reshape(class_ids.shape)] = True
    left = len(values) - member.sum(axis=0)
    if count < 2 or bool((left == 0).any()):
        return Interval(mean, float("nan"), float("nan"))
    without = (values.sum() - values @ member) / left
    variance = (count - 1) / count * float(((without - without.mean()) ** 2).sum())
    return _interval(mean, float(np.sqrt(variance)), count - 1)
