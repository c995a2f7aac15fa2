"""Ranks and interquartile means of the leaderboard, and tests across datasets."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bench.analysis.bounds import contenders, without_bounds
from bench.analysis.scores import Scores
from bench.stats import Across, above_chance, across_datasets, interquartile_mean, rank_table

RANKS = ("rank", "rank_low", "rank_high", "p_rank_1")


def rank_rows(scores: Iterable[Scores]) -> pd.DataFrame:
    """Return a row per dataset, shape and algorithm with a result.

    Columns: ``rank``, ``rank_low``, ``rank_high``, ``p_rank_1``, and for accuracies ``iqm``, the interquartile mean of
    accuracy above chance over seeds and episodes. Bounds (see ``bench.analysis.bounds``) have NaN for their ranks, and
    the ranks of the others do not depend on them.

    The same episodes give the same numbers: each dataset and shape has a generator of its own.
    """
    parts = [_ranked(part) for part in scores]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _ranked(scores: Scores) -> pd.DataFrame:
    ranked = sorted(contenders(scores.values))  # the order of the cells on disk must not change the draws
    names = [*ranked, *sorted(set(scores.values) - set(ranked))]
    tables = [scores.values[name] for name in names]
    ranks = pd.DataFrame({name: np.full(len(names), np.nan) for name in RANKS})
    if ranked:
        rng, higher = np.random.default_rng(0), scores.higher_is_better
        ranks = rank_table(tables[: len(ranked)], rng, higher_is_better=higher).reindex(range(len(names)))
    ranks.insert(0, "dataset", scores.dataset)
    ranks.insert(1, "shape", scores.shape)
    ranks.insert(2, "algorithm", names)
    if scores.n_way > 1 and scores.metric.startswith("accuracy"):
        values = [above_chance(table.to_numpy(dtype=float), scores.n_way) for table in tables]
        ranks["iqm"] = [interquartile_mean(above) for above in values]
    return ranks


def has_several_datasets(board: pd.DataFrame) -> bool:
    """Return whether contenders have results on more than one dataset."""
    board = without_bounds(board)
    return bool(board.loc[board["seeds"] > 0, "dataset"].nunique() > 1)


def across(board: pd.DataFrame) -> tuple[Across, list[str]]:
    """Test all datasets of a leaderboard together; return the result and the algorithms that were left out.

    A dataset is one observation: the mean over its shapes of transductive accuracy, of the return, or of minus the
    squared error (only its order matters to ranks). Datasets and shapes without any result do not count; algorithms
    without a result on every one of the others are left out, and bounds are not among them.
    """
    board = without_bounds(board)
    table = board.assign(score=overall_score(board))
    table = table.pivot(index=["dataset", "shape"], columns="algorithm", values="score")
    table = table.dropna(how="all")  # no cell of that dataset has a result
    complete = table.dropna(axis=1)
    left_out = sorted(str(name) for name in set(table.columns) - set(complete.columns))
    return across_datasets(complete.groupby(level="dataset").mean()), left_out


def overall_score(board: pd.DataFrame) -> pd.Series:
    """Return transductive accuracy, the return, or minus the squared error: the score by which a board is ordered."""
    score = pd.Series(np.nan, index=board.index)
    for column, sign in (("accuracy_transductive", 1.0), ("return", 1.0), ("mse", -1.0)):
        if column in board:
            score = score.fillna(sign * board[column])
    return score
