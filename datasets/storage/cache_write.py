"""Writing one split's array to disk, class by class, with its digest and the digest of every image."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets.core.episodes import Split
from datasets.core.errors import BadData
from datasets.storage.source import ClassImages, Source, SplitImages

_UNFINISHED = ".part-"


@dataclass(frozen=True)
class Written:
    """The file name of a split's array, the split's digest, and the label of each image by its SHA-256."""

    file: str
    sha256: str
    labels: dict[bytes, str]


def split_digest(
    split: Split, image_shape: tuple[int, ...], counts: Mapping[str, int], columns: str = ""
) -> hashlib._Hash:
    """SHA-256 to which the values of a split are still to be added, class by class."""
    return hashlib.sha256(repr((split, image_shape, list(counts.items()))).encode() + columns.encode())


def file_name(split: Split, sha256: str) -> str:
    """The name of a split's array, by its digest."""
    return f"{split}-{sha256[:16]}.npy"


def write_split(folder: Path, content: SplitImages, source: Source, on_class: Callable[[int], None]) -> Written:
    """Stream the classes of one split into ``<folder>/<split>-<digest>.npy``.

    The digest covers the names and sizes of the classes and the values, not the source: the same values give the same
    file whatever form they came in.

    Args:
        folder: where to write.
        content: the split; its classes are read here, one at a time.
        source: where it comes from, with the shape and type of an example.
        on_class: told the number of images after each class.
    """
    shape = (sum(content.counts.values()), *source.image_shape)
    header = {"descr": source.dtype, "fortran_order": False, "shape": shape}
    with _temporary(folder) as (temporary, file):
        np.lib.format.write_array_header_1_0(file, header)
        written = read_split(content, source, on_class, file.write)
        _commit(temporary, file, folder / written.file)
    return written


def read_split(
    content: SplitImages,
    source: Source,
    on_class: Callable[[int], None],
    write: Callable[[bytes], object] = lambda block: None,
) -> Written:
    """Read the classes of one split and return what ``write_split`` does, having written nothing.

    Args:
        content: the split; its classes are read here, one at a time.
        source: where it comes from, with the shape and type of an example.
        on_class: told the number of images after each class.
        write: given the values of each class.
    """
    sha = split_digest(content.split, source.image_shape, content.counts, content.columns)
    labels: dict[bytes, str] = {}
    for (name, count), of_class in zip(content.counts.items(), content.classes, strict=True):
        _check(of_class, name, (count, *source.image_shape), source.dtype)
        for image, label in zip(of_class.images, of_class.labels, strict=True) if of_class.labels else ():
            labels.setdefault(hashlib.sha256(image.tobytes()).digest(), label)
        block = of_class.images.tobytes()
        sha.update(block)
        write(block)
        on_class(count)
    return Written(file_name(content.split, sha.hexdigest()), sha.hexdigest(), labels)


def write_file(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace ``target`` by what ``write`` writes, in one step."""
    with _temporary(target.parent) as (temporary, file):
        write(file)
        _commit(temporary, file, target)


def link_file(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, in one step; a copy where the file system has no hard links.

    Call it only while no other process writes to the folder of ``target``.
    """
    temporary = target.parent / f"{_UNFINISHED}{target.name}"
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # renaming a file to another name of its own does nothing


def remove_unfinished(folder: Path) -> None:
    """Delete the partly written files of a killed process; call it only while no other process writes to ``folder``."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        left.unlink(missing_ok=True)


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in ``folder`` that is gone afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=_UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            yield Path(name), file
    finally:
        Path(name).unlink(missing_ok=True)


def _commit(temporary: Path, file: BinaryIO, final: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    temporary.chmod(0o644)  # a cache may be shared by the users of a machine; mkstemp's 0600 would hide it
    temporary.replace(final)


def _check(of_class: ClassImages, name: str, expected: tuple[int, ...], dtype: str) -> None:
    if of_class.name != name or of_class.images.shape != expected or of_class.images.dtype.str != dtype:
        raise BadData(
            f"class '{of_class.name}' came as {of_class.images.dtype} {of_class.images.shape}, but class '{name}' as "
            f"{np.dtype(dtype)} {expected} was announced; the files changed while they were read: try again"
        )
