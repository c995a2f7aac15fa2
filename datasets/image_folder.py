"""A dataset of the user's own: images in class folders, split by folder or by class under a seed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets.core.episodes import SPLITS, Dataset
from datasets.core.errors import BadData, UserError
from datasets.formats.plan import Format, Plan, read_plan
from datasets.formats.split_folders import find_class_folders, find_split_folders
from datasets.splits.by_seed import fractions_of, split_names
from datasets.storage import cache
from datasets.storage.paths import data_root, user_path
from datasets.storage.reading import reading
from datasets.storage.source import Source, SplitImages, evidence_of
from datasets.storage.tree import is_tree, open_tree

VERSION = 1
"""Raised when the same files would give other pixels, names or splits."""

FEWEST_IMAGES = 2
"""One to support and one to query: a class with fewer can be in no episode."""


@dataclass(frozen=True)
class ImageFolder:
    """A dataset of the user's own.

    Attributes:
        name: what results call it.
        path: a folder, zip or tar with ``train``, ``val`` and ``test`` folders of class folders, or with class folders
            alone, whose classes are then split.
        size: height and width to which images are resized.
        channels: 1 for grey or 3 for RGB.
        val_fraction: the part of the classes that validate, where the folder is not split already.
        test_fraction: the part that test.
        seed: of the split.
    """

    name: str
    path: Path | str
    size: int
    channels: int
    val_fraction: float | None = None
    test_fraction: float | None = None
    seed: int = 0

    @reading()
    def load(self, root: Path | str | None = None) -> Dataset:
        """The dataset, its cache under the data root ``root``.

        Raises:
            UserError: a setting is impossible, or does not fit the folder.
            BadData: an image or class is not what it should be: its name and what is wrong.
        """
        recipe, source = self.recipe_and_source()
        base = data_root(root)
        dataset = cache.find(recipe, base, source) or cache.build(recipe, base, source)
        return dataclasses.replace(dataset, name=self.name, origin=source.description)

    def recipe_and_source(self) -> tuple[cache.Recipe, Source]:
        """For the cache; raises UserError where a setting is impossible, or the folder is not there."""
        name, size, channels = self.name, self.size, self.channels
        path = user_path(self.path, f"dataset '{name}': path")
        if not is_tree(path):
            raise UserError(f"dataset '{name}': there is no folder, .zip or .tar at {path}")
        if not 1 <= size <= 1024:
            raise UserError(f"dataset '{name}': `1 <= size <= 1024` must hold, but got size={size}")
        if channels not in (1, 3):
            raise UserError(f"dataset '{name}': channels must be 1 (grey) or 3 (RGB), but got {channels}")
        fractions = fractions_of(name, self.val_fraction, self.test_fraction)
        form = Format(size, channels, by_content=False)

        def read() -> Iterator[SplitImages]:
            return read_plan(_plan(name, path, fractions, self.seed), form)

        settings = repr((str(path.resolve()), size, channels, fractions, self.seed))
        of_settings = hashlib.sha256(settings.encode()).hexdigest()[:12]
        recipe = cache.Recipe(f"folder-{of_settings}", VERSION, rotate_train=False, duplicates_allowed=False)
        return recipe, Source(str(path), lambda: evidence_of([path]), form.image_shape, read, paths=[path])


def _plan(name: str, path: Path, fractions: tuple[float, float] | None, seed: int) -> Plan:
    with open_tree(path) as tree:
        plan: Plan | None = find_split_folders(tree)
        if plan is not None and fractions is not None:
            raise UserError(f"dataset '{name}': {path} has train, val and test folders; leave out `split`")
        if plan is None:
            classes = find_class_folders(tree)
            if fractions is None:
                raise UserError(
                    f"dataset '{name}': {path} has {len(classes)} class folders, but no train, val and test folders; "
                    "say how to split them, such as `split: {val: 0.2, test: 0.2}`"
                )
            of_split = split_names("image-folder split", list(classes), fractions, seed)
            if of_split is None:
                raise UserError(f"dataset '{name}': {len(classes)} classes are too few to split by {fractions}")
            plan = {split: {label: classes[label] for label in of_split[split]} for split in SPLITS}
    for split in SPLITS:
        for label, files in plan[split].items():
            if len(files.files) < FEWEST_IMAGES:
                raise BadData(
                    f"{path}: class '{label}' ({split}) has {len(files.files)} image; it needs {FEWEST_IMAGES}"
                )
    return plan
