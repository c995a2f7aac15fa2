"""CIFAR-100 (Krizhevsky 2009) in each of the forms in which people have it.

- Class folders of images, ``.../<class>/<image>.png``, in a folder, .zip or uncompressed .tar: CIFAR-FS as its authors
  lay it out (``cifar100/data/<class>``), with or without folders for the splits.
- Krizhevsky's ``cifar-100-python.tar.gz``, or the folder that it unpacks to, which is torchvision's: the pickles
  ``train``, ``test`` and ``meta``.

Images of the original training and test sets are put together; the order within a class is that of the SHA-256 of the
pixels, so that the same pixels give the same dataset in whatever form they came.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from datasets.core.episodes import SPLITS
from datasets.core.errors import BadData
from datasets.formats.plan import ClassFiles, Format, Plan, by_content, read_plan
from datasets.splits.expected import Expected
from datasets.storage import restricted_pickle
from datasets.storage.compressed import read_compressed_tar
from datasets.storage.decode import is_image
from datasets.storage.source import ClassImages, Source, SplitImages, evidence_of
from datasets.storage.tree import open_tree

PICKLES = ("train", "test", "meta")
PICKLE_FOLDER = "cifar-100-python"
ARCHIVE = f"{PICKLE_FOLDER}.tar.gz"
GZIPPED = (".tar.gz", ".tgz")

PLACES = (
    "cifar-fs/cifar-fs.zip",
    "cifar-fs/cifar100.zip",
    "cifar-fs/cifar100/data",
    "cifar-fs/data",
    "cifar100/data",
    "cifar-fs.zip",
    f"cifar100/{PICKLE_FOLDER}",
    f"cifar100/{ARCHIVE}",
    PICKLE_FOLDER,
    ARCHIVE,
)
"""The places of CIFAR-100 below a data root, torchvision's folders among them."""


def find(root: Path) -> Path | None:
    """Return the first of ``PLACES`` below ``root`` that holds CIFAR-100, or None."""
    for place in PLACES:
        path = root / place
        if path.is_file() or (path.is_dir() and (path.name != PICKLE_FOLDER or _holds_pickles(path))):
            return path
    return None


def source_at(path: Path, expected: Expected) -> Source:
    """Return whatever form lies at ``path`` as a source of the classes of ``expected``."""
    image_shape = image_format(expected).image_shape
    folder = pickle_folder(path)

    def read() -> Iterator[SplitImages]:
        if folder is not None:
            return _read_folder(folder, expected)
        if path.name.endswith(GZIPPED):
            return _read_archive(path, expected)
        return read_plan(plan_at(path, expected), image_format(expected))

    files = [path] if folder is None else [folder / name for name in PICKLES]
    where = str(path if folder is None else folder)
    return Source(where, lambda: evidence_of(files), image_shape, read, paths=files)


def holds_images(path: Path) -> bool:
    """Return whether ``path`` has the form of class folders of images, and not that of pickles."""
    return pickle_folder(path) is None and not path.name.endswith(GZIPPED)


def image_format(expected: Expected) -> Format:
    """Return the format of the images: RGB of exactly the size that is expected."""
    return Format(expected.size, channels=3, by_content=True, resize=False)


def pickle_folder(path: Path) -> Path | None:
    """Return ``path`` or its folder ``cifar-100-python``, whichever holds the three pickles, or None."""
    return next((folder for folder in (path, path / PICKLE_FOLDER) if _holds_pickles(folder)), None)


def _holds_pickles(folder: Path) -> bool:
    return all((folder / name).is_file() for name in PICKLES)


