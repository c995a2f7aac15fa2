"""Costs as numbers: intervals over rounds, and signs of a machine that was not quiet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.analysis.costs import busy_signs, cost_table, with_costs
from bench.cost.measure import Limits, measure_costs
from bench.stats.repeated import median_of_rounds
from bench.store.store import Store
from tests.bench.cost.helpers import Sampler, a_round
from tests.bench.stats.stores import write


def uncosted(folder: Path, accuracy: Mapping[str, float], **options: Any) -> Path:
    """A made-up experiment of which no cost was measured."""
    return write(folder, accuracy, cost=None, **options)


def test_the_interval_is_of_rounds_and_not_of_repetitions() -> None:
    rounds = [[1.0, 1.0, 4.0], [2.0, 2.0], [4.0]]
    times = median_of_rounds(rounds)
    assert (times.q1, times.median, times.q3) == tuple(np.quantile([1, 1, 4, 2, 2, 4], [0.25, 0.5, 0.75]))
    half = stats.t.ppf(0.975, 2) * np.log(2) / 3**0.5  # the medians' logarithms are 0, log 2 and 2 log 2
    assert (times.low, times.high) == pytest.approx((2 / np.exp(half), 2 * np.exp(half)))
    repeated = median_of_rounds([one * 50 for one in rounds])
    assert (repeated.low, repeated.high) == pytest.approx((times.low, times.high))


def test_one_round_has_no_interval_and_none_no_time() -> None:
    assert np.isnan([median_of_rounds([[1.0]]).low, median_of_rounds([]).median]).all()
    assert median_of_rounds([[1.0]]).median == 1.0


def test_the_interval_covers_the_median_of_other_processes() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(500):
        processes = rng.normal(0.0, 0.03, 5)
        times = median_of_rounds([np.exp(0.7 + own + rng.normal(0.0, 0.01, 5)).tolist() for own in processes])
        hits += times.low <= np.exp(0.7) <= times.high
    assert 0.92 < hits / 500 < 0.98


@pytest.mark.parametrize(
    ("rounds", "signs"),
    [
        ([{}, {}], []),
        ([{}, {"outer_step_seconds": [0.0131]}], []),
        ([{}, {"outer_step_seconds": [0.0165]}], ["rounds differ by 50%"]),
        ([{}, {"timed_seconds": 0.062}], ["waited 24% of the time for a processor"]),
        ([{"device_mib": 5.0}, {"timed_seconds": 0.062, "device_mib": 5.0}], []),
        ([{"busy_elsewhere": 0.4}, {"busy_elsewhere": 0.8}], ["other processes kept 0.6 processors busy"]),
        ([{"busy_elsewhere": 2.0, "cpus": 64}], []),
        ([], []),
    ],
)
def test_a_machine_that_was_not_quiet_shows_it(rounds: list[dict[str, object]], signs: list[str]) -> None:
    assert list(busy_signs([a_round(**changes) for changes in rounds])) == signs


def test_cells_have_the_cost_of_their_setting(out: Path) -> None:
    store = Store(uncosted(out, {"maml": 0.8, "reptile": 0.6}, seeds=(0, 1)))
    rows = with_costs(store.rows(), store)
    assert set(rows["cost_missing"]) == {"their cost was not measured"}
    assert cost_table(store).empty
    steps = {"maml": 0.010, "reptile": 0.030}
    sampler = Sampler(lambda cell: a_round(outer_step_seconds=[steps[cell.algorithm]]))
    measure_costs(store, Limits(Path("/nowhere")), sample=sampler)
    rows = with_costs(store.rows(), store)
    assert len(rows) == 4
    assert rows.groupby("algorithm")["cost_step_ms"].unique().explode().to_dict() == {"maml": 10.0, "reptile": 30.0}
    assert set(rows["cost_missing"]) == {""}
    (out / "cost.json").write_text("{")
    assert set(with_costs(store.rows(), store)["cost_missing"]) == {"cost.json is damaged: cost.json is not JSON"}
