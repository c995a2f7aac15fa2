"""Classes that are split at random under a seed, equally on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.core.episodes import Split
from datasets.core.errors import UserError
from datasets.core.randomness import choose, key_of


def fractions_of(name: str, val: float | None, test: float | None) -> tuple[float, float] | None:
    """Return the parts of the classes that validate and test; None where neither is given.

    Raises:
        UserError: one is missing, or they leave nothing to train on; ``name`` is the dataset's.
    """
    if val is None and test is None:
        return None
    if val is None or test is None or not (0 < val < 1 and 0 < test < 1 and val + test < 1):
        raise UserError(
            f"dataset '{name}': a split needs 0 < val, 0 < test and val + test < 1, but got val={val}, test={test}"
        )
    return val, test


def split_names(
    purpose: str, names: Sequence[str], fractions: tuple[float, float], seed: int
) -> dict[Split, list[str]] | None:
    """Return the names by split, sorted; None where they are too few to leave one for each.

    Args:
        purpose: of the random numbers; the same names are split otherwise for another purpose.
        names: distinct, in any order.
        fractions: the parts that validate and test; each gets one name at least.
        seed: of the split.
    """
    n_val, n_test = (max(1, round(fraction * len(names))) for fraction in fractions)
    if n_val + n_test >= len(names):
        return None
    ordered = sorted(names)
    order = choose(np.asarray(key_of(purpose, seed)), len(ordered), len(ordered))
    places: dict[Split, list[int]] = {
        "train": sorted(order[n_val + n_test :]),
        "val": sorted(order[:n_val]),
        "test": sorted(order[n_val : n_val + n_test]),
    }
    return {split: [ordered[place] for place in members] for split, members in places.items()}