def plan_at(path: Path, expected: Expected) -> Plan:
    """Return which files of the folder, zip or tar at ``path`` are the images of which class.

    Raises:
        BadData: no class folders, or classes or images are missing or foreign.
    """
    files: dict[str, list[str]] = {}
    with open_tree(path) as tree:
        for name in tree.sizes:
            if is_image(name) and not PurePosixPath(name).name.startswith("."):
                files.setdefault(PurePosixPath(name).parent.name, []).append(name)
    known = expected.all_classes
    if not known & files.keys():
        raise BadData(
            f"{path} holds no form of CIFAR-100 that is read: neither folders of images named as its classes (such as "
            f"{min(known)}/), nor the pickles {', '.join(PICKLES)}, nor {ARCHIVE}"
        )
    if foreign := sorted(files.keys() - known):
        raise BadData(f"{path} has images in '{foreign[0]}', which is no class of CIFAR-100; get a new copy")
    plan: Plan = {
        split: {
            label: ClassFiles(path, sorted(files[label])) for label in sorted(expected.classes[split]) if label in files
        }
        for split in SPLITS
    }
    for split in SPLITS:
        expected.check(split, {label: len(of_class.files) for label, of_class in plan[split].items()}, str(path))
    return plan


@dataclass(frozen=True)
class _Images:
    """The contents of one of the pickles ``train`` and ``test``: images [N, 3, size, size] and labels [N]."""

    where: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


def _read_folder(folder: Path, expected: Expected) -> Iterator[SplitImages]:
    return _read_pickles(lambda name: (restricted_pickle.read(folder / name), str(folder / name)), expected)


def _read_archive(path: Path, expected: Expected) -> Iterator[SplitImages]:
    members = read_compressed_tar(path, PICKLES)
    if missing := [name for name in PICKLES if name not in members]:
        raise BadData(f"{path} lacks {', '.join(missing)}; it is not CIFAR-100's python archive: get a new copy")

    def content_of(name: str) -> tuple[object, str]:
        where = f"'{name}' in {path}"
        return restricted_pickle.read_from(io.BytesIO(members.pop(name)), where), where

    return _read_pickles(content_of, expected)


def _read_pickles(content_of: Callable[[str], tuple[object, str]], expected: Expected) -> Iterator[SplitImages]:
    """The splits from the three pickles; ``content_of`` gives the content of one and what messages call it."""
    names = _class_names(*content_of("meta"))
    parts = [_images_of(*content_of(name), len(names), expected.size) for name in ("train", "test")]
    where = " and ".join(part.where for part in parts)
    if foreign := sorted(set(names) - expected.all_classes):
        raise BadData(f"{where} have the class '{foreign[0]}', which is not one of CIFAR-100; get new copies")
    totals = np.bincount(np.concatenate([part.labels for part in parts]), minlength=len(names))
    counts = dict(zip(names, totals.tolist(), strict=True))
    for split in SPLITS:
        of_split = {name: counts[name] for name in sorted(expected.classes[split]) if name in counts}
        expected.check(split, of_split, where)
        yield SplitImages(split, of_split, (_of_class(parts, name, names.index(name)) for name in of_split))


def _of_class(parts: list[_Images], name: str, label: int) -> ClassImages:
    places = [np.flatnonzero(part.labels == label) for part in parts]
    images = np.concatenate([part.images[at] for part, at in zip(parts, places, strict=True)])
    labels = [f"{part.where}: image {i} ({name})" for part, at in zip(parts, places, strict=True) for i in at]
    return by_content(ClassImages(name, images, labels))


def _class_names(content: object, where: str) -> list[str]:
    names = content.get("fine_label_names") if isinstance(content, Mapping) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise BadData(f"{where} holds no list of distinct names 'fine_label_names'; get a new copy")
    return names


def _images_of(content: object, where: str, n_classes: int, size: int) -> _Images:
    data, labels = (content.get(key) if isinstance(content, Mapping) else None for key in ("data", "fine_labels"))
    values = 3 * size * size
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != values:
        kind = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise BadData(f"'data' in {where} is {kind}, but must be uint8 (N, {values}); get a new copy")
    whole = isinstance(labels, list) and all(isinstance(label, int) and 0 <= label < n_classes for label in labels)
    if not whole or not isinstance(labels, list) or len(labels) != len(data):
        raise BadData(
            f"'fine_labels' in {where} must be {len(data):,} whole numbers from 0 to {n_classes - 1}; get a new copy"
        )
    return _Images(where, data.reshape(-1, 3, size, size), np.array(labels, dtype=np.int64))
