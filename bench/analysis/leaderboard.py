"""The leaderboard: a row per algorithm, dataset and shape, from the per-episode results."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from algorithms.core.modes import MODES
from bench.analysis.bounds import bound_of
from bench.analysis.costs import PREFIX, TEXTS
from bench.analysis.ranks import overall_score, rank_rows
from bench.analysis.scores import WITHOUT_CLASSES, Scores, comparable, read_scores
from bench.stats import crossed, new_classes
from bench.store.records import EXTERNAL, UNREADABLE
from bench.store.settings import BY_ALGORITHM
from bench.store.store import UNKNOWN, Store
from datasets import DATASETS

OWN_COSTS = ("train_seconds", "adapt_ms", "peak_mib", "peak_rise_mib", "tasks_per_second")
TOLD = ("told_train_seconds", "told_adapt_ms", "told_memory_mib")
INCONCLUSIVE = ("skipped", *UNREADABLE)  # statuses that say nothing about the algorithm


def leaderboard(store: Store) -> pd.DataFrame:
    """Return a row per dataset, shape and algorithm, best first within each shape, bounds behind the contenders.

    An algorithm with several settings has a row for each (see ``bench.store.settings.together``).

    Columns: ``metric`` (``accuracy_transductive``, ``accuracy_inductive`` in [0, 1], ``mse`` or ``return``) gives
    ``<metric>``, and ``<metric>_low/_high`` (95%, these classes or tasks), ``<metric>_new_low/_new_high`` (95%, new
    classes); then ``classes`` in the test episodes, ``bound`` (``floor``, ``ceiling`` or empty), ``seeds`` finished,
    ``failed`` cells, and medians over seeds of ``train_seconds``, ``adapt_ms``, ``peak_mib``, ``peak_rise_mib`` and
    ``tasks_per_second``, as the cells themselves took them. What was measured apart from the cells (see
    ``bench.analysis.costs.with_costs``) has names that begin with ``cost_``: ``cost_train_seconds``, which is outer
    steps (the median over seeds) x ``cost_step_ms``, with ``cost_train_low_seconds`` and ``_high_``,
    ``cost_adapt_ms``, ``cost_memory_mib`` and more. Algorithms of which no cell finished have NaN. Where there are
    external results, ``external`` is their source (empty for other rows), and ``told_train_seconds``,
    ``told_adapt_ms`` and ``told_memory_mib`` are what their authors tell.

    ``rank``, ``rank_low``, ``rank_high``, ``p_rank_1`` (see ``bench.stats.rank_table``) and ``iqm`` are of
    transductive accuracy, of the squared error or of the return. ``scope`` says whether the intervals are about new
    training runs or, with fewer than three seeds, about these checkpoints. Means are over finished cells; where some
    ended otherwise,
    ``<metric>_at_chance`` is the mean with those at chance level (NaN for squared errors and returns, which have none).

    Raises:
        UserError: cells of one dataset and shape cannot be compared; see ``bench.analysis.scores.check_comparable``.
    """
    return board_of(*comparable(store))


def modes_agree(part: pd.DataFrame) -> bool:
    """Return whether transductive and inductive accuracies are the same in all rows, as without batch norm.

    Args:
        part: rows of a leaderboard.
    """
    names = [name for name in part if str(name).startswith(f"accuracy_{MODES[0]}")]
    others = (part.get(str(name).replace(MODES[0], MODES[1], 1)) for name in names)
    return bool(names) and all(
        other is not None and part[name].equals(other) for name, other in zip(names, others, strict=True)
    )


def board_of(rows: pd.DataFrame, episodes: pd.DataFrame) -> pd.DataFrame:
    """Return the leaderboard of comparable cells.

    Args:
        rows: a row per cell.
        episodes: a row per finished cell, test episode and inner step.
    """
    scores = list(read_scores(episodes))
    inductive = [part for part in read_scores(episodes, "inductive") if part.metric not in WITHOUT_CLASSES]
    metrics = _metrics([*scores, *inductive])
    lines = []
    known = rows[rows["shape"] != UNKNOWN["shape"]]
    for key, cells in known.groupby(BY_ALGORITHM, sort=False):
        finished = cells[cells["status"] == "ok"]
        dataset, shape, algorithm = key
        line: dict[str, Any] = {"dataset": dataset, "shape": shape, "algorithm": algorithm}
        line |= {"bound": bound_of(str(algorithm)) or "", "seeds": len(finished), "failed": len(cells) - len(finished)}
        line |= metrics.get(key, {})
        line |= _at_chance(line, cells)
        if len(finished):
            line |= {name: float(finished[name].median()) if name in finished else math.nan for name in OWN_COSTS}
            line |= _measured_apart(finished) | _told(finished)
        lines.append(line)
    table = pd.DataFrame(lines, columns=None if lines else [*BY_ALGORITHM, "bound", "seeds", "failed"])
    texts = [name for name in (*TEXTS, EXTERNAL) if name in table]
    table[texts] = table[texts].astype(object).fillna("")
    ranks = rank_rows(scores)
    return _ordered(table.merge(ranks, on=BY_ALGORITHM, how="left") if len(ranks) else table)


def _metrics(scores: Iterable[Scores]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return the board's columns of means and intervals, by dataset, shape and algorithm."""
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for part in scores:
        name = part.metric
        for algorithm in part.values:
            values = part.table(algorithm)
            estimate = crossed(values)
            interval = estimate.interval()
            line = {"scope": estimate.scope, name: interval.mean}
            line |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
            if part.class_ids is not None:
                new = new_classes(values, part.class_ids).interval()
                line |= {f"{name}_new_low": new.low, f"{name}_new_high": new.high, "classes": part.n_classes}
            lines.setdefault((part.dataset, part.shape, algorithm), {}).update(line)
    return lines


