"""Sources for the cache: the images, or rows of numbers, of each split, class by class, and a description of their
files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from datasets.core.episodes import Split
from datasets.storage.reading import require_file
from datasets.storage.tree import walk

BYTES = "|u1"
"""NumPy's name of the type of pixels."""

Progress = Callable[[int, int | None], None]
"""Called with the number of images done and of all, None where that is not known beforehand."""


@dataclass(frozen=True)
class ClassImages:
    """The images of one class.

    Attributes:
        name: the class.
        images: [n, channels, height, width] uint8, in an order that does not depend on the machine; for tables
            [n, columns] float32.
        labels: [n] what messages call each image: its file, or its place in one; empty where the same image may stand
            in two splits.
    """

    name: str
    images: npt.NDArray[Any]
    labels: Sequence[str]


@dataclass(frozen=True)
class SplitImages:
    """One split.

    Attributes:
        split: which.
        counts: images of each class, by name, in the order in which ``classes`` gives them.
        classes: reads the classes one after the other, so that no more than one need be in memory.
        columns: of a table: their names, and the means and deviations that they were standardized with.
    """

    split: Split
    counts: Mapping[str, int]
    classes: Iterator[ClassImages]
    columns: str = ""


@dataclass(frozen=True)
class Source:
    """Something that a dataset can be read from.

    Attributes:
        description: in words, with its paths.
        evidence: a digest that changes when the files do, from their names, sizes and times, without opening them.
        image_shape: (channels, height, width) of what ``read`` gives; (columns,) for tables.
        read: reads the splits one after the other; raises BadData with the file's name where something is wrong.
        dtype: NumPy's name of the type of what ``read`` gives.
        unit: what messages call the examples, in the plural.
        paths: its files and folders, whose contents identify what ``read`` gives; empty where they are not to be read
            for that, as where a folder holds much else.
    """

    description: str
    evidence: Callable[[], str]
    image_shape: tuple[int, ...]
    read: Callable[[], Iterator[SplitImages]]
    dtype: str = BYTES
    unit: str = "images"
    paths: Sequence[Path] = ()

    def content(self) -> str:
        """Return a digest of the names and bytes of its files, the same under every data root; empty without paths."""
        return content_of(self.paths) if self.paths else ""


def evidence_of(paths: Sequence[Path]) -> str:
    """Digest of the names (below each path), sizes and modification times of all files at ``paths``."""
    sha = hashlib.sha256()
    for path in paths:
        files = walk(path) if path.is_dir() else iter([(path.name, path.stat())])
        for name, status in files:
            sha.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return sha.hexdigest()


def content_of(paths: Sequence[Path]) -> str:
    """Return a digest of the names (below each path) and contents of all files at ``paths``.

    Raises:
        BadData: one is neither a file nor a folder, which could be waited for without end.
    """
    sha = hashlib.sha256()
    for path in paths:
        files = ((name, path / name) for name, _ in walk(path)) if path.is_dir() else iter([(path.name, path)])
        for name, place in files:
            require_file(place)
            with place.open("rb") as file:
                sha.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return sha.hexdigest()
