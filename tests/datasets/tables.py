"""A table of a user's own for the tests, in each form, and ways to change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.core.table_pools import TableDataset
from datasets.formats.table import Columns
from datasets.table import TableFile

CLASSES = [f"class{c:02}" for c in range(10)]
FORMS = (".csv", ".tsv", ".parquet", ".npz")


def frame() -> pd.DataFrame:
    """Ten classes of six rows in mixed order: two features, one on a large offset, a target and a split."""
    rng = np.random.default_rng(0)
    species = rng.permutation(np.repeat(CLASSES, 6))
    split = ["test" if name < "class02" else "val" if name < "class04" else "train" for name in species]
    a, b = rng.normal(size=60), 1.6e9 + rng.integers(0, 100, 60)
    return pd.DataFrame({"species": species, "a": a, "b": b, "split": split, "dose": 3 * a + 1})


def write(folder: Path, table: pd.DataFrame, suffix: str = ".csv") -> Path:
    path = folder / f"table{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".npz":
        np.savez(
            path,
            **{name: table[name].to_numpy(dtype=None if table[name].dtype.kind in "if" else "U") for name in table},
        )
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


BY_CLASS = Columns("species", split="split", ignore=("dose",))
BY_TASK = Columns("species", "dose", "split")


def load(path: Path, choice: Columns = BY_CLASS, **split: float) -> TableDataset:
    dataset = TableFile("mine", path, choice, **split).load(path.parent / "root")  # type: ignore[arg-type]
    assert isinstance(dataset, TableDataset)
    return dataset


def changed(change: Callable[[pd.DataFrame], object]) -> pd.DataFrame:
    table = frame()
    other = change(table)
    return other if isinstance(other, pd.DataFrame) else table


def put(column: str, row: int, value: object) -> Callable[[pd.DataFrame], object]:
    def change(table: pd.DataFrame) -> None:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value

    return change
