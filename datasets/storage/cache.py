"""Datasets as they are used: one memory-mapped array per split, built once from a source, and read whole
and checked against its digest once a run (see ``datasets.storage.verified``).

A dataset's folder holds ``index.json`` and one ``<split>-<digest>.npy`` per split. The arrays are written under
temporary names, flushed and renamed. The index, which names the arrays, comes last, in one rename, so that a reader
sees either the old state or the new one and needs no lock; builders hold one. Processes that map an array share the
system's page cache: opening a dataset copies nothing. Data roots with the same files share their arrays (see
``datasets.storage.cache_sharing``).
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from datasets.core.episodes import Split
from datasets.core.errors import BadData, UserError
from datasets.core.image_pools import ImageDataset, ImagePool
from datasets.storage.cache_index import SCHEMA, Index, SplitIndex, fingerprint_of, read_index
from datasets.storage.cache_open import AnyRecipe, D, SplitArray, digest_of, open_arrays
from datasets.storage.cache_sharing import adopted
from datasets.storage.cache_write import (
    Written,
    read_split,
    remove_unfinished,
    write_file,
    write_split,
)
from datasets.storage.paths import cache_root
from datasets.storage.source import Progress, Source, SplitImages

_READ_AT_ONCE = 2**20
_SHA256 = re.compile("[0-9a-f]{64}")
__all__ = [
    "AnyRecipe",
    "Index",
    "Recipe",
    "SplitArray",
    "SplitIndex",
    "build",
    "digest_of",
    "examine",
    "find",
    "fitting",
    "folders",
    "load",
    "locate",
    "writable",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """The parameters of making a dataset from its source that the cache depends on.

    Attributes:
        name: the dataset's.
        version: of the reading code: raised when the same files would give other pixels, names or splits.
        rotate_train: whether episodes turn the training classes.
        duplicates_allowed: whether the same pixels in two splits are recorded and logged, or refused.
    """

    name: str
    version: int
    rotate_train: bool
    duplicates_allowed: bool

    def dataset(
        self, fingerprint: str, class_names: tuple[str, ...], arrays: Mapping[Split, SplitArray]
    ) -> ImageDataset:
        """Return the dataset from the arrays of its splits."""
        pools: dict[Split, ImagePool] = {
            split: ImagePool(part.array, part.offsets, part.class_ids, self.rotate_train and split == "train")
            for split, part in arrays.items()
        }
        return ImageDataset(self.name, fingerprint, pools, class_names)


def folders(recipe: AnyRecipe[Any], root: Path) -> tuple[Path, Path]:
    """Return where the cache of a dataset is built, and where earlier versions built it.

    It is built below ``cache_root()``, in a folder for each data root: a data root may be somebody's folder of
    originals, and nothing is written there. Earlier versions wrote ``cache/`` into it; such a cache is still read.
    """
    of_root = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    beside_data = root / "cache" / recipe.name
    own = cache_root()
    return (beside_data if root.resolve() == own.resolve() else own / "cache-of" / of_root / recipe.name), beside_data


def load(recipe: AnyRecipe[D], root: Path, source: Source | None) -> D | None:
    """The dataset, built from ``source`` if need be; None where there is neither a cache nor a source.

    Raises:
        BadData: as ``find`` and ``build``.
    """
    cached = find(recipe, root, source)
    return cached if cached is not None or source is None else build(recipe, root, source)


def find(recipe: AnyRecipe[D], root: Path, source: Source | None) -> D | None:
    """The dataset from a cache that fits ``source`` and holds what its digests say, or None.

    Raises:
        BadData: a cache is damaged, and cannot be rebuilt: it was prepared, or there is no source.
    """
    return _find(recipe, root, source, logging.WARNING)


def _find(recipe: AnyRecipe[D], root: Path, source: Source | None, level: int) -> D | None:
    """See ``find``; what is damaged is logged at that level."""
    for folder, index in fitting(recipe, root, source):
        try:
            return open_arrays(recipe, folder, index, verify=True)
        except (OSError, ValueError) as error:
            if source is None or index.prepared:
                verb = f"prepare {recipe.name} --from PATH" if index.prepared else f"fetch {recipe.name}"
                raise BadData(
                    f"the cache of {recipe.name} in {folder} is damaged ({error}) and is not used; it was made from "
                    f"{index.source}: run python -m bench data {verb}, or delete that folder"
                ) from error
            _log.log(level, "the cache in %s is damaged (%s) and is rebuilt", folder, error)
    return None


def locate(recipe: AnyRecipe[Any], root: Path, source: Source | None) -> tuple[Path, Index] | None:
    """The folder and index of a cache that is whole by its form and still fits ``source``, or None."""
    for folder, index in fitting(recipe, root, source):
        try:
            open_arrays(recipe, folder, index, verify=False)
        except (OSError, ValueError) as error:
            _log.warning("the cache in %s is damaged (%s)", folder, error)
            continue
        return folder, index
    return None


def fitting(recipe: AnyRecipe[Any], root: Path, source: Source | None) -> Iterator[tuple[Path, Index]]:
    """The caches that were made by this reading code, from ``source`` as it is now; see ``locate``."""
    for folder in folders(recipe, root):
        index = read_index(folder)
        if index is None or (index.recipe, index.version) != (recipe.name, recipe.version):
            continue
        if source is not None and not index.prepared and index.evidence != source.evidence():
            _log.info("the cache in %s is stale: %s has changed", folder, source.description)
            continue
        yield folder, index


def build(
    recipe: AnyRecipe[D], root: Path, source: Source, *, prepared: bool = False, progress: Progress | None = None
) -> D:
    """Build the cache from ``source``, unless another process does so first, and open it.

    Args:
        recipe: what to build.
        root: the data root.
        source: what to build it from.
        prepared: the user named the source: rebuild, and keep the result whatever the data root holds.
        progress: told of every class done.

    Raises:
        BadData: the source is not what it should be; nothing is left behind.
        UserError: there is no place to write to.
    """
    folder = writable(recipe, root)
    with filelock.FileLock(folder / "lock"):
        if not prepared and (cached := _find(recipe, root, source, logging.DEBUG)) is not None:
            return cached
        content = source.content()
        index = None if prepared else adopted(recipe, folder, source, content)
        if index is None:
            _log.info("building the cache of %s in %s from %s", recipe.name, folder, source.description)
            index = _write(recipe, folder, source, progress)
        _commit(folder, replace(index, prepared=prepared, content=content))
        return open_arrays(recipe, folder, index, verify=True)


def examine(recipe: AnyRecipe[Any], source: Source) -> Index:
    """Return the index that a cache built from ``source`` would have; every example is read, and nothing is written.

    Raises:
        BadData: the source is not what it should be.
    """
    return _read(recipe, source, lambda content, on_class: read_split(content, source, on_class))


def _write(recipe: AnyRecipe[Any], folder: Path, source: Source, progress: Progress | None) -> Index:
    """Write the arrays of the source, and return their index."""
    remove_unfinished(folder)
    return _read(recipe, source, lambda content, on_class: write_split(folder, content, source, on_class), progress)


def _commit(folder: Path, index: Index) -> None:
    """Write the index, and remove the arrays of an earlier one."""
    write_file(folder / "index.json", lambda file: file.write(json.dumps(asdict(index), indent=1).encode()))
    current = {split.file for split in index.splits.values()}
    for old in folder.glob("*.npy"):
        if old.name not in current:
            old.unlink(missing_ok=True)


def _read(
    recipe: AnyRecipe[Any],
    source: Source,
    keep: Callable[[SplitImages, Callable[[int], None]], Written],
    progress: Progress | None = None,
) -> Index:
    """Read the source whole, and return its index.

    Args:
        recipe: of the dataset.
        source: what to read.
        keep: reads the classes of a split, and tells the function that it is given the number of images of each.
        progress: told of every class done.
    """
    evidence = source.evidence()  # before reading: files that change meanwhile make the cache stale, not wrong
    splits: dict[Split, SplitIndex] = {}
    seen: dict[bytes, str] = {}
    duplicates: list[str] = []
    done = 0

    def on_class(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, None)

    for content in source.read():
        _refuse_shared_classes(content, splits, source)
        kept = keep(content, on_class)
        duplicates += [f"{seen[d]} = {label} ({content.split})" for d, label in kept.labels.items() if d in seen]
        seen |= {d: f"{label} ({content.split})" for d, label in kept.labels.items()}
        splits[content.split] = SplitIndex(
            kept.file, kept.sha256, tuple(content.counts), tuple(content.counts.values()), content.columns
        )
    _judge_duplicates(recipe, source, duplicates)
    index = Index(
        SCHEMA, recipe.name, recipe.version, source.description, evidence, False, source.image_shape,
        "", splits, tuple(duplicates), source.dtype,
    )  # fmt: skip
    return replace(index, fingerprint=fingerprint_of(index))


def _refuse_shared_classes(content: SplitImages, earlier: dict[Split, SplitIndex], source: Source) -> None:
    for split, index in earlier.items():
        if shared := sorted(set(index.class_names) & set(content.counts)):
            raise BadData(
                f"{source.description}: {len(shared)} classes are in both {split} and {content.split}, "
                f"such as '{shared[0]}'; a class belongs to one split"
            )


def _judge_duplicates(recipe: AnyRecipe[Any], source: Source, duplicates: list[str]) -> None:
    if not duplicates:
        return
    first = "; ".join(duplicates[:3])
    if not recipe.duplicates_allowed:
        raise BadData(
            f"{source.description}: {len(duplicates)} {source.unit} are in two splits, such as {first}; "
            "remove one of each"
        )
    _log.warning("%s: %d images are in two splits, such as %s", recipe.name, len(duplicates), first)


def writable(recipe: AnyRecipe[Any], root: Path) -> Path:
    """Return the folder in which the cache is built, made if need be; raises UserError where it cannot be written."""
    folder, _ = folders(recipe, root)
    try:
        _respect_rights(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(
            f"no place to write the cache of {recipe.name}: {folder} ({error.strerror}); set BENCH_CACHE to one"
        ) from error


def _respect_rights(folder: Path) -> None:
    """Raise PermissionError where the nearest existing folder has no write permission.

    Whoever shut a folder for writing meant it, also for the superuser, whom the system would let through.
    """
    while not folder.exists():
        folder = folder.parent
    if not folder.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EACCES, "read-only", str(folder))
