"""A dataset of the user's own: rows of numbers in a CSV, Parquet or ``.npz`` file, split by class or by task.

For classification a column holds the class of each row. For few-shot regression a column holds the task of each row,
such as a patient or a machine, and another one the target. Features and target are standardized by the mean and the
standard deviation of the meta-train rows alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets.core.episodes import Dataset, Kind, Split
from datasets.core.errors import UserError
from datasets.core.table_pools import TableDataset, TablePool
from datasets.formats.table import Columns, columns_of, read_table
from datasets.formats.table_files import SUFFIXES
from datasets.formats.table_splits import columns_read, grouped, split_by_column, split_by_seed, standardized_splits
from datasets.splits.by_seed import fractions_of
from datasets.storage import cache
from datasets.storage.paths import data_root, user_path
from datasets.storage.reading import reading, require_file
from datasets.storage.source import Source, SplitImages, evidence_of

VERSION = 1
"""Raised when the same files would give other numbers, names or splits."""


@dataclass(frozen=True)
class TableRecipe:
    """The steps by which the cache makes a dataset of a table; see ``cache.Recipe``."""

    name: str
    version: int
    kind: Kind
    duplicates_allowed: bool = True

    def dataset(
        self, fingerprint: str, class_names: tuple[str, ...], arrays: Mapping[Split, cache.SplitArray]
    ) -> TableDataset:
        """Return the dataset from the arrays of its splits."""
        targets = int(self.kind == "regression")
        pools: dict[Split, TablePool] = {
            split: TablePool(part.array, part.offsets, part.class_ids, part.array.shape[1] - targets)
            for split, part in arrays.items()
        }
        columns = columns_read(arrays["train"].columns)
        return TableDataset(self.name, self.kind, fingerprint, pools, class_names, columns)


@dataclass(frozen=True)
class TableFile:
    """A dataset of the user's own.

    Attributes:
        name: what results call it.
        path: a ``.csv``, ``.tsv``, ``.parquet`` or ``.npz`` file.
        choice: which of its columns are used; with a target it is regression, without one classification.
        val_fraction: the part of the classes or tasks that validate, where no column says so.
        test_fraction: the part that test.
        seed: of the split.
    """

    name: str
    path: Path | str
    choice: Columns
    val_fraction: float | None = None
    test_fraction: float | None = None
    seed: int = 0

    @property
    def kind(self) -> Kind:
        """Regression where there is a target."""
        return "classification" if self.choice.target is None else "regression"

    @reading()
    def load(self, root: Path | str | None = None) -> Dataset:
        """Return the dataset; ``root`` is the data root.

        Raises:
            UserError: a setting is impossible, or does not fit the table.
            BadData: the table is not what it should be: the column and row, and what to do.
        """
        recipe, source = self.recipe_and_source()
        base = data_root(root)
        dataset = cache.find(recipe, base, source) or cache.build(recipe, base, source)
        return dataclasses.replace(dataset, name=self.name, origin=source.description)

    def recipe_and_source(self) -> tuple[TableRecipe, Source]:
        """Return them for the cache; raises UserError where a setting is impossible, or the file is not there."""
        path = user_path(self.path, f"dataset '{self.name}': path")
        if path.suffix not in SUFFIXES:
            raise UserError(f"dataset '{self.name}': {path} is no table; give a {', '.join(SUFFIXES)} file")
        if not path.exists():
            raise UserError(f"dataset '{self.name}': there is no file at {path}")
        require_file(path)
        fractions = fractions_of(self.name, self.val_fraction, self.test_fraction)
        if (fractions is None) == (self.choice.split is None):
            what = "both" if fractions else "neither"
            raise UserError(
                f"dataset '{self.name}': say how to split the rows, by `split: {{val: 0.2, test: 0.2}}` or by "
                f"`split_column`; got {what}"
            )
        settings = repr((str(path.resolve()), dataclasses.astuple(self.choice), fractions, self.seed))
        of_settings = hashlib.sha256(settings.encode()).hexdigest()[:12]
        recipe = TableRecipe(f"table-{of_settings}", VERSION, self.kind)
        width = len(columns_of(path, self.choice))

        def read() -> Iterator[SplitImages]:
            data = grouped(path, "class" if self.kind == "classification" else "task", read_table(path, self.choice))
            if fractions is not None:
                of_split = split_by_seed(data, fractions, self.seed)
            else:
                of_split = split_by_column(data, str(self.choice.split))
            yield from standardized_splits(data, of_split, self.kind)

        return recipe, Source(str(path), lambda: evidence_of([path]), (width,), read, "<f4", "rows", [path])
