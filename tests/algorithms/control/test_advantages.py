"""Returns, baseline and advantages against plain loops and NumPy."""

from __future__ import annotations

import numpy as np
import torch

from algorithms.control.advantages import (
    RIDGE,
    discounted_sums,
    fitted_values,
    generalised_advantages,
    normalized,
)

T, N, H = 2, 3, 5
RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, H + 1, size=(T, N))
VALID = torch.from_numpy((np.arange(H) < LENGTHS[..., None]).astype(float))
REWARDS = torch.from_numpy(RNG.normal(size=(T, N, H))) * VALID
OBSERVATIONS = torch.from_numpy(3 * RNG.normal(size=(T, N, H, 2)))
VALUES = torch.from_numpy(RNG.normal(size=(T, N, H)))


def test_discounted_sums_are_those_of_a_loop() -> None:
    expected = np.zeros((T, N, H))
    for t, n in np.ndindex(T, N):
        later = 0.0
        for h in reversed(range(H)):
            later = expected[t, n, h] = float(REWARDS[t, n, h]) + 0.9 * later
    assert np.allclose(discounted_sums(REWARDS, 0.9), expected, rtol=1e-12)


def test_advantages_are_those_of_the_recursion_of_the_paper() -> None:
    found = generalised_advantages(REWARDS, VALUES, VALID, 0.9, 0.7)
    for t, n in np.ndindex(T, N):
        later = 0.0
        for h in reversed(range(LENGTHS[t, n])):
            ends = h + 1 == LENGTHS[t, n]
            following = 0.0 if ends else float(VALUES[t, n, h + 1])
            later = float(REWARDS[t, n, h]) + 0.9 * following - float(VALUES[t, n, h]) + 0.9 * 0.7 * later
            assert np.isclose(float(found[t, n, h]), later)
    assert (found[VALID == 0] == 0).all()


def test_smoothing_of_one_gives_the_return_minus_the_baseline() -> None:
    found = generalised_advantages(REWARDS, VALUES, VALID, 0.9, 1.0)
    assert torch.allclose(found, (discounted_sums(REWARDS, 0.9) - VALUES) * VALID)


def test_the_baseline_is_the_ridge_regression_of_each_task() -> None:
    returns = discounted_sums(REWARDS, 0.9)
    found = fitted_values(OBSERVATIONS, returns, VALID)
    for t in range(T):
        rows, targets, places = [], [], []
        for n in range(N):
            for h in range(LENGTHS[t, n]):
                o, al = np.clip(OBSERVATIONS[t, n, h].numpy(), -10, 10), h / 100.0
                rows.append(np.concatenate([o, o**2, [al, al**2, al**3, 1.0]]))
                targets.append(float(returns[t, n, h]))
                places.append((n, h))
        x, y = np.array(rows), np.array(targets)
        penalized = np.concatenate([x, np.sqrt(RIDGE) * np.eye(x.shape[1])])
        solution, *_ = np.linalg.lstsq(penalized, np.concatenate([y, np.zeros(x.shape[1])]), rcond=None)
        for (n, h), value in zip(places, x @ solution, strict=True):
            assert np.isclose(float(found[t, n, h]), value, atol=1e-5)


def test_normalised_advantages_have_mean_0_and_deviation_1_over_valid_steps() -> None:
    found = normalized(VALUES * VALID, VALID)
    for t in range(T):
        inside = found[t][VALID[t] == 1]
        assert abs(float(inside.mean())) < 1e-12
        assert np.isclose(float(inside.std(unbiased=False)), 1.0)
    assert (found[VALID == 0] == 0).all()
