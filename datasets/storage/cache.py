"""Datasets as they are used: one memory-mapped array per split, built once from a source, and read whole
and checked against its digest once a run (see ``datasets.storage.verified``).

A dataset's folder holds ``index.json`` and one ``<split>-<digest>.npy`` per split. The arrays are written under
temporary names, flushed and renamed. The index, which names the arrays, comes last, in one rename, so that a reader
sees either the old state or the new one and needs no lock; builders hold one. Processes that map an array share the
system's page cache: opening a dataset copies nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import filelock
import numpy as np
import numpy.typing as npt

from datasets.core.episodes import Split
from datasets.core.image_pools import ImageDataset, ImagePool
from datasets.core.registry import UserError
from datasets.storage.cache_index import SCHEMA, Index, SplitIndex, fingerprint_of, read_index
from datasets.storage.cache_write import (
    Written,
    file_name,
    read_split,
    remove_unfinished,
    split_digest,
    write_file,
    write_split,
)
from datasets.storage.paths import BadData, cache_root
from datasets.storage.reading import kind_of, require_file
from datasets.storage.source import Progress, Source, SplitImages
from datasets.storage.verified import stamp_of, trust, verified_stamps

_READ_AT_ONCE = 2**20
_SHA256 = re.compile("[0-9a-f]{64}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitArray:
    """The mapped array of one split, [N, *example_shape], class by class; the rest as in ``ImagePool``."""

    array: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    class_ids: npt.NDArray[np.int64]


D = TypeVar("D", covariant=True)


class AnyRecipe(Protocol[D]):
    """The steps by which the cache makes a dataset; see ``Recipe``."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def duplicates_allowed(self) -> bool: ...
    def dataset(self, fingerprint: str, class_names: tuple[str, ...], arrays: Mapping[Split, SplitArray]) -> D: ...


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
            return _open(recipe, folder, index, verify=True)
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
            _open(recipe, folder, index, verify=False)
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


def digest_of(folder: Path, index: Index, split: SplitIndex) -> str:
    """The digest of a split's array as it is now; equal to ``split.sha256`` unless it is damaged.

    The file is read, not mapped: pages of a map would count as memory of the process.

    Raises:
        OSError, ValueError: the array cannot be read, or is none.
    """
    name = next(name for name, other in index.splits.items() if other is split)
    counts = dict(zip(split.class_names, split.counts, strict=True))
    sha = split_digest(name, index.image_shape, counts, split.columns)
    path = folder / split.file
    require_file(path)
    start = _mapped(path).offset
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(_READ_AT_ONCE):
            sha.update(block)
    return sha.hexdigest()


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
        _log.info("building the cache of %s in %s from %s", recipe.name, folder, source.description)
        index = _write(recipe, folder, source, prepared, progress)
        return _open(recipe, folder, index, verify=True)


def examine(recipe: AnyRecipe[Any], source: Source) -> Index:
    """Return the index that a cache built from ``source`` would have; every example is read, and nothing is written.

    Raises:
        BadData: the source is not what it should be.
    """
    return _read(recipe, source, lambda content, on_class: read_split(content, source, on_class))


def _write(recipe: AnyRecipe[Any], folder: Path, source: Source, prepared: bool, progress: Progress | None) -> Index:
    remove_unfinished(folder)
    index = _read(recipe, source, lambda content, on_class: write_split(folder, content, source, on_class), progress)
    index = replace(index, prepared=prepared)
    write_file(folder / "index.json", lambda file: file.write(json.dumps(asdict(index), indent=1).encode()))
    current = {split.file for split in index.splits.values()}
    for old in folder.glob("*.npy"):
        if old.name not in current:
            old.unlink(missing_ok=True)
    return index


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


def _open(recipe: AnyRecipe[D], folder: Path, index: Index, *, verify: bool) -> D:
    """The dataset of an index; raises ValueError or OSError where an array is not as the index says.

    With ``verify`` every array is read whole first, unless it was in this run; see ``datasets.storage.verified``.
    """
    names = tuple(sorted(name for split in index.splits.values() for name in split.class_names))
    numbers = {name: number for number, name in enumerate(names)}
    if index.fingerprint != fingerprint_of(index):
        raise ValueError("index.json has another fingerprint than its splits")
    arrays: dict[Split, SplitArray] = {}
    for split, entry in index.splits.items():
        arrays[split] = SplitArray(
            _map(folder, index, split, verify),
            np.concatenate([[0], np.cumsum(entry.counts)]).astype(np.int64),
            np.array([numbers[name] for name in entry.class_names], dtype=np.int64),
        )
    return recipe.dataset(index.fingerprint, names, arrays)


def _map(folder: Path, index: Index, split: Split, verify: bool) -> npt.NDArray[Any]:
    """[N, *example_shape] the array of a split; see ``_open``."""
    entry = index.splits[split]
    if not _SHA256.fullmatch(entry.sha256):
        raise ValueError(f"index.json has no digest of {split}")
    if entry.file != file_name(split, entry.sha256):
        raise ValueError(f"index.json names {entry.file[:80]!r} for {split}, not {file_name(split, entry.sha256)}")
    path = folder / entry.file
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{entry.file} is {kind_of(status)}, not a file")
    images = _mapped(path)
    expected = (sum(entry.counts), *index.image_shape)
    if images.shape != expected or images.dtype.str != index.dtype or not images.flags.c_contiguous:
        raise ValueError(f"{entry.file} is {images.dtype.str} {images.shape}, not {index.dtype} {expected}")
    stamp = stamp_of(path, status, entry.sha256)
    if verify and stamp not in verified_stamps():
        if digest_of(folder, index, entry) != entry.sha256:
            raise ValueError(f"{entry.file} holds other images than were written")
        if stamp_of(path, path.lstat(), entry.sha256) != stamp:
            raise ValueError(f"{entry.file} changed while it was read")
        trust([stamp])
    return images


def _mapped(path: Path) -> np.memmap[Any, np.dtype[Any]]:
    """The array at ``path`` as its header describes it; raises ValueError where that is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers as Python 2 wrote them
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header makes NumPy raise many kinds
        raise ValueError(f"{path.name} is not an array ({error})") from error
    if not isinstance(array, np.memmap):
        raise ValueError(f"{path.name} is not an array")
    return array


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
