"""Which algorithms are bounds of what can be expected, not contenders: they have no rank and enter no test."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from algorithms import ALGORITHMS, Bound


def bound_of(algorithm: str) -> Bound | None:
    """``floor`` or ``ceiling`` where the algorithm is one; None for contenders and for names that are not registered.

    Reports write ``maml (experiment)`` where two experiments hold results of one algorithm: the bound is that of
    ``maml``.
    """
    for name in (algorithm, algorithm.split(" (")[0]):
        if name in ALGORITHMS:
            return ALGORITHMS[name].bound
    return None


def contenders(algorithms: Iterable[str]) -> list[str]:
    """Those of the algorithms that are no bounds, in the same order."""
    return [name for name in algorithms if bound_of(name) is None]


def without_bounds(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of contenders, by the column ``algorithm``."""
    return table.loc[np.array([bound_of(str(name)) is None for name in table["algorithm"]], dtype=bool)]
