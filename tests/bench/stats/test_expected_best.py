"""The expected best of n trials, against every way to draw n values with replacement."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bench.stats import expected_best


@pytest.mark.parametrize(
    "values", [[0.3], [0.2, 0.9], [0.5, 0.1, 0.4], [0.7, 0.7, 0.2, 0.1], [1.0, -2.0, 3.5, 3.5, 0.0]]
)
@pytest.mark.parametrize(("higher", "best"), [(True, max), (False, min)])
def test_it_is_the_mean_over_all_draws(values: list[float], higher: bool, best: object) -> None:
    assert callable(best)
    counts = range(1, len(values) + 1)
    brute = [np.mean([best(drawn) for drawn in product(values, repeat=n)]) for n in counts]
    np.testing.assert_allclose(expected_best(np.array(values), higher), brute, rtol=1e-12)


def test_the_first_is_the_mean_and_the_order_of_trials_does_not_count() -> None:
    values = np.random.default_rng(0).normal(size=30)
    curve = expected_best(values)
    assert curve[0] == pytest.approx(values.mean())
    assert (np.diff(curve) > 0).all()
    assert curve[-1] < values.max()
    np.testing.assert_array_equal(curve, expected_best(values[::-1]))


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [[0.1, 0.2]]])
def test_what_is_not_a_list_of_numbers_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        expected_best(np.array(values))
