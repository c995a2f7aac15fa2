"""Datasets whose images are files: which files make which class of which split, and how they are read.

Every form in which a dataset lies about as image files (class folders, one folder and lists, ImageNet's own tree)
comes down to such a plan. A plan is read here, in order or by several processes; each class that a process finishes
is kept on disk, so that an interrupted reading can continue.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from datasets.core.episodes import SPLITS, Split
from datasets.core.image_pools import ImageDataset
from datasets.storage import cache, decode
from datasets.storage.cache_write import write_file
from datasets.storage.reading import require_file
from datasets.storage.source import ClassImages, Progress, Source, SplitImages
from datasets.storage.tree import Tree, open_tree


@dataclass(frozen=True)
class ClassFiles:
    """The image files of one class: their names in the folder or archive ``tree``."""

    tree: Path
    files: Sequence[str]


Plan = Mapping[Split, Mapping[str, ClassFiles]]


@dataclass(frozen=True)
class Format:
    """The form that images are read into.

    Attributes:
        size: height and width.
        channels: 1 (grey) or 3 (RGB).
        by_content: order the images of a class by the SHA-256 of their pixels, not by their files: then the order
            does not tell in which of several forms the dataset came.
        resize: resize images of another size; else they are refused.
    """

    size: int
    channels: int
    by_content: bool
    resize: bool = True

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.size, self.size


def by_content(of_class: ClassImages) -> ClassImages:
    """The same images in the order of the SHA-256 of their pixels."""
    order = sorted(range(len(of_class.images)), key=lambda i: hashlib.sha256(of_class.images[i].tobytes()).digest())
    return ClassImages(of_class.name, of_class.images[order], [of_class.labels[i] for i in order])


def evidence_of_plan(plan: Plan) -> str:
    """Digest of the names, sizes and times of the plan's files, or of the archives that hold them."""
    sha = hashlib.sha256()
    for split in SPLITS:
        for name, of_class in plan[split].items():
            in_folder = of_class.tree.is_dir()
            for file in of_class.files:
                status = (of_class.tree / file if in_folder else of_class.tree).stat()
                sha.update(f"{split}\0{name}\0{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return sha.hexdigest()


class _Trees:
    """Folders and archives that are opened once: the table of contents of a large zip takes seconds to read."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._trees: dict[Path, Tree] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __getitem__(self, path: Path) -> Tree:
        if path not in self._trees:
            self._trees[path] = self._stack.enter_context(open_tree(path))
        return self._trees[path]


def read_plan(plan: Plan, form: Format, parts: Path | None = None) -> Iterator[SplitImages]:
    """Return the splits of the plan; classes that ``read_in_parallel`` left in ``parts`` are read from there."""
    with _Trees() as trees:

        def classes(split: Split) -> Iterator[ClassImages]:
            for name, files in plan[split].items():
                kept = None if parts is None else _kept(_part(parts, split, name), name, form)
                yield kept or _read_class(trees[files.tree], name, files, form)

        for split in SPLITS:
            counts = {name: len(files.files) for name, files in plan[split].items()}
            yield SplitImages(split, counts, classes(split))


def read_in_parallel(plan: Plan, form: Format, parts: Path, workers: int, progress: Progress | None = None) -> None:
    """Read every class of the plan into a file of the folder ``parts``, ``workers`` processes at a time.

    Classes that are there already are not read again.

    Raises:
        BadData: an image is not what it should be; classes read until then stay.
    """
    parts.mkdir(parents=True, exist_ok=True)
    tasks = [(split, name, files) for split in SPLITS for name, files in plan[split].items()]
    todo = [task for task in tasks if not _part(parts, task[0], task[1]).exists()]
    total = sum(len(files.files) for _, _, files in tasks)
    done = total - sum(len(files.files) for _, _, files in todo)
    if progress is not None:
        progress(done, total)
    for finished in _in_processes(workers, parts, todo, form):
        done += finished
        if progress is not None:
            progress(done, total)


def build_in_parallel(
    recipe: cache.Recipe,
    root: Path,
    path: Path,
    plan: Plan,
    form: Format,
    workers: int | None = None,
    progress: Progress | None = None,
) -> ImageDataset:
    """Build the cache of a dataset from a plan, whose images several processes read.

    An interrupted call keeps the classes that were read; the same call continues with the others.

    Args:
        recipe: what to build.
        root: the data root.
        path: where the plan's files lie, for messages.
        plan: the files.
        form: the form that images are read into.
        workers: processes that read; the number of cores by default.
        progress: told of the images done.

    Raises:
        BadData: an image is not what it should be.
    """
    evidence = evidence_of_plan(plan)
    parts = cache.writable(recipe, root) / f"parts-{evidence[:16]}"
    read_in_parallel(plan, form, parts, workers or os.cpu_count() or 1, progress)
    source = Source(str(path), lambda: evidence, form.image_shape, lambda: read_plan(plan, form, parts))
    dataset = cache.build(recipe, root, source, prepared=True)
    shutil.rmtree(parts)
    return dataset


def _in_processes(
    workers: int, parts: Path, todo: Sequence[tuple[Split, str, ClassFiles]], form: Format
) -> Iterator[int]:
    """Reads the classes of ``todo``; yields the number of images of each when it is done."""
    calls = [(_part(parts, split, name), name, files, form) for split, name, files in todo]
    if workers == 1 or len(calls) < 2:
        with _Trees() as trees:
            yield from (_read_part(trees, *call) for call in calls)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in mid-air
    with ProcessPoolExecutor(min(workers, len(calls)), mp_context=context) as pool:
        try:
            for finished in as_completed([pool.submit(_read_part_in_worker, *call) for call in calls]):
                yield finished.result()
        finally:
            pool.shutdown(cancel_futures=True)


_trees_of_worker = _Trees()


def _read_part_in_worker(part: Path, name: str, files: ClassFiles, form: Format) -> int:
    """``_read_part`` in a process of a pool, which keeps its trees open until it ends."""
    return _read_part(_trees_of_worker, part, name, files, form)


def _read_part(trees: _Trees, part: Path, name: str, files: ClassFiles, form: Format) -> int:
    of_class = _read_class(trees[files.tree], name, files, form)
    write_file(part, lambda file: np.savez(file, images=of_class.images, labels=np.array(of_class.labels)))
    return len(of_class.images)


def _read_class(tree: Tree, name: str, files: ClassFiles, form: Format) -> ClassImages:
    labels = [f"{tree.path.name}: {file}" for file in files.files]
    images: npt.NDArray[np.uint8] = np.empty((len(labels), *form.image_shape), dtype=np.uint8)
    for image, file, label in zip(images, files.files, labels, strict=True):
        image[...] = decode.pixels(
            tree.read(file),
            label,
            size=form.size,
            channels=form.channels,
            drawn_at=None if form.resize else form.size,
        )
    of_class = ClassImages(name, images, labels)
    return by_content(of_class) if form.by_content else of_class


def _part(parts: Path, split: Split, name: str) -> Path:
    return parts / f"{split}-{hashlib.sha256(name.encode()).hexdigest()[:20]}.npz"


def _kept(part: Path, name: str, form: Format) -> ClassImages | None:
    """The class from a part that is whole, or None."""
    try:
        require_file(part)
        with np.load(part, allow_pickle=False) as arrays:
            of_class = ClassImages(name, arrays["images"], [str(label) for label in arrays["labels"]])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # BadData is a ValueError
        return None
    return of_class if of_class.images.shape[1:] == form.image_shape else None
