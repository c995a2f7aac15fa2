"""Tests keep their level where there is no difference and find one where there is, and ranks hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.stats import Components, crossed, needed, pair_p_values, rank_table, sign_flip, wilcoxon
from tests.bench.stats.simulate import ranks_hold
from tests.bench.stats.worlds import World, draw, rejection, simulation_error

REPEATS = 400
MOST = 0.05 + simulation_error(REPEATS, 0.05)


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.0), (3, 0.2), (5, 0.2)])
def test_level_of_the_crossed_t(seeds: int, spread: float) -> None:
    world = World(seeds=seeds, sd_seed=spread)
    assert rejection(world, lambda v: crossed(v).p_value(), REPEATS, np.random.default_rng(0)) <= MOST


def test_level_of_sign_flip_and_wilcoxon_over_episodes_of_one_checkpoint() -> None:
    rng = np.random.default_rng(1)
    world = World(seeds=1, episodes=100)
    assert rejection(world, lambda v: sign_flip(v[0], rng, 499), REPEATS, rng) <= MOST
    assert rejection(world, lambda v: wilcoxon(v[0]), REPEATS, rng) <= MOST


def test_over_episodes_tests_reject_a_true_null_of_new_training_runs() -> None:
    """The episodes' intervals speak of these checkpoints only; the claim on training runs is the crossed t's."""
    rng = np.random.default_rng(2)
    world = World(seeds=5, sd_seed=0.2)
    assert rejection(world, lambda v: sign_flip(v.mean(axis=0), rng, 199), 100, rng) > 0.3


def test_pairing_raises_power() -> None:
    rng = np.random.default_rng(3)
    paired, unpaired = [], []
    for _ in range(100):
        hard = draw(World(1, 100, sd_episode=1.0, sd_residual=0.0), rng).values[0]
        a, b = (hard + mean + 0.3 * rng.normal(size=100) for mean in (0.1, 0.0))
        paired.append(crossed((a - b)[None]).p_value() < 0.05)
        unpaired.append(stats.ttest_ind(a, b).pvalue < 0.05)
    assert np.mean(paired) > 0.5 > 0.2 > np.mean(unpaired)


@pytest.mark.parametrize(
    ("known", "effect", "kind"),
    [
        (Components(1, 200, np.nan, 0.98, np.nan), 0.1, "episodes"),
        (Components(5, 200, 0.0, 0.49, 0.49), 0.1, "episodes"),
        (Components(4, 200, 0.09, 0.49, 0.49), 0.3, "seeds"),
    ],
)
def test_as_many_as_needed_give_the_power_promised(known: Components, effect: float, kind: str) -> None:
    more = getattr(needed(known, effect), kind)
    assert more > 0
    seeds, episodes = known.n_seeds + more * (kind == "seeds"), known.n_episodes + more * (kind == "episodes")
    grown = World(seeds, episodes, sd_seed=np.sqrt(np.nan_to_num(known.seed)), mean=effect)
    found = rejection(grown, lambda v: crossed(v).p_value(), REPEATS, np.random.default_rng(4))
    assert abs(found - 0.8) <= simulation_error(REPEATS, 0.8)


def test_what_no_number_can_do_is_none_and_what_is_there_needs_nothing() -> None:
    seeds_differ = Components(3, 600, 0.01, 0.001, 0.001)
    assert needed(seeds_differ, 0.05).episodes is None
    assert needed(seeds_differ, 0.05).seeds is not None
    assert needed(seeds_differ, 1.0).episodes == 0
    assert needed(seeds_differ, 0.0) == needed(Components(2, 600, 0.0, 0.001, 0.001), 0.0)
    assert needed(Components(2, 600, 0.0001, 0.001, 0.001), 0.01).seeds is None


def test_all_equal_algorithms_share_rank_one() -> None:
    rng, world = np.random.default_rng(5), World(3, 60, sd_seed=0.1)
    shared = np.mean([ranks_hold(world, (0.0, 0.0, 0.0, 0.0), rng) for _ in range(150)])
    assert shared >= 0.95 - simulation_error(150)


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.1), (10, 0.1)])
def test_rank_intervals_hold_the_true_ranks_together(seeds: int, spread: float) -> None:
    rng, world = np.random.default_rng(6), World(seeds, 60, sd_seed=spread)
    held = np.mean([ranks_hold(world, (0.6, 0.4, 0.2, 0.0), rng) for _ in range(100)])
    assert held >= 0.95 - simulation_error(100)


def _tables(means: tuple[float, ...], world: World, rng: np.random.Generator) -> list[pd.DataFrame]:
    return [pd.DataFrame(mean + draw(world, rng).values) for mean in means]


def test_ranks_of_algorithms_that_are_far_apart_are_sure() -> None:
    rng = np.random.default_rng(7)
    found = rank_table(_tables((0.0, 2.0, 1.0), World(5, 100), rng), rng)
    assert found["rank"].tolist() == found["rank_low"].tolist() == found["rank_high"].tolist() == [3, 1, 2]
    assert found["p_rank_1"].tolist() == [0.0, 1.0, 0.0]
    lower = rank_table(_tables((0.0, 2.0, 1.0), World(5, 100), rng), rng, higher_is_better=False)
    assert lower["rank"].tolist() == [1, 3, 2]


def test_the_rank_is_inside_its_interval_and_first_places_sum_to_one() -> None:
    rng = np.random.default_rng(8)
    for seeds in (1, 2, 3, 6):
        found = rank_table(_tables((0.0, 0.02, 0.05, 0.3), World(seeds, 40, sd_seed=0.1), rng), rng, n_draws=300)
        assert (found["rank_low"] <= found["rank"]).all()
        assert (found["rank"] <= found["rank_high"]).all()
        assert found["p_rank_1"].sum() == pytest.approx(1.0)


def test_identical_algorithms_share_first_place_evenly() -> None:
    rng = np.random.default_rng(9)
    (one,) = _tables((0.0,), World(3, 40), rng)
    found = rank_table([one, one.copy()], rng)
    assert found["rank"].tolist() == [1, 1]
    assert found["p_rank_1"].tolist() == [0.5, 0.5]


def test_an_algorithm_that_lacks_seeds_is_compared_on_those_it_has() -> None:
    rng = np.random.default_rng(10)
    full, other = _tables((0.0, 1.0), World(5, 60, sd_seed=0.2), rng)
    part = other.loc[[1, 3, 4]]
    adjusted = pair_p_values([full, part])
    assert adjusted[0, 1] == pytest.approx(crossed((full.loc[part.index] - part).to_numpy()).p_value())
    assert rank_table([full, part], rng)["rank"].tolist() == [2, 1]
    apart = pair_p_values([full.loc[[0, 1]], other.loc[[2, 3]]])
    assert np.isnan(apart).all()


def test_equal_is_said_wrongly_at_most_once_in_twenty() -> None:
    """At the edge of the region, the claim "within it with probability 0.95" is a test of level 0.05."""
    rng, world = np.random.default_rng(11), World(4, 100, sd_seed=0.02, sd_episode=0.05, sd_residual=0.05, mean=0.1)
    said = np.mean([crossed(draw(world, rng).values).probability(0.1)[1] >= 0.95 for _ in range(REPEATS)])
    assert said <= MOST
    inside = World(4, 100, sd_seed=0.005, sd_episode=0.05, sd_residual=0.05)
    assert np.mean([crossed(draw(inside, rng).values).probability(0.1)[1] >= 0.95 for _ in range(50)]) > 0.9
