"""Experiments on disk whose numbers are made up, written through the real store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.protocol.outcome import Outcome
from bench.spec.grid import Cell
from bench.store.cost_file import CostRow, Costs, Machine, Measurement, setting_digest, write_costs
from bench.store.store import Failure, Store
from tests.bench.cost.helpers import a_round
from tests.bench.helpers import GLYPHS, SINUSOID, tiny

N_QUERY = 75
NO_CHANGES: Mapping[str, Mapping[str, Any]] = {}
MEASURED: Mapping[str, float] = {
    "train_seconds": 10.0,
    "adapt_ms": 2.0,
    "peak_mib": 500.0,
    "peak_rise_mib": 100.0,
    "tasks_per_second": 50.0,
    "train_episodes": 2000,
    "outer_steps": 500,
}


def write(
    folder: Path,
    accuracy: Mapping[str, float],
    *,
    datasets: Sequence[Mapping[str, Any]] = (GLYPHS,),
    seeds: Sequence[int] = (0, 1, 2),
    episodes: int = 60,
    sd_seed: float = 0.01,
    failed: Mapping[tuple[str, int], str] | None = None,
    absent: Sequence[tuple[str, int]] = (),
    measured: Mapping[str, Mapping[str, float]] | None = None,
    digests: Mapping[str, str] | None = None,
    numerics: Mapping[str, Mapping[str, int]] | None = None,
    cost: Mapping[str, Mapping[str, Any]] | None = NO_CHANGES,
) -> Path:
    """An experiment in which each algorithm has about that accuracy (on sinusoids: squared error).

    Args:
        folder: of the experiment.
        accuracy: by algorithm.
        datasets: as in a grid.
        seeds: of the cells.
        episodes: in the test list.
        sd_seed: between seeds.
        failed: (algorithm, seed) and how it ended.
        absent: (algorithm, seed) that was never run.
        measured: by algorithm, what replaces ``MEASURED``.
        digests: by algorithm, of the test episodes.
        numerics: by algorithm, the versions of the numerics.
        cost: as in ``write_cost``; None for an experiment of which no cost was measured.
    """
    store = Store(folder)
    store.create()
    for cell in tiny(algorithms=list(accuracy), datasets=[dict(use) for use in datasets], seeds=list(seeds)).cells():
        key = (cell.algorithm, cell.seed)
        if key in absent:
            continue
        if failed and key in failed:
            store.write_failure(cell, Failure(failed[key], "made to fail"))  # type: ignore[arg-type]
            continue
        digest = (digests or {}).get(cell.algorithm, "the same")
        table = _episodes(cell, accuracy[cell.algorithm], episodes, sd_seed)
        curve = pd.DataFrame({"outer_step": [1], "train_loss": [1.0]})
        summary = {**MEASURED, **(measured or {}).get(cell.algorithm, {})}
        outcome = Outcome(
            summary,
            {"test": digest, "dataset": "made up"},
            table,
            curve,
            {},
            (numerics or {}).get(cell.algorithm, {"protocol": 1}),
        )
        store.write_result(cell, outcome, {"summary": {}, "environment": {}})
    if cost is not None:
        write_cost(folder, cost)
    return folder


def write_cost(folder: Path, changes: Mapping[str, Mapping[str, Any]] = NO_CHANGES) -> None:
    """Store a made-up cost of every finished setting of an experiment.

    Args:
        folder: of the experiment.
        changes: by algorithm, what differs from ``tests.bench.cost.helpers.QUIET``.
    """
    store = Store(folder)
    rows = {}
    for cell in store.finished_cells():
        setting = setting_digest(json.dumps(cell.setting, sort_keys=True, separators=(",", ":")))
        rounds = [a_round(**changes.get(cell.algorithm, {}))] * 2
        names = {"algorithm": cell.algorithm, "dataset": cell.dataset, "shape": cell.shape}
        rows[setting] = CostRow.model_validate({**names, "setting": setting, "rounds": rounds})
    machine = Machine(processor="made up", cpus=2, gpus=[], torch=None)
    measurement = Measurement(command="", time="", order_seed=0, machine=machine, rows=list(rows.values()))
    write_costs(store, Costs(measurements=[measurement]))


def _episodes(cell: Cell, mean: float, episodes: int, sd_seed: float) -> pd.DataFrame:
    common = np.random.default_rng(0)
    hard = 0.1 * common.normal(size=episodes)
    classes = common.random((episodes, 20)).argpartition(cell.n_way, axis=1)[:, : cell.n_way]
    own = np.random.default_rng([cell.seed, *cell.algorithm.encode()])
    values = mean + sd_seed * own.normal() + hard + 0.03 * own.normal(size=episodes)
    frames = []
    for step in (0, 1):
        right = np.clip(np.round(N_QUERY * (values if step else values * 0 + 0.3)), 0, N_QUERY).astype(int)
        columns: dict[str, Any] = {"episode": np.arange(episodes), "step": step}
        columns |= {"class_ids": list(classes), "n_query": N_QUERY}
        if cell.entry.kind == "regression":
            columns |= {"mse": np.abs(values)}
        else:
            for mode, less in (("transductive", 0), ("inductive", 2)):
                columns |= {f"n_correct_{mode}": np.maximum(right - less, 0), f"nll_{mode}": 1.5 - values}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True).sort_values(["episode", "step"], ignore_index=True)


__all__ = ["GLYPHS", "SINUSOID", "write", "write_cost"]
