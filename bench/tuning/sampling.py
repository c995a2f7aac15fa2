"""Optuna's samplers and pruners as this project sets them, and how a trial draws hyper-parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from algorithms.core.hyperparameters import Choice, Range
from bench.tuning.spec import Plan
from datasets import UserError

STARTUP = 5  # trials that train to the end before the median pruner ends any


def sampler(plan: Plan, slot: int) -> BaseSampler:
    """The sampler of the trial that takes that slot of the budget, counted from 0.

    It is seeded by the study's seed and that number, so that a study that was interrupted draws on as it would have,
    and workers that share one do not draw the same.
    """
    text = f"{plan.study_name}/{plan.cell.seed}/{slot}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") % 2**31
    if plan.method.sampler == "random":
        return RandomSampler(seed=seed)
    if plan.method.sampler == "gp":
        return GPSampler(seed=seed, warn_independent_sampling=False)
    if plan.method.sampler == "cmaes":
        try:
            import cmaes  # noqa: F401  # CmaEsSampler needs it
        except ImportError:
            raise UserError("'cmaes' needs the package cmaes; `uv sync` installs it", "sampler") from None
        return CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return TPESampler(seed=seed)


def pruner(plan: Plan) -> BasePruner:
    """The pruner; its steps are measurements on the validation episodes."""
    if plan.method.pruner == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=plan.measurements or "auto", reduction_factor=3)
    if plan.method.pruner == "median":
        return MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1)
    return NopPruner()


def draw(trial: optuna.Trial, plan: Plan) -> dict[str, Any]:
    """Values for what is searched, conditions being looked at in the order of declaration."""
    values: dict[str, Any] = {}
    for name, values_of in plan.space.items():
        settings: Mapping[str, Any] = plan.cell.hparams | values
        if values_of.when is None or values_of.when.holds(settings):
            values[name] = _value(trial, name, values_of)
    return values


def defaults(plan: Plan) -> dict[str, Any]:
    """The grid's own values of what is searched, for the first trial; those that a range excludes are drawn."""
    settings = plan.cell.hparams
    active = {
        name: allowed for name, allowed in plan.space.items() if allowed.when is None or allowed.when.holds(settings)
    }
    return {name: settings[name] for name, allowed in active.items() if _within(settings[name], allowed)}


def _within(value: Any, allowed: Range | Choice) -> bool:
    if isinstance(allowed, Choice):
        return value in allowed.options
    return value is not None and allowed.low <= value <= allowed.high


def _value(trial: optuna.Trial, name: str, allowed: Range | Choice) -> Any:
    if isinstance(allowed, Choice):
        return trial.suggest_categorical(name, list(allowed.options))
    if allowed.integer:
        return trial.suggest_int(name, int(allowed.low), int(allowed.high), log=allowed.log)
    return trial.suggest_float(name, allowed.low, allowed.high, log=allowed.log)
