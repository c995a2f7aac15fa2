"""Rounds visit every setting once in a random order; what fails is not tried again, and the others go on."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cost.rounds import FIXED_LAPS, MOST_ROUNDS, PROCESS_SECONDS, SHARE, Setting, measure_in_rounds
from bench.store.store import Failure
from tests.bench.cost.helpers import Sampler, a_round
from tests.bench.helpers import tiny

ALGORITHMS = ["maml", "fomaml", "reptile", "anil"]


def settings(seconds: float) -> list[Setting]:
    return [Setting(cell, cell.algorithm, seconds) for cell in tiny(algorithms=ALGORITHMS).cells()]


def test_each_round_visits_all_settings_in_an_order_of_its_own() -> None:
    sampler = Sampler()
    measured = measure_in_rounds(settings(1000.0), sampler, np.random.default_rng(0))
    rounds = np.array(sampler.algorithms).reshape(MOST_ROUNDS, len(ALGORITHMS))
    assert all(sorted(one) == sorted(ALGORITHMS) for one in rounds.tolist())
    assert len({tuple(one) for one in rounds.tolist()}) > 1
    assert [len(one) for one in measured if isinstance(one, list)] == [MOST_ROUNDS] * 4
    again = Sampler()
    measure_in_rounds(settings(1000.0), again, np.random.default_rng(0))
    assert again.asked == sampler.asked


@pytest.mark.parametrize(
    ("seconds", "lap_seconds", "rounds"), [(0.0, 0.0, 1), (12.0, 0.0, 1), (20.0, 0.0, 4), (20.0, 0.3, 1), (1e6, 0.3, 5)]
)
def test_the_rounds_of_a_setting_stay_within_its_share_of_time(seconds: float, lap_seconds: float, rounds: int) -> None:
    (cell,) = tiny().cells()
    sampler = Sampler()
    measure_in_rounds([Setting(cell, "a", seconds, lap_seconds)], sampler, np.random.default_rng(0))
    assert len(sampler.asked) == rounds
    fixed = PROCESS_SECONDS + FIXED_LAPS * lap_seconds
    if fixed <= SHARE * seconds:
        assert sum(timed + fixed for _, _, timed, _ in sampler.asked) == pytest.approx(SHARE * seconds)
    else:
        assert [timed for _, _, timed, _ in sampler.asked] == [0.0] * rounds
    assert [tested for *_, tested in sampler.asked] == [True] + [False] * (rounds - 1)


def test_more_rounds_are_taken_where_they_are_asked_for() -> None:
    sampler = Sampler()
    measure_in_rounds(settings(0.0), sampler, np.random.default_rng(0), least_rounds=3)
    assert sampler.algorithms.count("maml") == 3


def test_what_fails_is_not_tried_again_and_the_others_go_on() -> None:
    failure = Failure("timeout", "over the time limit")
    sampler = Sampler(lambda cell: failure if cell.algorithm == "reptile" else a_round())
    measured = measure_in_rounds(settings(0.0), sampler, np.random.default_rng(0), rounds=3)
    assert measured[2] == failure
    assert sampler.algorithms.count("reptile") == 1
    assert [len(one) for one in measured if isinstance(one, list)] == [3, 3, 3]
