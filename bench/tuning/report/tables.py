"""The studies of a search as data frames."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from algorithms.core.hyperparameters import Choice, Range
from bench.stats import expected_best
from bench.tuning.ledger import MESSAGE, SECONDS, STATUS, VALIDATION, read
from bench.tuning.search import default_trial, default_won, selected, spent
from bench.tuning.spec import Plan
from bench.tuning.study import Opened

NAMES = ["algorithm", "dataset", "shape"]


def named(plan: Plan) -> dict[str, Any]:
    """Return the columns that name a study in every table."""
    return {"algorithm": plan.cell.algorithm, "dataset": plan.cell.dataset, "shape": plan.shape}


def value_of(trial: FrozenTrial) -> float:
    """Return the validation value of the trial's selected meta-state; NaN for a trial without one."""
    return float(trial.user_attrs.get(VALIDATION, float("nan")))


def trials(done: Sequence[Opened]) -> pd.DataFrame:
    """Return a row per attempt at a trial, by study and number."""
    lines = []
    for opened in done:
        ledger = read(opened.study())
        again = ledger.repeated
        for trial in ledger.trials:
            attrs = trial.user_attrs
            line = named(opened.plan) | {
                "trial": trial.number,
                "status": "repeated" if trial.number in again else attrs.get(STATUS, trial.state.name.lower()),
                "validation": value_of(trial),
            }
            line |= {name: attrs.get(name) for name in ("episodes", SECONDS, "train_seconds", "adapt_ms", "peak_mib")}
            lines.append(line | {f"hparam.{name}": value for name, value in trial.params.items()} | _message(attrs))
    return pd.DataFrame(lines)


def _message(attrs: dict[str, Any]) -> dict[str, str]:
    return {MESSAGE: attrs.get(MESSAGE, "")}


def studies(done: Sequence[Opened]) -> pd.DataFrame:
    """Return a row per study: its budget, its selected values, and the seconds of the selected trial.

    ``default_validation`` is the validation value of the grid's own settings; NaN where their trial did not end well.
    """
    lines = []
    for opened in done:
        study, plan = opened.study(), opened.plan
        best, default = selected(study), default_trial(opened)
        assert best is not None
        lines.append(
            {
                **named(plan),
                "metric": plan.metric,
                **spent(read(study)).model_dump(),
                "default_validation": float("nan") if default is None else default.values[0],
                "validation": best.values[0],
                "selected_trial": best.number,
                "selected_seconds": best.user_attrs[SECONDS],
                "default_won": default_won(opened),
                "values": ", ".join(f"{name}={_short(value)}" for name, value in best.params.items()),
            }
        )
    return pd.DataFrame(lines)


def values(done: Sequence[Opened]) -> pd.DataFrame:
    """Return a row per study and searched hyper-parameter, as text: what was searched, the default, and what won.

    ``selected`` is empty for a hyper-parameter whose condition does not hold in the selected trial.
    """
    lines = []
    for opened in done:
        plan, best = opened.plan, selected(opened.study())
        assert best is not None
        for name, allowed in plan.space.items():
            chosen = _short(best.params[name]) if name in best.params else ""
            texts = {"searched": _space_of(allowed), "default": _short(plan.cell.hparams[name]), "selected": chosen}
            lines.append({**named(plan), "hyper-parameter": name, **texts})
    return pd.DataFrame(lines)


def _space_of(allowed: Range | Choice) -> str:
    if isinstance(allowed, Choice):
        return ", ".join(map(_short, allowed.options))
    return f"{_short(allowed.low)} to {_short(allowed.high)}{', log scale' if allowed.log else ''}"


def _short(value: Any) -> str:
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def searches(done: Sequence[Opened]) -> pd.DataFrame:
    """Return a row per study and number of trials: the best so far, and the expected best of so many trials.

    A trial that ended without a value counts as the worst value of its study, for it used up its place.
    """
    frames = []
    for opened in done:
        drawn = np.array([value_of(trial) for trial in read(opened.study()).slots if trial.state.is_finished()])
        up = opened.plan.metric != "mse"
        known = drawn[np.isfinite(drawn)]
        values = np.where(np.isfinite(drawn), drawn, known.min() if up else known.max())
        best = np.maximum.accumulate(values) if up else np.minimum.accumulate(values)
        columns = {"trials": np.arange(1, len(values) + 1), "value": drawn, "best": best}
        frames.append(pd.DataFrame({**named(opened.plan), **columns, "expected_best": expected_best(values, up)}))
    return pd.concat(frames, ignore_index=True)


def importances(done: Sequence[Opened]) -> pd.DataFrame:
    """Return a row per study and hyper-parameter: its share of the variance of the values of the complete trials.

    Hutter, Hoos and Leyton-Brown 2014 (fANOVA, with a random forest of a fixed seed). Studies with too few complete
    trials, or whose values do not vary, have no rows.
    """
    lines = []
    for opened in done:
        study = opened.study()
        values = [t.values[0] for t in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])]
        if len(values) < 4 or len(set(values)) < 2:
            continue
        for name, share in _shares(study).items():
            lines.append({**named(opened.plan), "hyper-parameter": name, "importance": share})
    return pd.DataFrame(lines, columns=[*NAMES, "hyper-parameter", "importance"])


def _shares(study: optuna.Study) -> dict[str, float]:
    evaluator = FanovaImportanceEvaluator(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return get_param_importances(study, evaluator=evaluator, target=lambda trial: float(trial.values[0]))
        except RuntimeError:  # the forest sees no variance
            return {}
