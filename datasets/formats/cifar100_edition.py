"""A dataset that is a split of CIFAR-100's classes: how it is found, loaded and prepared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.core.errors import DataNotFound
from datasets.core.image_pools import ImageDataset
from datasets.formats import cifar100
from datasets.formats.plan import build_in_parallel
from datasets.splits.expected import Expected
from datasets.storage import cache
from datasets.storage.reading import reading
from datasets.storage.source import Progress, Source

VERSION = 1
"""Raised when the same files would give other pixels, names or splits."""


@dataclass(frozen=True)
class Edition:
    """A split of CIFAR-100.

    Attributes:
        name: of the dataset.
        expected: the classes of each split.
    """

    name: str
    expected: Expected

    @property
    def recipe(self) -> cache.Recipe:
        """The dataset as the cache knows it; CIFAR-100 has some images twice, which cannot be changed."""
        return cache.Recipe(self.name, VERSION, rotate_train=False, duplicates_allowed=True)

    @reading()
    def load(self, root: Path) -> ImageDataset:
        """Return the dataset from its cache, built from the files under ``root`` if need be.

        Raises:
            DataNotFound: neither is there.
            BadData: the files are not CIFAR-100's.
        """
        dataset = cache.load(self.recipe, root, self.find_source(root))
        if dataset is None:
            remedy = f"run: python -m bench data fetch {self.name}, or: python -m bench data prepare {self.name} --from"
            raise DataNotFound(self.name, self.missing(root)[0], f"{remedy} PATH")
        return dataset

    def find_source(self, root: Path) -> Source | None:
        """Return CIFAR-100 below ``root`` as a source, or None; see ``cifar100.PLACES``."""
        path = cifar100.find(root)
        return None if path is None else cifar100.source_at(path, self.expected)

    def missing(self, root: Path) -> list[Path]:
        """Return the file that ``data fetch`` brings, where no form of CIFAR-100 is below ``root``."""
        return [] if cifar100.find(root) else [root / "cifar100" / cifar100.ARCHIVE]

    def prepare(
        self, path: Path, root: Path, *, workers: int | None = None, progress: Progress | None = None
    ) -> ImageDataset:
        """Build the cache from the files at ``path``, in whatever form; images are read by several processes.

        Args:
            path: a folder or archive with one of the forms of ``datasets.formats.cifar100``, or a folder that holds
                one under a name of ``cifar100.PLACES``.
            root: the data root.
            workers: processes that read images; the number of cores by default.
            progress: told of the images done.

        Raises:
            BadData: what is wrong, with the file's name.
        """
        path = cifar100.find(path) or path
        if cifar100.holds_images(path):
            plan, form = cifar100.plan_at(path, self.expected), cifar100.image_format(self.expected)
            return build_in_parallel(self.recipe, root, path, plan, form, workers, progress)
        source = cifar100.source_at(path, self.expected)
        return cache.build(self.recipe, root, source, prepared=True, progress=progress)
