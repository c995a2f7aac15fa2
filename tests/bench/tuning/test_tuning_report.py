"""Tables and figures of a search, from trials put into a storage by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from bench.stats import expected_best
from bench.tuning.report.figures import front
from bench.tuning.report.tables import importances, searches, studies, trials
from bench.tuning.report.write import write_tuning_report
from bench.tuning.study import Opened, open_study
from tests.bench.helpers import GLYPHS
from tests.bench.tuning.helpers import QUICK, plan_of, sqlite

VALUES = [0.5, 0.8, None, 0.6, 0.9, 0.7]


def trial(value: float | None, number: int, state: TrialState, **system: Any) -> optuna.trial.FrozenTrial:
    kinds = {TrialState.COMPLETE: "ok", TrialState.PRUNED: "pruned", TrialState.FAIL: "error"}
    attrs: dict[str, Any] = {"status": kinds[state], "episodes": 10, "seconds": 2.0, "train_seconds": 1.0}
    attrs |= {"adapt_ms": 1.0 + number, "peak_mib": 100.0}
    if value is not None:
        attrs["validation"] = value
    return optuna.create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params={"inner_lr": 0.01 * (number + 1), "train_steps": 1 + number % 3},
        distributions={"inner_lr": FloatDistribution(0.001, 2.0, log=True), "train_steps": IntDistribution(1, 5)},
        user_attrs=attrs,
        system_attrs=system,
    )


@pytest.fixture
def filled(out: Path) -> Iterator[Opened]:
    """Six slots: four complete trials, one pruned, one failed; the failed one was repeated once."""
    with open_study(plan_of(QUICK, datasets=[dict(GLYPHS)]), sqlite(out)) as opened:
        study = opened.study()
        for number, value in enumerate(VALUES):
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            study.add_trial(trial(value, number, TrialState.PRUNED if number == 3 else state))
        study.add_trial(trial(None, 2, TrialState.FAIL, failed_trial=2, retry_history=[2]))
        yield opened


def test_a_failed_trial_counts_as_the_worst_and_a_repeated_one_once(filled: Opened) -> None:
    table = searches([filled])
    values = [0.5, 0.8, 0.5, 0.6, 0.9, 0.7]
    assert table["trials"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["best"].tolist() == [0.5, 0.8, 0.8, 0.8, 0.9, 0.9]
    np.testing.assert_allclose(table["expected_best"], expected_best(np.array(values)))
    assert table["value"].isna().tolist() == [False, False, True, False, False, False]


def test_every_attempt_is_paid_for(filled: Opened) -> None:
    (row,) = studies([filled]).to_dict("records")
    counts = {name: row[name] for name in ("trials", "complete", "pruned", "failed", "repeated")}
    assert counts == {"trials": 6, "complete": 4, "pruned": 1, "failed": 1, "repeated": 1}
    assert (row["episodes"], row["seconds"]) == (70, 14.0)
    assert (row["selected_trial"], row["validation"]) == (4, 0.9)
    assert trials([filled])["status"].tolist() == ["ok", "ok", "repeated", "pruned", "ok", "ok", "error"]


def test_importances_are_shares_and_the_same_again(filled: Opened) -> None:
    table = importances([filled])
    assert set(table["hyper-parameter"]) == {"inner_lr", "train_steps"}
    assert table["importance"].sum() == pytest.approx(1.0)
    pd.testing.assert_frame_equal(table, importances([filled]))


def test_the_report_gives_the_same_bytes_again(filled: Opened, tmp_path: Path) -> None:
    pages = [write_tuning_report([filled], tmp_path / name) for name in ("one", "two")]
    first, second = ({path.name: path.read_bytes() for path in page.parent.iterdir()} for page in pages)
    assert first == second
    assert {"tuning.md", "expected_best.svg", "importance.png", "slices--maml--glyphs-3-way-1-shot.pdf"} <= set(first)
    page = first["tuning.md"].decode()
    assert "| maml | glyphs 3-way 1-shot, % | 90.0 | 6 | 4 | 1 | 1 | 1 | inner\\_lr=0.05, train\\_steps=2 |" in page
    assert "not yet reported on others" in page


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_is_what_no_other_trial_beats(higher: bool) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"validation": rng.integers(0, 12, 40) / 10, "adapt_ms": rng.integers(1, 12, 40) * 1.0})
    sign = 1 if higher else -1
    points = {(row.adapt_ms, row.validation) for row in rows.itertuples()}
    brute = {
        (cost, value)
        for cost, value in points
        if not any(c <= cost and sign * v >= sign * value and (c, v) != (cost, value) for c, v in points)
    }
    found = front(rows, "adapt_ms", higher)
    assert set(zip(found["adapt_ms"], found["validation"], strict=True)) == brute
    assert found["adapt_ms"].is_monotonic_increasing
