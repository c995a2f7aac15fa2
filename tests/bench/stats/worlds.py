"""Synthetic experiments whose truth is known, and how often what is computed on them holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bench.stats import CONFIDENCE, FloatArray, Interval, joint_draws

Rng = np.random.Generator


@dataclass(frozen=True)
class World:
    """``value = mean + seed + mean over the episode's classes + episode + residual``, all Gaussian.

    Attributes:
        seeds: S.
        episodes: E.
        classes: in the pool that episodes are drawn from.
        n_way: classes of an episode, drawn without replacement.
        sd_seed: between meta-trainings.
        sd_class: between classes.
        sd_episode: between episodes of the same classes.
        sd_residual: of one seed on one episode.
        mean: of all meta-trainings on all classes.
    """

    seeds: int = 5
    episodes: int = 300
    classes: int = 100
    n_way: int = 5
    sd_seed: float = 0.0
    sd_class: float = 0.0
    sd_episode: float = 0.7
    sd_residual: float = 0.7
    mean: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One experiment: [S, E] values, [E, n_way] classes, and the truths that intervals speak of."""

    values: FloatArray
    class_ids: npt.NDArray[np.int64]
    these_checkpoints: float
    these_classes: float
    new_classes: float
    new_classes_these_checkpoints: float


def bootstrap_draws(values: FloatArray, rng: Rng, n_draws: int) -> FloatArray:
    """[n_draws] means of one algorithm's table."""
    return joint_draws([pd.DataFrame(values)], rng, n_draws)[:, 0]


def bootstrap_interval(values: FloatArray, rng: Rng, n_draws: int) -> Interval:
    """The percentile interval of the draws, which knows no Student's t."""
    low, high = np.quantile(bootstrap_draws(values, rng, n_draws), [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Interval(float(values.mean()), float(low), float(high))


def draw(world: World, rng: Rng) -> Sample:
    """One experiment of that world."""
    class_ids = rng.random((world.episodes, world.classes)).argpartition(world.n_way, axis=1)[:, : world.n_way]
    seed = world.sd_seed * rng.normal(size=world.seeds)
    ability = world.sd_class * rng.normal(size=world.classes)
    episode = ability[class_ids].mean(axis=1) + world.sd_episode * rng.normal(size=world.episodes)
    residual = world.sd_residual * rng.normal(size=(world.seeds, world.episodes))
    values = world.mean + seed[:, None] + episode[None, :] + residual
    pool, trained = float(ability.mean()), float(seed.mean())
    return Sample(
        values,
        class_ids,
        world.mean + pool + trained,
        world.mean + pool,
        world.mean,
        world.mean + trained,
    )


def coverage(
    world: World, interval: Callable[[Sample], Interval], truth: Callable[[Sample], float], repeats: int, rng: Rng
) -> float:
    """In how many of the experiments the interval holds the truth."""
    hits = 0
    for _ in range(repeats):
        sample = draw(world, rng)
        found = interval(sample)
        hits += found.low <= truth(sample) <= found.high
    return hits / repeats


def rejection(
    world: World, p_value: Callable[[FloatArray], float], repeats: int, rng: Rng, alpha: float = 0.05
) -> float:
    """In how many of the experiments, read as differences, p is below ``alpha``."""
    return float(np.mean([p_value(draw(world, rng).values) < alpha for _ in range(repeats)]))


def simulation_error(repeats: int, rate: float = 0.95) -> float:
    """Three standard errors of a rate that was simulated so often."""
    return 3 * float(np.sqrt(rate * (1 - rate) / repeats))


def naive_interval(sample: Sample) -> Interval:
    """Return the half-width that papers print: 1.96 standard errors over episodes."""
    by_episode = sample.values.mean(axis=0)
    mean, half = float(by_episode.mean()), 1.96 * float(by_episode.std(ddof=1)) / np.sqrt(by_episode.size)
    return Interval(mean, mean - half, mean + half)


def satterthwaite_interval(sample: Sample) -> Interval:
    """The crossed variance with one Student quantile at Satterthwaite's degrees of freedom (1946)."""
    values = sample.values
    n_seeds, n_episodes = values.shape
    mean, by_seed, by_episode = values.mean(), values.mean(axis=1), values.mean(axis=0)
    degrees = np.array([n_seeds - 1, n_episodes - 1, (n_seeds - 1) * (n_episodes - 1)])
    residual = values - by_seed[:, None] - by_episode[None, :] + mean
    sums = [n_episodes * ((by_seed - mean) ** 2).sum(), n_seeds * ((by_episode - mean) ** 2).sum(), (residual**2).sum()]
    seed, episode, rest = np.array(sums) / degrees
    has_seed, has_episode = seed > rest, episode > rest
    used = np.array([seed * has_seed, episode * has_episode, rest * (1.0 - has_seed - has_episode)])
    variance = used.sum()
    half = stats.t.ppf(0.975, variance**2 / (used**2 / degrees).sum()) * np.sqrt(variance / values.size)
    return Interval(float(mean), float(mean - half), float(mean + half))
