"""Datasets of the user's own, as grids describe them and cells carry them: folders of images, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.spec.model import LARGEST_SEED, Model
from datasets import DatasetEntry

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.image_folder import ImageFolder
    from datasets.table import TableFile

Column = Annotated[str, Field(min_length=1)]


class FolderSplit(Model):
    """The parts of the classes or tasks that validate and test."""

    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)


class FolderSpec(Model):
    """A dataset of the user's own: images in class folders; see ``datasets.image_folder``.

    Attributes:
        path: a folder, zip or tar with train, val and test folders of class folders, or of class folders alone.
        size: height and width to which images are resized.
        channels: 1 for grey (networks and settings as for Omniglot) or 3 for RGB (as for mini-ImageNet).
        split: how to split the classes of a folder that is not split.
        seed: of that split.
    """

    path: str
    size: int = Field(84, ge=1, le=1024)
    channels: Literal[1, 3] = 3
    split: FolderSplit | None = None
    seed: int = Field(0, ge=-LARGEST_SEED, le=LARGEST_SEED)

    def reader(self, name: str) -> ImageFolder:
        """Return what reads the folder."""
        from datasets.image_folder import ImageFolder

        val, test = (self.split.val, self.split.test) if self.split else (None, None)
        return ImageFolder(name, self.path, self.size, self.channels, val, test, self.seed)

    def entry(self, name: str) -> DatasetEntry:
        """The folder as the registry's datasets are described."""

        def load(root: Path) -> Dataset:
            return self.reader(name).load(root)

        family = "omniglot" if self.channels == 1 else "mini-imagenet"
        shape = (self.channels, self.size, self.size)
        return DatasetEntry(name, "classification", family, f"images in {self.path}", "", load, shape)


class TableSpec(Model):
    """A dataset of the user's own: rows of numbers in a file; see ``datasets.table``.

    Attributes:
        path: a ``.csv``, ``.tsv``, ``.parquet`` or ``.npz`` file.
        class_column: the column that holds the class of each row.
        task_column: for regression instead: the column that holds the task of each row.
        target_column: the column that is predicted.
        features: the columns that are inputs; all others by default.
        ignore: columns that are no inputs, where ``features`` is not given.
        split: the parts of the classes or tasks that validate and test.
        split_column: instead: the column that holds ``train``, ``val`` or ``test``.
        seed: of ``split``.
    """

    path: str
    class_column: Column | None = None
    task_column: Column | None = None
    target_column: Column | None = None
    features: tuple[Column, ...] | None = Field(None, min_length=1)
    ignore: tuple[Column, ...] | None = None
    split: FolderSplit | None = None
    split_column: Column | None = None
    seed: int = Field(0, ge=-LARGEST_SEED, le=LARGEST_SEED)

    @model_validator(mode="after")
    def _classes_or_tasks(self) -> Self:
        given = [self.class_column is not None, self.task_column is not None, self.target_column is not None]
        if given not in ([True, False, False], [False, True, True]):
            raise ValueError("a table needs `class_column`, or `task_column` and `target_column` for regression")
        if self.features is not None and self.ignore is not None:
            raise ValueError("`features` and `ignore` cannot be given together")
        if (self.split is None) == (self.split_column is None):
            raise ValueError("a table needs one of `split: {val: 0.2, test: 0.2}` and `split_column`")
        return self

    def reader(self, name: str) -> TableFile:
        """Return what reads the table."""
        from datasets.formats.table import Columns
        from datasets.table import TableFile

        group = self.class_column if self.class_column is not None else self.task_column
        choice = Columns(str(group), self.target_column, self.split_column, self.features, self.ignore or ())
        val, test = (self.split.val, self.split.test) if self.split else (None, None)
        return TableFile(name, self.path, choice, val, test, self.seed)

    def entry(self, name: str) -> DatasetEntry:
        """Return the table as the registry's datasets are described."""

        def load(root: Path) -> Dataset:
            return self.reader(name).load(root)

        if self.class_column is not None:
            return DatasetEntry(name, "classification", "table", f"rows of {self.path}", "", load)
        return DatasetEntry(name, "regression", "sinusoid", f"rows of {self.path}", "", load)
