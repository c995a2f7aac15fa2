"""Intervals hold the truth as often as they say, on experiments whose truth is known; and the naive one does not."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import (
    components,
    crossed,
    difference,
    improvement,
    new_classes,
)
from tests.bench.stats.worlds import (
    World,
    bootstrap_draws,
    bootstrap_interval,
    coverage,
    draw,
    naive_interval,
    satterthwaite_interval,
    simulation_error,
)

REPEATS = 400
LEAST = 0.95 - simulation_error(REPEATS)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0])
def test_crossed_interval_holds_the_mean_of_new_training_runs(seeds: int, spread: float) -> None:
    world = World(seeds=seeds, sd_seed=spread)
    held = coverage(
        world,
        lambda sample: crossed(sample.values).interval(),
        lambda sample: sample.these_classes,
        REPEATS,
        np.random.default_rng(0),
    )
    assert LEAST <= held <= 0.995


def test_one_student_quantile_for_the_whole_variance_falls_short_with_three_seeds() -> None:
    world, repeats = World(seeds=3, sd_seed=0.1, episodes=600), 2000
    old = coverage(
        world, satterthwaite_interval, lambda sample: sample.these_classes, repeats, np.random.default_rng(0)
    )
    new = coverage(
        world,
        lambda sample: crossed(sample.values).interval(),
        lambda sample: sample.these_classes,
        repeats,
        np.random.default_rng(0),
    )
    assert old < 0.95 - simulation_error(repeats) < new


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_few_seeds_the_interval_is_of_these_checkpoints_and_says_so(seeds: int) -> None:
    world = World(seeds=seeds, sd_seed=1.0)
    rng = np.random.default_rng(1)
    held = coverage(
        world,
        lambda sample: crossed(sample.values).interval(),
        lambda sample: sample.these_checkpoints,
        REPEATS,
        rng,
    )
    assert held >= LEAST
    assert crossed(draw(world, rng).values).scope == "these checkpoints"
    assert crossed(draw(World(seeds=3), rng).values).scope == "new training runs"


@pytest.mark.parametrize(("classes", "seeds", "spread"), [(20, 1, 0.0), (20, 5, 0.5), (423, 1, 0.0)])
def test_jackknife_holds_the_mean_over_new_classes_and_the_naive_interval_does_not(
    classes: int, seeds: int, spread: float
) -> None:
    world = World(seeds, 600, classes, sd_seed=spread, sd_class=1.0, sd_episode=0.3, sd_residual=0.3)
    jackknife = coverage(
        world,
        lambda sample: new_classes(sample.values, sample.class_ids).interval(),
        lambda sample: sample.new_classes,
        REPEATS,
        np.random.default_rng(2),
    )
    naive = coverage(world, naive_interval, lambda sample: sample.new_classes, REPEATS, np.random.default_rng(2))
    assert jackknife >= LEAST
    assert naive < (0.4 if classes == 20 else 0.75)


def test_new_classes_says_which_training_runs_it_covers() -> None:
    rng = np.random.default_rng(3)
    for seeds, scope in ((2, "these checkpoints"), (3, "new training runs")):
        sample = draw(World(seeds=seeds, sd_class=1.0), rng)
        assert new_classes(sample.values, sample.class_ids).scope == scope


def test_a_class_in_every_episode_leaves_no_interval_for_new_classes() -> None:
    values, ids = np.array([[0.1, 0.2, 0.3]]), np.array([[0, 1], [0, 2], [0, 3]])
    assert np.isnan(new_classes(values, ids).interval().low)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_two_way_bootstrap_interval_with_ten_seeds(spread: float) -> None:
    rng, repeats = np.random.default_rng(4), 200
    world = World(seeds=10, episodes=100, sd_seed=spread)
    held = coverage(
        world,
        lambda sample: bootstrap_interval(sample.values, rng, 500),
        lambda sample: sample.these_classes,
        repeats,
        rng,
    )
    assert held >= 0.93 - simulation_error(repeats, 0.93)  # a percentile interval: 93% where seeds vary most


def test_two_way_draws_vary_as_the_mean_does() -> None:
    """Not less, as drawing n of n would with five seeds (by a fifth), and at most by two residual terms more."""
    rng, world = np.random.default_rng(5), World(seeds=5, episodes=60, sd_seed=0.5)
    true = 0.5**2 / 5 + 0.7**2 / 60 + 0.7**2 / 300
    drawn = np.mean([bootstrap_draws(draw(world, rng).values, rng, 200).var() for _ in range(300)])
    assert 0.9 * true < drawn < 1.1 * (true + 2 * 0.7**2 / 300)


def test_two_way_draws_are_the_same_for_the_same_generator() -> None:
    values = draw(World(), np.random.default_rng(0)).values
    first, second = (bootstrap_draws(values, np.random.default_rng(9), 50) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_improvement_holds_its_truth_and_counts_ties_as_half() -> None:
    held = coverage(
        World(seeds=5, sd_seed=0.2),
        lambda sample: improvement(sample.values).interval(),
        lambda sample: 0.5,
        REPEATS,
        np.random.default_rng(6),
    )
    assert held >= LEAST
    assert improvement(np.array([[1.0, 0.0, 0.0, -1.0, 2.0]])).mean == pytest.approx(0.6)


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(7)
    hard = draw(World(seeds=1, sd_episode=1.0, sd_residual=0.0), rng).values
    a, b = (hard + draw(World(seeds=5, sd_episode=0.0, sd_residual=0.3), rng).values for _ in range(2))
    paired = difference(a, b).interval().half_width
    assert 3 * paired < np.hypot(crossed(a).interval().half_width, crossed(b).interval().half_width)


def test_different_shapes_are_refused_with_both() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        difference(np.zeros((2, 3)), np.zeros((3, 2)))


def test_components_find_the_truth() -> None:
    values = draw(World(60, 600, sd_seed=0.5, sd_episode=0.8, sd_residual=0.3), np.random.default_rng(8)).values
    found = components(values)
    assert np.sqrt([found.seed, found.episode, found.residual]) == pytest.approx([0.5, 0.8, 0.3], rel=0.2)
