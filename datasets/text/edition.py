"""A dataset of labelled texts: how its files are found, read into the cache, and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData, DataNotFound
from datasets.storage import cache
from datasets.storage.reading import reading
from datasets.storage.source import ClassImages, Progress, Source, SplitImages, evidence_of
from datasets.text.dataset import TextDataset, TextPool
from datasets.text.distinct import Texts
from datasets.text.normal_form import cut
from datasets.text.tokens import Tokens

VERSION = 1
"""Raised when the same files would give other texts, names or splits."""


@dataclass(frozen=True)
class TextRecipe:
    """The steps by which the cache makes a dataset of texts; see ``cache.Recipe``.

    Attributes:
        name: the dataset's.
        version: of the reading code.
        within: see ``TextDataset``.
        n_support: texts of each test class that are its support set; see ``TextPool``.
        duplicates_allowed: False: no text stands in two splits.
    """

    name: str
    version: int
    within: str
    n_support: int
    duplicates_allowed: bool = False

    def dataset(
        self, fingerprint: str, class_names: tuple[str, ...], arrays: Mapping[Split, cache.SplitArray]
    ) -> TextDataset:
        """Return the dataset from the arrays of its splits, with the usual tokens."""
        pools: dict[Split, TextPool] = {
            split: TextPool(part.array, part.offsets, part.class_ids, self.n_support if split == "test" else 0)
            for split, part in arrays.items()
        }
        return TextDataset(self.name, fingerprint, pools, class_names, Tokens(), self.within).tokenized(Tokens())


@dataclass(frozen=True)
class TextEdition:
    """A published dataset of labelled texts.

    Attributes:
        name: of the dataset.
        find: its files under a data root; None where one is missing.
        missing: the missing files under a data root, where ``fetch`` would put them.
        read: the texts of each class by split, from the files.
        longest: bytes of a text in UTF-8 that are kept, from its start.
        remedy: the command that brings what is missing.
        within: see ``TextDataset``.
        n_support: texts of each test class that are its support set; see ``TextPool``.
    """

    name: str
    find: Callable[[Path], Sequence[Path] | None]
    missing: Callable[[Path], list[Path]]
    read: Callable[[Sequence[Path]], Texts]
    longest: int
    remedy: str = ""
    within: str = ""
    n_support: int = 0

    @property
    def recipe(self) -> TextRecipe:
        """The dataset as the cache knows it."""
        return TextRecipe(self.name, VERSION, self.within, self.n_support)

    @reading()
    def load(self, root: Path) -> TextDataset:
        """Return the dataset from its cache, built from its files under ``root`` if need be.

        Raises:
            DataNotFound: neither is there.
            BadData: the files are not what they should be.
        """
        dataset = cache.load(self.recipe, root, self.find_source(root))
        if dataset is None:
            remedy = self.remedy or f"run: python -m bench data fetch {self.name}"
            raise DataNotFound(self.name, self.missing(root)[0], remedy)
        return dataset

    def find_source(self, root: Path) -> Source | None:
        """Return the files under ``root`` as a source; None where one is missing."""
        paths = self.find(root)
        return None if paths is None else self._source(paths)

    def prepare(self, path: Path, root: Path, progress: Progress | None = None) -> TextDataset:
        """Build the cache from the files at ``path``, laid out as under a data root.

        Raises:
            BadData: one is missing, or not what it should be.
        """
        paths = self.find(path)
        if paths is None:
            lacking = self.missing(path)[0].relative_to(path)
            raise BadData(f"{path} lacks {lacking}; give the folder that holds the files of {self.name}")
        return cache.build(self.recipe, root, self._source(paths), prepared=True, progress=progress)

    def _source(self, paths: Sequence[Path]) -> Source:
        def read() -> Iterator[SplitImages]:
            texts = self.read(paths)
            for split in SPLITS:
                counts = {name: len(texts[split][name]) for name in sorted(texts[split])}
                classes = (self._class(name, texts[split][name]) for name in counts)
                yield SplitImages(split, counts, classes)

        described = " and ".join(map(str, paths[:2])) + (f" and {len(paths) - 2} more" if len(paths) > 2 else "")
        return Source(described, lambda: evidence_of(paths), (self.longest,), read, unit="texts")

    def _class(self, name: str, texts: Sequence[str]) -> ClassImages:
        rows = np.zeros((len(texts), self.longest), dtype=np.uint8)
        for row, text in zip(rows, texts, strict=True):
            encoded = cut(text, self.longest)
            row[: len(encoded)] = np.frombuffer(encoded, dtype=np.uint8)
        return ClassImages(name, rows, [f"{name}: {text[:60]!r}" for text in texts])


def files_under(*names: str) -> Callable[[Path], Sequence[Path] | None]:
    """Return a ``TextEdition.find`` of files by their names below the data root, which must all be there."""

    def find(root: Path) -> Sequence[Path] | None:
        paths = [root / name for name in names]
        return paths if all(path.exists() for path in paths) else None

    return find


def missing_under(*names: str) -> Callable[[Path], list[Path]]:
    """Return a ``TextEdition.missing`` of the same files."""
    return lambda root: [root / name for name in names if not (root / name).exists()]
