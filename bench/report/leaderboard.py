"""The leaderboard: a row per algorithm, dataset and shape, from the per-episode results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.stats import Interval, crossed_interval, jackknife_interval
from bench.store import Store
from datasets import DATASETS, UserError

COSTS = {
    "train_seconds": "train_seconds",
    "adapt_ms": "adapt_ms",
    "peak_mib": "peak_mib",
    "peak_rise_mib": "peak_rise_mib",
    "tasks_per_second": "tasks_per_second",
}
GROUP = ["dataset", "shape", "algorithm"]


def leaderboard(store: Store) -> pd.DataFrame:
    """A row per dataset, shape and algorithm, best first within each shape.

    Columns: ``metric`` (``accuracy_transductive``, ``accuracy_inductive`` in [0, 1], or ``mse``) gives
    ``<metric>``, and ``<metric>_low/_high`` (95%, these classes), ``<metric>_new_low/_new_high`` (95%, new classes);
    then ``seeds`` finished, ``failed`` cells, and medians over seeds of ``train_seconds``, ``adapt_ms``, ``peak_mib``,
    ``peak_rise_mib`` and ``tasks_per_second``. Algorithms of which no cell finished have NaN.

    Raises:
        UserError: there is no cell, two cells of one dataset and shape were tested on different episodes, or two of one
            algorithm and seed have different specifications.
    """
    rows = store.rows()
    if rows.empty:
        raise UserError(f"{store.root} holds no finished cells yet; `python -m bench run` continues where it stopped")
    _one_specification(rows)
    _same_episodes(rows)
    episodes = store.episodes()
    lines = []
    for (dataset, shape, algorithm), cells in rows.groupby(GROUP, sort=False):
        finished = cells[cells["status"] == "ok"]
        line = {"dataset": dataset, "shape": shape, "algorithm": algorithm}
        line |= {"seeds": len(finished), "failed": len(cells) - len(finished)}
        if len(finished):
            line |= _metrics(episodes[episodes["cell"].isin(finished["cell"])])
            line |= {name: float(finished[column].median()) for name, column in COSTS.items()}
        lines.append(line)
    table = pd.DataFrame(lines)
    return _ordered(table)


def _one_specification(rows: pd.DataFrame) -> None:
    finished = rows[rows["status"] == "ok"]
    repeated = finished[finished.duplicated([*GROUP, "seed"], keep=False)]
    if len(repeated):
        dataset, shape, algorithm = repeated[GROUP].iloc[0]
        names = ", ".join(repeated["cell"].iloc[:2])
        raise UserError(
            f"{algorithm} ran on {dataset} {shape} with the same seed under different specifications: {names}; "
            "move those that do not belong together out of the folder, or use another --out"
        )


def _same_episodes(rows: pd.DataFrame) -> None:
    if "digest.test" not in rows:
        return
    for (dataset, shape), cells in rows[rows["status"] == "ok"].groupby(["dataset", "shape"]):
        if cells["digest.test"].nunique() > 1:
            names = ", ".join(cells.drop_duplicates("digest.test")["cell"])
            raise UserError(
                f"cells of {dataset} {shape} were tested on different episodes and cannot be compared: {names}; "
                "move those that do not belong here out of the folder"
            )


def _metrics(episodes: pd.DataFrame) -> dict[str, float]:
    """Means and intervals after the last inner step of one algorithm on one dataset and shape."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    found: dict[str, float] = {}
    for name, values in _values(last):
        table = last.assign(value=values).pivot(index="seed", columns="episode", values="value")
        matrix = table.to_numpy(dtype=float)
        these = crossed_interval(matrix)
        found |= {name: these.mean, f"{name}_low": these.low, f"{name}_high": these.high}
        if name != "mse":
            one_seed = last.drop_duplicates("episode").sort_values("episode")
            classes = np.stack([np.asarray(ids) for ids in one_seed["class_ids"]])
            new: Interval = jackknife_interval(matrix.mean(axis=0), classes)
            found |= {f"{name}_new_low": new.low, f"{name}_new_high": new.high}
    return found


def _values(last: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    if "n_correct_transductive" in last and bool(last["n_correct_transductive"].notna().any()):
        for mode in ("transductive", "inductive"):
            yield f"accuracy_{mode}", last[f"n_correct_{mode}"] / last["n_query"]
    else:
        yield "mse", last["mse"]


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """By the registry's order of datasets, then shape, then best first; algorithms without a result last."""
    order = {name: place for place, name in enumerate(dict.fromkeys([*DATASETS.names(), *table["dataset"]]))}
    score = pd.Series(np.nan, index=table.index)
    for column, sign in (("accuracy_transductive", 1.0), ("mse", -1.0)):
        if column in table:
            score = score.fillna(sign * table[column])
    keys = table.assign(_dataset=table["dataset"].map(order).fillna(len(order)), _score=score)
    keys = keys.sort_values(["_dataset", "shape", "_score"], ascending=[True, True, False], na_position="last")
    return keys.drop(columns=["_dataset", "_score"]).reset_index(drop=True)
