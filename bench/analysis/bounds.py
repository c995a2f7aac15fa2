"""Bounds: algorithms that mark the floor or the ceiling of what to expect. They have no rank and enter no test."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from algorithms import ALGORITHMS, Bound


def bound_of(algorithm: str) -> Bound | None:
    """Return ``floor`` or ``ceiling`` for a bound; None for contenders and for names that are not registered.

    Reports write ``maml (experiment)`` where two experiments hold results of one algorithm: the bound is that of
    ``maml``.
    """
    for name in (algorithm, algorithm.split(" (")[0]):
        if name in ALGORITHMS:
            return ALGORITHMS[name].bound
    return None


def contenders(algorithms: Iterable[str]) -> list[str]:
    """Return the algorithms that are no bounds, in the same order."""
    return [name for name in algorithms if bound_of(name) is None]


def without_bounds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of contenders, by the column ``algorithm``."""
    return table.loc[np.array([bound_of(str(name)) is None for name in table["algorithm"]], dtype=bool)]
