"""Arrays whose contents match their digests, remembered so that a run reads each once and not once a cell.

A stamp identifies an array by its path and by the size, inode and times that the file system states; a change of the
contents changes a time. A process passes its stamps on to the processes that it starts (``verified_stamps`` there,
``trust`` here); a process without stamps, because it was started alone, reads the arrays itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import stat_result
from pathlib import Path

_known: set[Stamp] = set()


@dataclass(frozen=True)
class Stamp:
    """An array file whose contents had this digest.

    Attributes:
        path: where it lies.
        inode: of the file; a file that replaces another has its own.
        size: in bytes.
        modified: time of the last change of its contents, in ns; programs can set it.
        changed: time of the last change of anything, in ns; programs cannot set it.
        sha256: the digest that its split has in the index.
    """

    path: str
    inode: int
    size: int
    modified: int
    changed: int
    sha256: str


def stamp_of(path: Path, status: stat_result, sha256: str) -> Stamp:
    """The stamp of the file at ``path`` with that digest."""
    return Stamp(str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, sha256)


def verified_stamps() -> frozenset[Stamp]:
    """The arrays that this process has verified, or was told are."""
    return frozenset(_known)


def trust(stamps: Iterable[Stamp]) -> None:
    """Take these arrays as verified."""
    _known.update(stamps)
