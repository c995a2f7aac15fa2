"""A toy dataset for the tests of the cache, from a source that can be made to fail."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData
from datasets.core.image_pools import ImageDataset
from datasets.storage import cache
from datasets.storage.source import ClassImages, Source, SplitImages

RECIPE = cache.Recipe("toy", 1, rotate_train=True, duplicates_allowed=False)
CLASSES: dict[Split, list[str]] = {"train": ["a", "c"], "val": ["b"], "test": ["d"]}


def images_of(name: str) -> np.ndarray:
    return np.random.default_rng(ord(name)).integers(0, 256, (4, 1, 6, 6), dtype=np.uint8)


def place(root: Path) -> Path:
    """The folder in which the cache of the toy is built."""
    return cache.folders(RECIPE, root)[0]


class Toy:
    """A source that counts how often it is read, and can be made to fail or to lie."""

    def __init__(self) -> None:
        self.reads = 0
        self.evidence = "1"
        self.images = {name: images_of(name) for names in CLASSES.values() for name in names}
        self.broken = False
        self.delay = 0.0
        self.dying = False

    def read(self) -> Iterator[SplitImages]:
        self.reads += 1
        for split in SPLITS:
            counts = dict.fromkeys(CLASSES[split], 4)
            yield SplitImages(split, counts, map(self.of_class, counts))

    def of_class(self, name: str) -> ClassImages:
        time.sleep(self.delay)
        if self.dying:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.broken and name == "d":
            raise BadData("d is broken")
        return ClassImages(name, self.images[name], [f"{name}{i}" for i in range(4)])

    @property
    def source(self) -> Source:
        return Source("the toy", lambda: self.evidence, (1, 6, 6), self.read)


def load(toy: Toy, root: Path, recipe: cache.Recipe = RECIPE) -> ImageDataset:
    dataset = cache.load(recipe, root, toy.source)
    assert dataset is not None
    return dataset
