"""Predictions of another framework: a table with a row per query, checked and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.core.errors import BadData
from datasets.formats.table_files import batches, column_names, separator_hint
from datasets.storage.reading import reading, require_there

SUFFIXES = (".csv", ".tsv", ".parquet")
KEY = ("episode", "query")
LABEL = "prediction"
PANDAS_INDEX = "__index_level_"  # a column that pandas writes for an index of its own
OF_ONE = 1e-3  # a query's probabilities may miss 1 by so much

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """The predictions of E episodes of Q queries.

    Attributes:
        labels: [E, Q] predicted labels, or targets for regression.
        probabilities: [E, Q, n_way]; None where the table has labels alone, and for regression.
    """

    labels: Floats
    probabilities: Floats | None

    def correct(self, truth: Ints) -> npt.NDArray[np.bool_]:
        """Return [E, Q] whether the predicted label is the true one."""
        return np.asarray(self.labels == truth)

    def negative_log_likelihood(self, truth: Ints) -> Floats | None:
        """Return [E] the means over queries; None without probabilities.

        Raises:
            BadData: a true class has probability 0.
        """
        if self.probabilities is None:
            return None
        own = np.take_along_axis(self.probabilities, truth[..., None], axis=-1)[..., 0]
        if not own.all():
            episode, query = np.argwhere(own == 0)[0]
            raise BadData(
                f"the true class has probability 0 in episode {episode}, query {query}, whose log-likelihood is "
                f"infinite; give probabilities above 0, or labels in a column '{LABEL}'"
            )
        return np.asarray(-np.log(own).mean(axis=1))


def read_predictions(path: Path | str, n_episodes: int, n_queries: int, n_way: int) -> Predictions:
    """Return the predictions in a table.

    Its columns are ``episode`` and ``query``, which count from 0 as the file of episodes does, and either
    ``prediction`` (a label in [0, n_way), or the target for regression) or ``p0``, ``p1``, ... with the probability of
    each label.

    Args:
        path: a CSV, tab-separated or Parquet file.
        n_episodes: E.
        n_queries: Q, of each episode.
        n_way: labels; 1 for regression.

    Raises:
        UserError: it is no such table, or has not one row for each query.
    """
    file = Path(path)
    require_there(file)
    if file.suffix not in SUFFIXES:
        raise BadData(f"{path}: predictions are a table that ends in {', '.join(SUFFIXES)}")
    with reading(file):
        names = [name for name in column_names(file) if not name.startswith(PANDAS_INDEX)]
        values = _values_of(n_way, names, file)
        columns = [*KEY, *values]
        parts = [np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=1)
                 for batch in batches(file, columns, [])]  # fmt: skip
    table = np.concatenate(parts).astype(np.float64)
    if bad := [name for name, column in zip(columns, table.T, strict=True) if not np.isfinite(column).all()]:
        raise BadData(f"{path}: column '{bad[0]}' has gaps or numbers that are not finite")
    ordered = table[_order(file, table, n_episodes, n_queries)][:, len(KEY) :]
    if values == [LABEL]:
        labels = ordered[:, 0].reshape(n_episodes, n_queries)
        if n_way > 1 and not np.isin(labels, np.arange(n_way)).all():
            wrong = labels[~np.isin(labels, np.arange(n_way))][0]
            raise BadData(f"{path}: '{LABEL}' has {wrong:g}; labels are whole numbers from 0 to {n_way - 1}")
        return Predictions(labels, None)
    if (ordered < 0).any() or (np.abs(ordered.sum(axis=1) - 1) > OF_ONE).any():
        raise BadData(
            f"{path}: {values[0]} to {values[-1]} are not the probabilities of each query; they must sum to 1"
        )
    probabilities = ordered.reshape(n_episodes, n_queries, n_way)
    return Predictions(probabilities.argmax(axis=-1).astype(np.float64), probabilities)


def _values_of(n_way: int, names: Sequence[str], file: Path) -> list[str]:
    """Return the columns that hold the predictions; raises BadData where they or others are not as they must be."""
    probabilities = [f"p{label}" for label in range(n_way)] if n_way > 1 else []
    for values in ([LABEL], probabilities):
        if values and set(names) == {*KEY, *values}:
            return values
    forms = f"'{LABEL}'" + (f", or 'p0' to 'p{n_way - 1}'" if n_way > 1 else "")
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    hint = separator_hint(file, names)
    raise BadData(f"{file} has the columns {shown}; predictions have 'episode', 'query' and {forms}{hint}")


def _order(file: Path, table: Floats, n_episodes: int, n_queries: int) -> Ints:
    """Return the rows in the order of episodes and queries; raises BadData where there is not one for each."""
    episode, query = table[:, 0], table[:, 1]
    for name, column, end in (("episode", episode, n_episodes), ("query", query, n_queries)):
        strange = column[(column != np.floor(column)) | (column < 0) | (column >= end)]
        if len(strange):
            raise BadData(f"{file}: '{name}' has {strange[0]:g}; they are whole numbers from 0 to {end - 1}")
    places = (episode * n_queries + query).astype(np.int64)
    counts = np.bincount(places, minlength=n_episodes * n_queries)
    if (counts != 1).any():
        place = int(np.argmax(counts != 1))
        how = "no row" if counts[place] == 0 else f"{counts[place]} rows"
        where = f"episode {place // n_queries}, query {place % n_queries}"
        raise BadData(f"{file} has {how} for {where}; it must have one for each of {n_queries} queries an episode")
    return np.argsort(places, kind="stable")
