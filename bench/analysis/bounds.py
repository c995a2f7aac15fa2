"""Registered properties of algorithms that results depend on.

Bounds mark the floor or the ceiling of what to expect: they have no rank and enter no test. An annealed algorithm's
state within training is not the end of a shorter training.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from algorithms import ALGORITHMS, Bound
from algorithms.core.entry import AlgorithmEntry


def bound_of(algorithm: str) -> Bound | None:
    """Return ``floor`` or ``ceiling`` for a bound; None for contenders and for names that are not registered.

    Reports write ``maml (experiment)`` where two experiments hold results of one algorithm: the bound is that of
    ``maml``.
    """
    entry = _entry(algorithm)
    return None if entry is None else entry.bound


def is_annealed(algorithm: str) -> bool:
    """Return whether its outer steps depend on how many there will be; names are as for ``bound_of``."""
    entry = _entry(algorithm)
    return entry is not None and entry.anneals


def _entry(algorithm: str) -> AlgorithmEntry | None:
    for name in (algorithm, algorithm.split(" (")[0]):
        if name in ALGORITHMS:
            return ALGORITHMS[name]
    return None


def contenders(algorithms: Iterable[str]) -> list[str]:
    """Return the algorithms that are no bounds, in the same order."""
    return [name for name in algorithms if bound_of(name) is None]


def without_bounds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of contenders, by the column ``algorithm``."""
    return table.loc[np.array([bound_of(str(name)) is None for name in table["algorithm"]], dtype=bool)]
