"""Print how far the same cells differ between two experiments whose kernels or engines differ.

``python results/numerical_noise.py results/reference/noise-fused results/reference/noise-loop``

Last digits grow over training, so that the same seed ends with other weights: a part of what is seen between single
runs. It stands here beside the standard deviation between seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bench.analysis.scores import Scores, comparable, read_scores
from bench.store.settings import BY_SHAPE
from bench.store.store import Store
from datasets import UserError

COLUMNS = ["dataset", "shape", "algorithm", "metric", "seeds", "between_seeds", "mean", "largest"]


def noise(first: Path | str, second: Path | str) -> pd.DataFrame:
    """Return a row per dataset, shape and algorithm that both experiments have.

    Returns:
        ``dataset``, ``shape``, ``algorithm``, ``metric``, ``seeds`` (those that both have), ``between_seeds`` (the
        standard deviation of the seeds' mean scores in the first experiment), ``mean`` and ``largest`` (of the absolute
        differences between the same seed's mean scores).

    Raises:
        UserError: they share no cell, or were tested on other episodes.
    """
    rows = []
    others = {(scores.dataset, scores.shape): (scores, digest) for scores, digest in _scores(second)}
    for one, digest in _scores(first):
        other, of_other = others.get((one.dataset, one.shape), (None, ""))
        if other is None:
            continue
        if digest != of_other:
            raise UserError(f"{first} and {second} tested {one.dataset} {one.shape} on different episodes")
        for algorithm in sorted(one.values.keys() & other.values.keys()):
            a, b = one.values[algorithm].mean(axis=1), other.values[algorithm].mean(axis=1)
            seeds = a.index.intersection(b.index)
            if len(seeds):
                apart = (a[seeds] - b[seeds]).abs()
                spread = a[seeds].std()
                row = (len(seeds), spread, apart.mean(), apart.max())
                rows.append((one.dataset, one.shape, algorithm, one.metric, *row))
    if not rows:
        raise UserError(f"{first} and {second} share no dataset, shape, algorithm and seed")
    return pd.DataFrame(rows, columns=COLUMNS)


def _scores(folder: Path | str) -> Iterator[tuple[Scores, str]]:
    """Yield the scores of every dataset and shape, with the digest of the episodes."""
    rows, episodes = comparable(Store(folder))
    digests = rows[rows["status"] == "ok"].drop_duplicates(BY_SHAPE).set_index(BY_SHAPE)["digest.test"]
    for scores in read_scores(episodes):
        yield scores, str(digests[scores.dataset, scores.shape])


def main() -> None:
    """Read the two folders from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path, help="an experiment's folder")
    parser.add_argument("second", type=Path, help="another's")
    options = parser.parse_args()
    try:
        found = noise(options.first, options.second)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(found.to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
