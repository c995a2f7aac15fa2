"""The results of a search and of its re-runs as data frames."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from bench.analysis.scores import Scores, check_comparable, read_scores
from bench.stats import difference, expected_best, holm, sign_flip
from bench.store.store import Store
from bench.tuning.ledger import MESSAGE, SECONDS, STATUS, VALIDATION, read
from bench.tuning.search import DEFAULT, REPORTED, WINNER, default_won, selected, spent, winner
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
    """Return a row per study: its budget, its selected values, and the seconds of one training run."""
    lines = []
    for opened in done:
        study, plan = opened.study(), opened.plan
        best = selected(study)
        assert best is not None
        lines.append(
            {
                **named(plan),
                "metric": plan.metric,
                **spent(read(study)).model_dump(),
                "validation": best.values[0],
                "selected_trial": best.number,
                "train_seconds": best.user_attrs["train_seconds"],
                "default_won": default_won(opened),
                "values": ", ".join(f"{name}={_short(value)}" for name, value in best.params.items()),
            }
        )
    return pd.DataFrame(lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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


def default_and_tuned(done: Sequence[Opened], out: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Return ``tuned`` minus ``default``, paired, for each study with results of both on fresh seeds.

    Where the default won there is nothing to compare, and no row.

    Intervals and p-values are those of ``bench compare``, adjusted by Holm's method over the rows.
    """
    done = [opened for opened in done if not default_won(opened)]
    stores = {name: Store(out / REPORTED / name) for name in (DEFAULT, WINNER)}
    if not all(store.cells.is_dir() for store in stores.values()):
        return pd.DataFrame()
    tables = {name: _of_these_studies(store, name, done) for name, store in stores.items()}
    rows = pd.concat([rows for rows, _ in tables.values()], ignore_index=True)
    episodes = pd.concat([episodes for _, episodes in tables.values()], ignore_index=True)
    if not len(episodes):
        return pd.DataFrame()
    check_comparable(rows)
    lines = [line for scores in read_scores(episodes) for line in _pairs(scores, done, rng)]
    table = pd.DataFrame(lines)
    return table.assign(p_adjusted=holm(table["p"].to_numpy())) if len(table) else table


def _of_these_studies(store: Store, name: str, done: Sequence[Opened]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and episodes of the cells that are these studies' defaults or winners; algorithms get ``name`` behind."""
    rows, episodes = store.rows(), store.episodes()
    wanted = set()
    for opened in done:
        cell = opened.plan.cell if name == DEFAULT else winner(opened) or opened.plan.cell
        wanted |= {cell.model_copy(update={"seed": int(seed)}).id for seed in rows["seed"].unique()}
    chosen = [frame[frame["cell"].isin(wanted)] if len(frame) else frame for frame in (rows, episodes)]
    first, second = (
        frame.assign(algorithm=frame["algorithm"] + f" {name}") if len(frame) else frame for frame in chosen
    )
    return first, second


def _pairs(scores: Scores, done: Sequence[Opened], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for algorithm in dict.fromkeys(opened.plan.cell.algorithm for opened in done):
        tables = [scores.values.get(f"{algorithm} {name}") for name in (WINNER, DEFAULT)]
        if tables[0] is None or tables[1] is None:
            continue
        seeds = tables[0].index.intersection(tables[1].index)
        if not len(seeds):
            continue
        tuned, default = (table.loc[seeds].to_numpy(dtype=float) for table in tables if table is not None)
        effect = difference(tuned, default)
        interval = effect.interval()
        new_runs = effect.scope == "new training runs"
        yield {
            "algorithm": algorithm,
            "dataset": scores.dataset,
            "shape": scores.shape,
            "metric": scores.metric,
            "seeds": " ".join(str(seed) for seed in seeds),
            "default": default.mean(),
            "tuned": tuned.mean(),
            "difference": effect.mean,
            "low": interval.low,
            "high": interval.high,
            "scope": effect.scope,
            "p": effect.p_value() if new_runs else sign_flip((tuned - default).mean(axis=0), rng),
        }
