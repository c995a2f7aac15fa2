"""mini-ImageNet from image files: which file is which image, for each of the forms in which people have them.

- Class folders: ``train/<class>/*``, ``val/<class>/*`` and ``test/<class>/*``.
- One folder of images with Ravi and Larochelle's ``train.csv``, ``val.csv`` and ``test.csv`` (``filename,label``).
- ImageNet's own training folder (ILSVRC2012: ``<class>/<class>_<number>.JPEG``, or a tar of each class) with the same
  lists. Their names number the images of a class: ``n0153282900000005.jpg`` is the fifth of n01532829 in the order of
  ImageNet's numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData
from datasets.formats.plan import ClassFiles, Plan
from datasets.formats.split_folders import find_split_folders
from datasets.splits.expected import Expected
from datasets.storage.decode import is_image
from datasets.storage.reading import reading
from datasets.storage.tree import Tree, open_tree

Lists = Mapping[Split, Mapping[str, list[str]]]
"""The image names of each class of each split."""

IMAGENET_FOLDERS = (".", "train", "images", "ILSVRC2012_img_train", "Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/train")
"""The places of ImageNet's class folders below the folder that was given."""

_LISTED = re.compile(r"(n\d{8})(\d{8})\.\w+")
_OF_IMAGENET = re.compile(r"n\d{8}_(\d+)\.\w+")


def plan_at(path: Path, expected: Expected, lists_at: Path | None = None) -> Plan:
    """The plan for whatever form lies at ``path`` (a folder, zip or tar).

    Args:
        path: where the images are.
        expected: what must be there.
        lists_at: the folder of the three csv files, if they are not at ``path`` or beside it.

    Raises:
        BadData: no form that is known, or classes or images are missing.
    """
    beside = _lists_beside(path, lists_at)
    if path.is_dir() and beside is not None and (trees := _imagenet_classes(path, expected)) is not None:
        return _checked(_plan_of_imagenet(trees, beside), expected, path)
    with open_tree(path) as tree:
        lists = beside or _lists_in(tree)
        if lists is not None:
            plan: Plan = _plan_of_lists(tree, lists)
        elif (of_splits := find_split_folders(tree)) is not None:
            plan = of_splits
        else:
            raise BadData(
                f"{path} holds no form of mini-ImageNet that is read: neither the three pickles (such as "
                "mini-imagenet-cache-train.pkl), nor class folders under train, val and test, nor images with "
                "train.csv, val.csv and test.csv; for ImageNet's own training folder say where the lists are "
                "(`lists_at=`)"
            )
    return _checked(plan, expected, path)


def _checked(plan: Plan, expected: Expected, path: Path) -> Plan:
    for split in SPLITS:
        expected.check(split, {name: len(files.files) for name, files in plan[split].items()}, str(path))
    return plan


def _lists_beside(path: Path, lists_at: Path | None) -> Lists | None:
    for folder in (lists_at,) if lists_at is not None else (path, path.parent):
        files = {split: folder / f"{split}.csv" for split in SPLITS}
        if all(file.is_file() for file in files.values()):
            with reading():
                return {split: _parse(file.read_bytes(), str(file)) for split, file in files.items()}
    if lists_at is not None:
        raise BadData(f"{lists_at} lacks train.csv, val.csv or test.csv; give the folder that holds all three")
    return None


def _lists_in(tree: Tree) -> Lists | None:
    names = {split: [name for name in tree.sizes if PurePosixPath(name).name == f"{split}.csv"] for split in SPLITS}
    if not all(len(places) == 1 for places in names.values()):
        return None
    return {split: _parse(tree.read(places[0]), f"{tree.path}: {places[0]}") for split, places in names.items()}


def _parse(content: bytes, where: str) -> dict[str, list[str]]:
    """The image names of each class in a list with the columns filename and label."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{where} is not a list in csv form ({error}); get a new copy") from error
    listed: dict[str, list[str]] = {}
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        if not row or (number == 1 and row == ["filename", "label"]):
            continue
        if len(row) != 2 or not row[0] or not row[1]:
            raise BadData(f"{where}, line {number}: {','.join(row)[:80]!r} is not 'filename,label'; get a new copy")
        if row[0] in seen:
            raise BadData(f"{where}, line {number}: {row[0]} is listed twice; get a new copy")
        seen.add(row[0])
        listed.setdefault(row[1], []).append(row[0])
    return listed


def _plan_of_lists(tree: Tree, lists: Lists) -> Plan:
    """The plan where the images bear the names of the lists, in whatever folder."""
    places = {PurePosixPath(name).name: name for name in tree.sizes if is_image(name)}
    absent = [name for split in SPLITS for names in lists[split].values() for name in names if name not in places]
    if absent:
        raise BadData(f"{tree.path} lacks {len(absent):,} of the listed images, such as {absent[0]}; get a new copy")
    return {
        split: {
            label: ClassFiles(tree.path, [places[name] for name in sorted(names)])
            for label, names in sorted(lists[split].items())
        }
        for split in SPLITS
    }


def _imagenet_classes(path: Path, expected: Expected) -> dict[str, Path] | None:
    """The folder or tar of each class where ``path`` is ImageNet's training folder or holds it, or None."""
    names = [name for split in SPLITS for name in sorted(expected.classes[split])]
    for folder in IMAGENET_FOLDERS:
        for suffix in ("", ".tar"):
            places = {name: place for name in names if (place := path / folder / f"{name}{suffix}").exists()}
            if missing := [name for name in names if name not in places]:
                if places and not (path / "test").is_dir():  # with a test folder these are the class folders of a split
                    raise BadData(
                        f"{path / folder} lacks {len(missing)} of {len(names)} classes, such as {missing[0]}{suffix}"
                    )
            else:
                return places
    return None


def _plan_of_imagenet(trees: Mapping[str, Path], lists: Lists) -> Plan:
    return {
        split: {
            label: ClassFiles(trees[label], _chosen(trees[label], names))
            for label, names in sorted(lists[split].items())
            if label in trees
        }
        for split in SPLITS
    }


def _chosen(class_tree: Path, names: Iterable[str]) -> list[str]:
    """The files of one ImageNet class that the lists mean: by name where such files exist, else by number."""
    with open_tree(class_tree) as tree:
        files = [name for name in tree.sizes if is_image(name)]
    by_name = {PurePosixPath(name).name: name for name in files}
    numbered = {int(match[1]): name for name in files if (match := _OF_IMAGENET.fullmatch(PurePosixPath(name).name))}
    in_order = [numbered[number] for number in sorted(numbered)]
    chosen = []
    for name in sorted(names):
        match = _LISTED.fullmatch(name)
        if name in by_name:
            chosen.append(by_name[name])
        elif match and 1 <= int(match[2]) <= len(in_order):
            chosen.append(in_order[int(match[2]) - 1])
        else:
            raise BadData(
                f"{class_tree} lacks the image that the lists call {name}: it holds {len(in_order)} images named like "
                "ImageNet's; get a new copy of the class"
            )
    return chosen
