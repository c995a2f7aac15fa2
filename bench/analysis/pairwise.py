"""All pairs of algorithms on one dataset and shape: difference, interval and adjusted p-value."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.analysis.bounds import contenders
from bench.analysis.scores import Scores, read_scores
from bench.stats import ALPHA, difference, pair_p_values

if TYPE_CHECKING:
    from bench.analysis.experiments import Section

COLUMNS = ["a", "b", "difference", "low", "high", "p_adjusted"]


def pair_rows(section: Section) -> pd.DataFrame:
    """Return a row per ordered pair ``a``, ``b`` of contenders that share a seed, in the leaderboard's order.

    ``difference`` is the mean of a - b over shared seeds and episodes (transductive accuracy in [0, 1], or squared
    error) with its 95% interval ``low`` to ``high``, ``p_adjusted`` its p-value, Holm-adjusted over all pairs of the
    section. The ranks are made of the same p-values.
    """
    for scores in read_scores(section.episodes):
        return pair_table(scores, [name for name in section.contenders if name in scores.values])
    return pd.DataFrame(columns=COLUMNS)


def pair_table(scores: Scores, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the same for these algorithms, by default all contenders that have scores."""
    names = contenders(scores.values) if names is None else names
    p_values = pair_p_values([scores.values[name] for name in names])
    rows = []
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            seeds = scores.shared_seeds(a, b)
            if i != j and len(seeds):
                effect = difference(scores.table(a, seeds), scores.table(b, seeds)).interval()
                line = {"a": a, "b": b, "difference": effect.mean, "low": effect.low, "high": effect.high}
                rows.append(line | {"p_adjusted": p_values[i, j]})
    return pd.DataFrame(rows, columns=COLUMNS)


def is_better(section: Section, row: Mapping[Hashable, Any]) -> bool:
    """Return whether ``a`` is better than ``b`` and separable from it."""
    gain = -row["difference"] if section.regression else row["difference"]
    return bool(gain > 0 and np.nan_to_num(row["p_adjusted"], nan=1.0) < ALPHA)
