"""Means over seeds and episodes, with their variance for the test classes and for new classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.stats.estimate import LEAST_SEEDS, Estimate, FloatArray, VarianceComponent


@dataclass(frozen=True)
class Components:
    """The variance components of a two-way table without replication: seeds, episodes and residual.

    They estimate ``s_seed^2``, ``s_ep^2`` and ``s_res^2`` and are not negative. Without variance between seeds (fewer
    than two of them) ``seed`` and ``residual`` are NaN.
    """

    n_seeds: int
    n_episodes: int
    seed: float
    episode: float
    residual: float


def _squares(values: FloatArray) -> tuple[float, float, float]:
    """Return the mean squares of seeds, episodes and residual of [S, E], S and E at least 2."""
    n_seeds, n_episodes = values.shape
    mean, by_seed, by_episode = values.mean(), values.mean(axis=1), values.mean(axis=0)
    residual = values - by_seed[:, None] - by_episode[None, :] + mean
    return (
        n_episodes * float(((by_seed - mean) ** 2).sum()) / (n_seeds - 1),
        n_seeds * float(((by_episode - mean) ** 2).sum()) / (n_episodes - 1),
        float((residual**2).sum()) / ((n_seeds - 1) * (n_episodes - 1)),
    )


def components(values: FloatArray) -> Components:
    """Estimate variance components by the analysis of variance, negative ones set to zero.

    Searle, Casella and McCulloch 1992, Variance Components, chapter 4.

    Args:
        values: [S, E], one row per seed, the same episodes in every row.
    """
    n_seeds, n_episodes = values.shape
    if n_seeds == 1:
        return Components(1, n_episodes, float("nan"), float(values.var(ddof=1)), float("nan"))
    seed, episode, residual = _squares(values)
    between_seeds, between_episodes = max(seed - residual, 0.0) / n_episodes, max(episode - residual, 0.0) / n_seeds
    return Components(n_seeds, n_episodes, between_seeds, between_episodes, residual)


def crossed(values: FloatArray) -> Estimate:
    """Estimate the mean over seeds and episodes, for the classes of these episodes.

    Seeds and episodes are crossed random effects: the variance of the mean is
    ``s_seed^2 / S + s_ep^2 / E + s_res^2 / (S E)``. The first and the last term are the variance of the seeds' means
    and are known to S - 1 degrees of freedom, the middle one to E - 1. With fewer than three seeds the seeds are fixed:
    the variance is that of the episodes' means over seeds, and the scope "these checkpoints".

    Args:
        values: [S, E], one row per seed, the same episodes in every row.
    """
    n_seeds, n_episodes = values.shape
    mean = float(values.mean())
    if n_episodes < 2:
        return Estimate(mean, ())
    if n_seeds < LEAST_SEEDS:
        variance = float(values.mean(axis=0).var(ddof=1)) / n_episodes
        return Estimate(mean, (VarianceComponent(variance, n_episodes - 1),))
    seed, episode, residual = _squares(values)
    cells = n_seeds * n_episodes
    parts = (
        VarianceComponent(seed / cells, n_seeds - 1),
        VarianceComponent(max(episode - residual, 0.0) / cells, n_episodes - 1),
    )
    return Estimate(mean, parts, "new training runs")


def new_classes(values: FloatArray, class_ids: npt.NDArray[np.int64]) -> Estimate:
    """Estimate the mean for new classes, by leaving out one class at a time.

    ``SE^2 = (C - 1) / C * sum_c (theta_-c - mean of them)^2``, where ``theta_-c`` is the mean over the episodes without
    class c (Efron and Stein 1981, Ann. Statist. 9), with C - 1 degrees of freedom. Episodes share classes, so that the
    usual interval over episodes is far too narrow for classes that were not drawn. With three seeds or more the
    variance of the seeds' means is added, and the mean is one of new training runs too. With many classes it is
    cautious: the noise of an episode counts once for each of its classes.

    Args:
        values: [S, E], one row per seed; [E] is one seed.
        class_ids: [E, n_way] the classes of each episode.
    """
    table = np.atleast_2d(values)
    by_episode = table.mean(axis=0)
    mean = float(by_episode.mean())
    classes, positions = np.unique(class_ids, return_inverse=True)
    count = len(classes)
    member = np.zeros((len(by_episode), count), dtype=bool)
    member[np.arange(len(by_episode))[:, None], positions.reshape(class_ids.shape)] = True
    left = len(by_episode) - member.sum(axis=0)
    if count < 2 or bool((left == 0).any()):
        return Estimate(mean, ())
    without = (by_episode.sum() - by_episode @ member) / left
    parts = (VarianceComponent((count - 1) / count * float(((without - without.mean()) ** 2).sum()), count - 1),)
    n_seeds = len(table)
    if n_seeds < LEAST_SEEDS:
        return Estimate(mean, parts)
    between = float(table.mean(axis=1).var(ddof=1)) / n_seeds
    return Estimate(mean, (*parts, VarianceComponent(between, n_seeds - 1)), "new training runs")
