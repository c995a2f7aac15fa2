"""The leaderboard: a row per algorithm, dataset and shape, from the per-episode results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.bounds import bound_of
from bench.analysis.ranks import rank_rows
from bench.analysis.scores import comparable
from bench.stats import crossed, new_classes
from bench.store.store import UNKNOWN, Store
from datasets import DATASETS

COSTS = {
    "train_seconds": "train_seconds",
    "adapt_ms": "adapt_ms",
    "peak_mib": "peak_mib",
    "peak_rise_mib": "peak_rise_mib",
    "tasks_per_second": "tasks_per_second",
}
GROUP = ["dataset", "shape", "algorithm"]
SAYS_NOTHING = ("skipped", "newer", "unknown", "damaged")  # statuses that say nothing about the algorithm


def leaderboard(store: Store) -> pd.DataFrame:
    """A row per dataset, shape and algorithm, best first within each shape, bounds behind the contenders; an algorithm
    with several settings has a row for each (see ``bench.store.settings.together``).

    Columns: ``metric`` (``accuracy_transductive``, ``accuracy_inductive`` in [0, 1], or ``mse``) gives
    ``<metric>``, and ``<metric>_low/_high`` (95%, these classes), ``<metric>_new_low/_new_high`` (95%, new classes);
    then ``bound`` (``floor``, ``ceiling`` or empty), ``seeds`` finished, ``failed`` cells, and medians over seeds of
    ``train_seconds``, ``adapt_ms``, ``peak_mib``, ``peak_rise_mib`` and ``tasks_per_second``. Algorithms of which no
    cell finished have NaN.

    ``rank``, ``rank_low``, ``rank_high``, ``p_rank_1`` (see ``bench.stats.rank_table``) and ``iqm`` are of
    transductive accuracy or of the squared error. ``scope`` says whether the intervals speak of new training runs or,
    with fewer than three seeds, of these checkpoints. Means are over finished cells; where some ended otherwise,
    ``<metric>_at_chance`` is the mean with those at chance level (NaN for squared errors, which have none).

    Raises:
        UserError: cells of one dataset and shape cannot be compared; see ``bench.analysis.scores.check_comparable``.
    """
    return board_of(*comparable(store))


def board_of(rows: pd.DataFrame, episodes: pd.DataFrame) -> pd.DataFrame:
    """The same from a row per cell and the per-episode rows, of comparable cells."""
    lines = []
    known = rows[rows["shape"] != UNKNOWN["shape"]]
    for (dataset, shape, algorithm), cells in known.groupby(GROUP, sort=False):
        finished = cells[cells["status"] == "ok"]
        line = {"dataset": dataset, "shape": shape, "algorithm": algorithm}
        line |= {"bound": bound_of(str(algorithm)) or "", "seeds": len(finished), "failed": len(cells) - len(finished)}
        if len(finished):
            line |= _metrics(episodes[episodes["cell"].isin(finished["cell"])])
        line |= _at_chance(line, cells)
        if len(finished):
            line |= {name: float(finished[column].median()) for name, column in COSTS.items()}
        lines.append(line)
    table = pd.DataFrame(lines, columns=None if lines else [*GROUP, "bound", "seeds", "failed"])
    ranks = rank_rows(episodes)
    return _ordered(table.merge(ranks, on=GROUP, how="left") if len(ranks) else table)


def _at_chance(line: dict[str, Any], cells: pd.DataFrame) -> dict[str, float]:
    """Means in which every cell that was run and gave no result counts as guessing."""
    failed = int((~cells["status"].isin(["ok", *SAYS_NOTHING])).sum())
    n_way, seeds = int(cells["n_way"].iloc[0]), line["seeds"]
    if not failed or n_way < 2:
        return {}
    means = {name: line.get(name, 0.0) for name in ("accuracy_transductive", "accuracy_inductive")}
    return {f"{name}_at_chance": (mean * seeds + failed / n_way) / (seeds + failed) for name, mean in means.items()}


def _metrics(episodes: pd.DataFrame) -> dict[str, Any]:
    """Means and intervals after the last inner step of one algorithm on one dataset and shape."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    found: dict[str, Any] = {}
    for name, values in _values(last):
        table = last.assign(value=values).pivot(index="seed", columns="episode", values="value")
        matrix = table.to_numpy(dtype=float)
        estimate = crossed(matrix)
        these = estimate.interval()
        found |= {"scope": estimate.scope, name: these.mean, f"{name}_low": these.low, f"{name}_high": these.high}
        if name != "mse":
            one_seed = last.drop_duplicates("episode").sort_values("episode")
            classes = np.stack([np.asarray(ids) for ids in one_seed["class_ids"]])
            new = new_classes(matrix, classes).interval()
            found |= {f"{name}_new_low": new.low, f"{name}_new_high": new.high}
    return found


def _values(last: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    if "n_correct_transductive" in last and bool(last["n_correct_transductive"].notna().any()):
        for mode in ("transductive", "inductive"):
            yield f"accuracy_{mode}", last[f"n_correct_{mode}"] / last["n_query"]
    else:
        yield "mse", last["mse"]


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """By the registry's order of datasets, then shape, then best first; then bounds, algorithms without a
    result last in both."""
    order = {name: place for place, name in enumerate(dict.fromkeys([*DATASETS.names(), *table["dataset"]]))}
    score = pd.Series(np.nan, index=table.index)
    for column, sign in (("accuracy_transductive", 1.0), ("mse", -1.0)):
        if column in table:
            score = score.fillna(sign * table[column])
    shapes = sorted(set(table["shape"]), key=lambda shape: [int(n) for n in re.findall(r"\d+", shape)] or [0])
    places = {shape: place for place, shape in enumerate(shapes)}  # 5-way before 20-way
    keys = table.assign(_dataset=table["dataset"].map(order).fillna(len(order)), _shape=table["shape"].map(places))
    keys = keys.assign(_score=score, _bound=table["bound"] != "").sort_values(
        ["_dataset", "_shape", "_bound", "_score"], ascending=[True, True, True, False], na_position="last"
    )
    return keys.drop(columns=["_dataset", "_shape", "_bound", "_score"]).reset_index(drop=True)
