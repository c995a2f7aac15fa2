"""Class folders: ``<split>/<class>/<image>``, or ``<class>/<image>`` without a split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData
from datasets.formats.plan import ClassFiles
from datasets.storage.decode import is_image
from datasets.storage.tree import Tree

SPLIT_FOLDERS: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "valid": "val",
    "test": "test",
}


def find_split_folders(tree: Tree) -> dict[Split, dict[str, ClassFiles]] | None:
    """The classes of each split where images lie in class folders under train, val and test; None where they do not.

    Raises:
        BadData: some of the three folders are there and others are not.
    """
    by_split: dict[Split, dict[str, list[str]]] = {}
    for name in _images(tree):
        *_, split, label, _file = ("", "", *PurePosixPath(name).parts)
        if split in SPLIT_FOLDERS:
            by_split.setdefault(SPLIT_FOLDERS[split], {}).setdefault(label, []).append(name)
    if not by_split:
        return None
    if missing := [split for split in SPLITS if split not in by_split]:
        raise BadData(f"{tree.path} has class folders under {', '.join(by_split)}, but none under {', '.join(missing)}")
    return {split: _files(tree, by_split[split]) for split in SPLITS}


def find_class_folders(tree: Tree) -> dict[str, ClassFiles]:
    """The classes where images lie in folders of their classes; raises BadData where there are none."""
    by_class: dict[str, list[str]] = {}
    for name in _images(tree):
        *_, label, _file = ("", *PurePosixPath(name).parts)
        if not label:
            raise BadData(f"{tree.path} holds {name} outside of any class folder; move it into the folder of its class")
        by_class.setdefault(label, []).append(name)
    if not by_class:
        raise BadData(f"{tree.path} holds no PNG, JPEG or BMP images in class folders")
    return _files(tree, by_class)


def _images(tree: Tree) -> list[str]:
    return [name for name in tree.sizes if is_image(name)]


def _files(tree: Tree, by_class: Mapping[str, list[str]]) -> dict[str, ClassFiles]:
    return {label: ClassFiles(tree.path, sorted(names)) for label, names in sorted(by_class.items())}
