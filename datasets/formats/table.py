"""A table in memory: the numbers of its rows, and the class or task that each row belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datasets.core.errors import BadData
from datasets.formats.table_files import NEEDED, SPARE, batches, column_names, require_columns, shown

Numbers = npt.NDArray[np.float64]

LARGEST = 1e30
"""The largest absolute value of a number: the squares of larger ones leave the range in which networks compute."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are used, and their roles.

    Attributes:
        group: the column that names the class or task of a row.
        target: the column that is predicted; None where that is the class.
        split: the column that says ``train``, ``val`` or ``test``; None where there is none.
        features: the columns that are inputs; None for all others.
        ignore: columns that are not used where ``features`` is None.
    """

    group: str
    target: str | None = None
    split: str | None = None
    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The rows of a table.

    Attributes:
        columns: names of the columns of ``numbers``: the features in the order of the file, then the target, if any.
        numbers: [N, columns] float64, finite.
        groups: names of the classes or tasks, in no particular order.
        group_of: [N] int64: the place in ``groups`` of each row's.
        splits: names in the split column; empty where there is none.
        split_of: [N] int64: the place in ``splits`` of each row's.
    """

    columns: tuple[str, ...]
    numbers: npt.NDArray[np.float64]
    groups: tuple[str, ...]
    group_of: npt.NDArray[np.int64]
    splits: tuple[str, ...]
    split_of: npt.NDArray[np.int64]


def read_table(path: Path, choice: Columns) -> Table:
    """Return the table at ``path``.

    Raises:
        BadData: the file cannot be read, or holds what no network takes: the column, the row (counted from 1 below the
            header) and what to do.
    """
    columns = columns_of(path, choice)
    texts = [name for name in (choice.group, choice.split) if name is not None]
    numbers: list[npt.NDArray[np.float64]] = []
    names = [_Names() for _ in texts]
    n_rows = 0
    for batch in batches(path, columns, texts):
        block = np.empty((batch.num_rows, len(columns)), dtype=np.float64)
        for place, name in enumerate(columns):
            block[:, place] = _numbers(path, name, batch.column(place), n_rows)
        numbers.append(block)
        for place, (name, known) in enumerate(zip(texts, names, strict=True), start=len(columns)):
            known.add(_texts(path, name, batch.column(place), n_rows))
        n_rows += batch.num_rows
    split = names[1] if choice.split is not None else _Names()
    return Table(tuple(columns), np.concatenate(numbers), *names[0].result(), *split.result())


def read_columns(path: Path, numbers: Sequence[str], names: Sequence[str]) -> tuple[Numbers, list[list[str]]]:
    """Return columns of the table at ``path``: of numbers, float64 [N, len(numbers)], and of names, each [N].

    Raises:
        BadData: as ``read_table``.
    """
    require_columns(path, [*numbers, *names], column_names(path))
    blocks: list[Numbers] = []
    read: list[list[str]] = [[] for _ in names]
    n_rows = 0
    for batch in batches(path, numbers, names, NEEDED):
        columns = [_numbers(path, name, batch.column(i), n_rows, NEEDED) for i, name in enumerate(numbers)]
        blocks.append(np.stack(columns, axis=1) if columns else np.empty((batch.num_rows, 0)))
        for place, (name, known) in enumerate(zip(names, read, strict=True), start=len(numbers)):
            known += _texts(path, name, batch.column(place), n_rows).to_pylist()
        n_rows += batch.num_rows
    return np.concatenate(blocks), read


def columns_of(path: Path, choice: Columns) -> list[str]:
    """Return the columns of numbers that are chosen: the features in the order of the file, then the target.

    Raises:
        BadData: a chosen column is not there, or is chosen twice, or no features are left.
    """
    names = column_names(path)
    arrays = {name: name.rpartition(".")[0] for name in names} if path.suffix == ".npz" else {}
    special = [name for name in (choice.group, choice.target, choice.split) if name is not None]
    if len(set(special)) < len(special):
        raise BadData(f"{path}: one column cannot be two of class or task, target and split; got {', '.join(special)}")
    asked = choice.features if choice.features is not None else choice.ignore
    require_columns(path, [*special, *(name for name in asked if name not in arrays.values())], names)

    def is_asked(name: str) -> bool:
        return name in asked or (bool(arrays) and arrays[name] in asked)

    if choice.features is None:
        features = [name for name in names if name not in special and not is_asked(name)]
    else:
        features = [name for name in names if is_asked(name)]
    if both := [name for name in features if name in special]:
        raise BadData(f"{path}: column '{shown(both[0])}' cannot be a feature too; leave it out of `features`")
    if not features:
        raise BadData(f"{path} has no columns left for features; it needs one at least")
    return features + ([choice.target] if choice.target is not None else [])


def _numbers(path: Path, name: str, column: pa.Array, before: int, spare: str = SPARE) -> Numbers:
    """A column as numbers; ``before`` is the number of rows before its first, ``spare`` as in ``batches``."""
    kind = column.type
    if column.null_count:
        raise _missing(
            path, name, before + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0]), spare
        )
    if pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        column = column.cast(pa.float64() if pa.types.is_decimal(kind) else pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        what = "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else f"values of type {kind}"
        raise BadData(
            f"{path}: column '{shown(name)}' holds {what}, such as '{shown(column[0])}', not numbers; convert it{spare}"
        )
    values: Numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)
    if np.isnan(values).any():
        raise _missing(path, name, before + int(np.flatnonzero(np.isnan(values))[0]), spare)
    if (large := np.abs(values) > LARGEST).any():
        row = int(np.flatnonzero(large)[0])
        what = "an infinite value" if np.isinf(values[row]) else f"{values[row]:g}, over {LARGEST:g},"
        raise BadData(
            f"{path}: column '{shown(name)}' has {what} in row {before + row + 1}; correct it, or give the "
            f"column another unit{spare}"
        )
    return values


def _missing(path: Path, name: str, row: int, spare: str) -> BadData:
    return BadData(
        f"{path}: column '{shown(name)}' has missing values, the first in row {row + 1}; fill them in, or leave out "
        f"these rows{spare}"
    )


def _texts(path: Path, name: str, column: pa.Array, before: int) -> pa.Array:
    """A column as names."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise BadData(f"{path}: column '{shown(name)}' holds values of type {kind}; use text or whole numbers")
    texts = column.cast(pa.string())
    empty = np.flatnonzero(np.array([not text for text in texts.to_pylist()], dtype=bool))
    if len(empty):
        raise BadData(
            f"{path}: column '{shown(name)}' is empty in row {before + int(empty[0]) + 1}; fill it in, or leave out "
            "the row"
        )
    return texts


class _Names:
    """The distinct names in a column, and which one each row has."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._rows: list[npt.NDArray[np.int64]] = []

    def add(self, texts: pa.Array) -> None:
        encoded = texts.dictionary_encode()
        places = [self._places.setdefault(text, len(self._places)) for text in encoded.dictionary.to_pylist()]
        self._rows.append(np.array(places, dtype=np.int64)[encoded.indices.to_numpy()])

    def result(self) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
        return tuple(self._places), np.concatenate(self._rows) if self._rows else np.empty(0, dtype=np.int64)
