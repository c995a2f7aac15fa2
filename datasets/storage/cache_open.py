"""Opening the arrays that an index of the cache names: mapped, checked against the index, and read whole once a run."""

from __future__ import annotations

import re
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from datasets.core.episodes import Split
from datasets.storage.cache_index import Index, SplitIndex, fingerprint_of
from datasets.storage.cache_write import file_name, split_digest
from datasets.storage.reading import kind_of, require_file
from datasets.storage.verified import stamp_of, trust, verified_stamps

ATTEMPTS = 3
"""Readings of an array that changes its times meanwhile, as where another data root's cache is linked to it."""

_READ_AT_ONCE = 2**20
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class SplitArray:
    """The mapped array of one split, [N, *example_shape], class by class.

    Attributes:
        array: the examples.
        offsets: as in ``ImagePool``.
        class_ids: as in ``ImagePool``.
        columns: as in ``SplitImages``.
    """

    array: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    class_ids: npt.NDArray[np.int64]
    columns: str = ""


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


def open_arrays(recipe: AnyRecipe[D], folder: Path, index: Index, *, verify: bool) -> D:
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
            entry.columns,
        )
    return recipe.dataset(index.fingerprint, names, arrays)


def _map(folder: Path, index: Index, split: Split, verify: bool) -> npt.NDArray[Any]:
    """[N, *example_shape] the array of a split; see ``open_arrays``."""
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
    if verify:
        _verify(folder, index, entry)
    return images


def _verify(folder: Path, index: Index, entry: SplitIndex) -> None:
    """Raise ValueError where an array does not have its digest, unless it had in this run."""
    path = folder / entry.file
    for _ in range(ATTEMPTS):
        stamp = stamp_of(path, path.lstat(), entry.sha256)
        if stamp in verified_stamps():
            return
        if digest_of(folder, index, entry) != entry.sha256:
            raise ValueError(f"{entry.file} holds other images than were written")
        if stamp_of(path, path.lstat(), entry.sha256) == stamp:
            trust([stamp])
            return
    raise ValueError(f"{entry.file} changed while it was read")


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
