"""The rows of a table by split, standardized by what meta-training sees."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData
from datasets.core.registry import suggest
from datasets.core.table_pools import FARTHEST, Column, standardized, too_far
from datasets.formats.table import Table
from datasets.formats.table_files import shown
from datasets.splits.by_seed import split_names
from datasets.storage.source import ClassImages, SplitImages

FEWEST_ROWS = 2
"""One to support and one to query: a class or task with fewer can be in no episode."""

LONGEST_NAME = 200
"""Characters of the name of a class or task."""


@dataclass(frozen=True)
class Grouped:
    """A table whose rows are sorted by class or task.

    Attributes:
        path: of the table, for messages.
        group: what messages call a class or task.
        table: the table.
        rows: by class or task, the places of its rows, ascending.
    """

    path: Path
    group: str
    table: Table
    rows: Mapping[str, npt.NDArray[np.int64]]


def grouped(path: Path, group: str, table: Table) -> Grouped:
    """Return the table with the rows of each class or task.

    Raises:
        BadData: one has too few rows, or a name that no table of results can show.
    """
    order = np.argsort(table.group_of, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(table.group_of, minlength=len(table.groups)))[:-1])
    rows = dict(zip(table.groups, parts, strict=True))
    for name in sorted(rows):
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise BadData(
                f"{path}: the {group} {shown(ascii(name))} is no name; use up to {LONGEST_NAME} printable characters"
            )
        if len(rows[name]) < FEWEST_ROWS:
            raise BadData(
                f"{path}: {group} '{shown(name)}' has {len(rows[name])} row; it needs {FEWEST_ROWS}: leave it out, or "
                "add rows"
            )
    return Grouped(path, group, table, rows)


def split_by_seed(data: Grouped, fractions: tuple[float, float], seed: int) -> dict[Split, list[str]]:
    """Return the classes or tasks of each split, sorted; raises BadData where they are too few."""
    of_split = split_names("table split", list(data.rows), fractions, seed)
    if of_split is None:
        raise BadData(f"{data.path}: {len(data.rows)} different {data.group} names are too few to split by {fractions}")
    return of_split


def split_by_column(data: Grouped, column: str) -> dict[Split, list[str]]:
    """Return the classes or tasks of each split, sorted, as the split column says.

    Raises:
        BadData: it holds anything but ``train``, ``val`` and ``test``, lacks one of them, or parts the rows of a class
            or task.
    """
    names, of_row = data.table.splits, data.table.split_of
    for name in names:
        if name not in SPLITS:
            raise BadData(
                f"{data.path}: column '{shown(column)}' has '{shown(name)}'{suggest(name, list(SPLITS)) or ';'} "
                f"allowed: {', '.join(SPLITS)}"
            )
    of_split: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for group in sorted(data.rows):
        present = sorted({names[place] for place in np.unique(of_row[data.rows[group]])})
        if len(present) > 1:
            raise BadData(
                f"{data.path}: {data.group} '{shown(group)}' is in {' and '.join(present)}; all of its rows belong to "
                "one split"
            )
        of_split[next(split for split in SPLITS if split == present[0])].append(group)
    if empty := [split for split in SPLITS if not of_split[split]]:
        raise BadData(f"{data.path}: column '{shown(column)}' gives no rows to {empty[0]}; each split needs some")
    return of_split


def standardized_splits(data: Grouped, of_split: Mapping[Split, Sequence[str]], kind: str) -> Iterator[SplitImages]:
    """Yield the splits with every column less its mean and by its standard deviation over the rows of meta-train.

    Raises:
        BadData: a column does not vary there, or has a value too far from it elsewhere.
    """
    train = np.sort(np.concatenate([data.rows[name] for name in of_split["train"]]))
    columns = [_column(data, place, train) for place in range(len(data.table.columns))]
    for place, column in enumerate(columns):
        _refuse_far(data, place, column)
    for split in SPLITS:
        counts = {group: len(data.rows[group]) for group in of_split[split]}
        classes = (
            ClassImages(group, standardized(data.table.numbers[data.rows[group]], columns), []) for group in counts
        )
        yield SplitImages(split, counts, classes, _columns_written(kind, columns))


def _columns_written(kind: str, columns: Sequence[Column]) -> str:
    """Return the columns as the cache keeps them; see ``columns_read``."""
    moments = [[column.mean.hex(), column.deviation.hex()] for column in columns]
    return json.dumps([kind, [column.name for column in columns], moments])


def columns_read(written: str) -> tuple[Column, ...]:
    """Return the columns of a table from ``SplitImages.columns``, to the bit of their means and deviations."""
    _, names, moments = json.loads(written)
    return tuple(Column(name, *map(float.fromhex, pair)) for name, pair in zip(names, moments, strict=True))


def _refuse_far(data: Grouped, place: int, column: Column) -> None:
    values = data.table.numbers[:, place]
    if len(far := too_far(values, column)):
        raise BadData(
            f"{data.path}: column '{shown(column.name)}' has {values[far[0]] - column.mean:+g} from the mean of "
            f"meta-train in row {far[0] + 1}, over {FARTHEST:,.0f} standard deviations; correct it, or name the column "
            "in `ignore`"
        )


def _column(data: Grouped, place: int, train: npt.NDArray[np.int64]) -> Column:
    """Return a column with its moments over meta-train, by correctly rounded sums, the same on every machine."""
    values = data.table.numbers[train, place]
    mean = math.fsum(memoryview(values)) / len(values)
    scale = math.sqrt(math.fsum(memoryview((values - mean) ** 2)) / len(values))
    if values.min() == values.max() or scale == 0.0:
        raise BadData(
            f"{data.path}: column '{shown(data.table.columns[place])}' has one value, {values[0]:g}, in all rows of "
            "meta-train, and says nothing; name it in `ignore`"
        )
    return Column(data.table.columns[place], mean, scale)