def _at_chance(line: dict[str, Any], cells: pd.DataFrame) -> dict[str, float]:
    """Return the means in which every cell that was run and gave no result counts as guessing."""
    failed = int((~cells["status"].isin(["ok", *INCONCLUSIVE])).sum())
    n_way, seeds = int(cells["n_way"].iloc[0]), line["seeds"]
    if not failed or n_way < 2:
        return {}
    means = {name: line.get(name, 0.0) for name in (f"accuracy_{mode}" for mode in MODES)}
    return {f"{name}_at_chance": (mean * seeds + failed / n_way) / (seeds + failed) for name, mean in means.items()}


def _measured_apart(finished: pd.DataFrame) -> dict[str, Any]:
    """Return the measured cost of finished cells of one setting; training takes outer steps x the time of one."""
    columns = [name for name in finished if str(name).startswith(PREFIX)]
    if "cost_step_ms" not in finished:
        return dict(finished[columns].iloc[0])
    measured = finished[finished["cost_step_ms"].notna()]
    line = dict((measured if len(measured) else finished)[columns].iloc[0])
    outer_steps = float(finished["outer_steps"].median()) if "outer_steps" in finished else math.nan
    return line | {
        f"cost_train{end}_seconds": outer_steps * line[f"cost_step{end}_ms"] / 1000 for end in ("", "_low", "_high")
    }


def _told(finished: pd.DataFrame) -> dict[str, Any]:
    """Return the source of external results, and the medians of what their author tells; nothing for others."""
    if EXTERNAL not in finished or not isinstance(source := finished[EXTERNAL].iloc[0], str):
        return {}
    return {EXTERNAL: source} | {name: float(finished[name].median()) for name in TOLD if name in finished}


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Sort by the registry's order of datasets, then shape, then best first, bounds behind, NaN last."""
    order = {name: place for place, name in enumerate(dict.fromkeys([*DATASETS.names(), *table["dataset"]]))}
    shapes = sorted(set(table["shape"]), key=lambda shape: [int(n) for n in re.findall(r"\d+", shape)] or [0])
    places = {shape: place for place, shape in enumerate(shapes)}  # 5-way before 20-way
    keys = table.assign(_dataset=table["dataset"].map(order).fillna(len(order)), _shape=table["shape"].map(places))
    keys = keys.assign(_score=overall_score(table), _bound=table["bound"] != "").sort_values(
        ["_dataset", "_shape", "_bound", "_score"], ascending=[True, True, True, False], na_position="last"
    )
    return keys.drop(columns=["_dataset", "_shape", "_bound", "_score"]).reset_index(drop=True)
