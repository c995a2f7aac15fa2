"""Every pair of algorithms on one dataset and shape: difference, interval and adjusted p."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.experiments import Section
from bench.analysis.scores import read_scores
from bench.stats import difference
from bench.stats.ranks import pair_p_values


def pair_rows(section: Section) -> pd.DataFrame:
    """A row per ordered pair ``a``, ``b`` of the section's contenders that share a seed, in the leaderboard's order.

    ``difference`` is the mean of a - b over shared seeds and episodes (transductive accuracy in [0, 1], or squared
    error) with its 95% interval ``low`` to ``high`` for these classes, ``p_adjusted`` its p-value, Holm-adjusted over
    all pairs of the section; the same numbers as behind the ranks.
    """
    (scores,) = read_scores(section.episodes)
    names = section.contenders
    tables = [scores.values[name] for name in names]
    p_values = pair_p_values(tables)
    rows = []
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            shared = tables[i].index.intersection(tables[j].index)
            if i != j and len(shared):
                pair = (tables[k].loc[shared].to_numpy(dtype=float) for k in (i, j))
                found = difference(*pair).interval()
                line = {"a": a, "b": b, "difference": found.mean, "low": found.low, "high": found.high}
                rows.append(line | {"p_adjusted": p_values[i, j]})
    return pd.DataFrame(rows, columns=["a", "b", "difference", "low", "high", "p_adjusted"])


def is_better(section: Section, row: Mapping[Hashable, Any]) -> bool:
    """Whether ``a`` is better than ``b`` and separable from it."""
    gain = -row["difference"] if section.regression else row["difference"]
    return bool(gain > 0 and np.nan_to_num(row["p_adjusted"], nan=1.0) < 0.05)
