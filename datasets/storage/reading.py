"""Opening a dataset's files: regular files only, with the system's errors as one line each."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.core.errors import BadData, UserError
from datasets.storage.paths import data_root

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of writing, which the command line reports in its own words."""

_KINDS = {
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
}


def kind_of(status: os.stat_result) -> str:
    """Return what is there in words: ``a device``, ``a named pipe (FIFO)``; ``a file`` for regular files."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "a file")


def require_file(path: Path) -> None:
    """Raise BadData where ``path`` is anything but a regular file: a pipe waits for ever, a device need not end.

    A path at which there is nothing is left to whoever opens it.
    """
    try:
        status = path.stat()
    except OSError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise BadData(f"{path} is {kind_of(status)}, but must be a regular file; put the file itself there")


def require_there(path: Path, writer: str = "") -> None:
    """Raise BadData where there is nothing at ``path``, or anything but a regular file.

    Args:
        path: the file.
        writer: a command that writes such a file, to be named.
    """
    with reading(path):
        if not path.exists() or path.is_dir():
            what = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
            raise BadData(f"{what}; {f'give a file that `{writer}` wrote' if writer else 'give another path'}")
    require_file(path)


@contextmanager
def reading(what: Path | str = "a file of the dataset") -> Iterator[None]:
    """Turn what the system refuses meanwhile into BadData: the file's name (else ``what``), why, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK:
            raise
        name = what if error.filename is None else error.filename
        raise BadData(f"{name} cannot be read: {error.strerror or error}; fix the file or its permissions") from error


def usable_data_root(chosen: Path | str | None) -> Path:
    """The data root (see ``datasets.data_root``); raises UserError where it is no folder, or may not be seen."""
    root = data_root(chosen)
    with reading():
        is_other = root.exists() and not root.is_dir()
    if is_other:
        raise UserError(f"{root} is not a folder; give the one that holds the datasets", "data_root")
    return root
