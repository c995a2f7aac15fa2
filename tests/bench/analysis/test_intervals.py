"""The leaderboard's two intervals against independent computations, and how often they cover the truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from bench.stats import crossed, new_classes

Array = npt.NDArray[np.float64]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def components(values: Array) -> tuple[float, float, float]:
    """Mean squares of seeds, episodes and residual by least squares on dummy variables: nested models' residuals."""
    n_seeds, n_episodes = values.shape
    seed, episode = (index.ravel() for index in np.indices(values.shape))
    y = values.ravel()

    def rss(*factors: npt.NDArray[np.int64]) -> float:
        design = np.column_stack([np.ones(len(y)), *[np.eye(f.max() + 1)[f] for f in factors]])
        return float(((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum())

    both = rss(seed, episode)
    return (
        (rss(episode) - both) / (n_seeds - 1),
        (rss(seed) - both) / (n_episodes - 1),
        both / ((n_seeds - 1) * (n_episodes - 1)),
    )


@pytest.mark.parametrize(("sd_seed", "sd_episode"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (3.0, 0.3)])
def test_the_crossed_interval_adds_up_its_components(sd_seed: float, sd_episode: float) -> None:
    g = rng(1)
    values = 5 + g.normal(0, sd_seed, (4, 1)) + g.normal(0, sd_episode, (1, 30)) + g.normal(0, 1, (4, 30))
    square_seed, square_episode, square_residual = components(values)
    parts = square_seed / 120, max(square_episode - square_residual, 0) / 120
    expected = np.sqrt(sum(stats.t.ppf(0.975, degree) ** 2 * part for part, degree in zip(parts, (3, 29), strict=True)))
    found = crossed(values).interval()
    assert found.mean == pytest.approx(values.mean())
    assert (found.low + found.high) / 2 == pytest.approx(found.mean)
    assert found.half_width == pytest.approx(expected)


def test_the_crossed_interval_by_hand() -> None:
    """Rows 3, 4, 5 and columns 2, 4, 6 around 4, and a residual of ones: mean squares 3, 12 and 1 on paper."""
    additive = np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0], [3.0, 5.0, 7.0]])
    values = additive + np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert components(values) == pytest.approx((3.0, 12.0, 1.0))
    variance = 3 / 9 + (12 - 1) / 9
    found = crossed(values).interval()
    assert found.mean == pytest.approx(4.0)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 2) * np.sqrt(variance))


def test_two_seeds_speak_of_these_checkpoints_only() -> None:
    """Student's interval over the episodes' means, here 2, 4 and 6."""
    values = np.array([[1.0, 2.0, 6.0], [3.0, 6.0, 6.0]])
    found = crossed(values).interval()
    assert (found.mean, found.half_width) == (pytest.approx(4.0), pytest.approx(stats.t.ppf(0.975, 2) * np.sqrt(4 / 3)))


def test_one_seed_is_students_interval_over_episodes() -> None:
    values = rng(2).normal(3, 2, (1, 40))
    expected = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    found = crossed(values).interval()
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_equal_values_have_no_width() -> None:
    for shape in ((1, 5), (3, 5)):
        found = crossed(np.full(shape, 0.5)).interval()
        assert (found.low, found.mean, found.high) == (0.5, 0.5, 0.5)


def test_episodes_alone_are_as_if_there_were_one_seed() -> None:
    """Seeds that agree exactly bring no information: the episodes alone decide."""
    one = rng(3).normal(0, 1, (1, 25))
    found, expected = crossed(np.repeat(one, 3, axis=0)).interval(), crossed(one).interval()
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


@pytest.mark.parametrize(
    "function",
    [lambda v: crossed(v).interval(), lambda v: new_classes(v[0], np.arange(20).reshape(10, 2) % 7).interval()],
)
def test_intervals_move_and_scale_with_the_values(function: object) -> None:
    assert callable(function)
    values = rng(4).random((3, 10))
    one, other = function(values), function(10 - 4 * values)
    assert other.mean == pytest.approx(10 - 4 * one.mean)
    assert other.low == pytest.approx(10 - 4 * one.high)
    assert other.high == pytest.approx(10 - 4 * one.low)


def left_out(values: Array, class_ids: npt.NDArray[np.int64]) -> Array:
    """The mean of the episodes without each class, one after another."""
    classes = sorted({int(c) for ids in class_ids for c in ids})
    return np.array([np.mean([v for v, ids in zip(values, class_ids, strict=True) if c not in ids]) for c in classes])


@pytest.mark.parametrize("seed", range(5))
def test_the_jackknife_leaves_out_one_class_at_a_time(seed: int) -> None:
    g = rng(seed)
    class_ids = np.array([g.choice(np.array([3, 5, 8, 13, 21, 34, 55, 90]), 3, replace=False) for _ in range(40)])
    values = g.random(40)
    thetas = left_out(values, class_ids)
    count = len(thetas)
    assert count == 8
    error = np.sqrt((count - 1) / count * ((thetas - thetas.mean()) ** 2).sum())
    found = new_classes(values, class_ids).interval()
    assert found.mean == pytest.approx(values.mean())
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, count - 1) * error)
    assert (found.low + found.high) / 2 == pytest.approx(found.mean)


@pytest.mark.parametrize("class_ids", [[[0, 1], [0, 2]], [[0], [0]]])
def test_no_interval_where_a_class_is_in_every_episode(class_ids: list[list[int]]) -> None:
    found = new_classes(np.array([0.0, 1.0]), np.array(class_ids)).interval()
    assert found.mean == 0.5
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_the_crossed_interval_covers_the_truth() -> None:
    """Seeds, episodes and residuals all vary: nominally 95%; the usual 1.96 sd/sqrt(n) covers far fewer."""
    g, covered, naive, rounds = rng(5), 0, 0, 1000
    for _ in range(rounds):
        values = g.normal(0, 1, (4, 1)) + g.normal(0, 2, (1, 40)) + g.normal(0, 1, (4, 40))
        found = crossed(values).interval()
        covered += found.low <= 0 <= found.high
        naive += abs(values.mean()) <= 1.96 * values.std(ddof=1) / np.sqrt(values.size)
    assert 0.92 <= covered / rounds <= 1.0
    assert naive / rounds < 0.75


def test_the_jackknife_covers_new_classes() -> None:
    """Episodes drawn from a pool of 20 classes that have levels of their own (the simulation of the protocol)."""
    g, covered, naive, rounds = rng(6), 0, 0, 300
    for _ in range(rounds):
        levels = g.normal(0, 1, 20)
        class_ids = np.argsort(g.random((200, 20)), axis=1)[:, :5]
        values = levels[class_ids].mean(axis=1) + g.normal(0, 0.3, 200)
        found = new_classes(values, class_ids).interval()
        covered += found.low <= 0 <= found.high
        naive += abs(values.mean()) <= 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert covered / rounds >= 0.90
    assert naive / rounds < 0.40
