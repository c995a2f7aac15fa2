"""Integrity of a stored cell: its files are those that were written. The only place that opens stored files."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

WITHOUT_WAITING: int = getattr(os, "O_NONBLOCK", 0)  # for anybody at the other end


class Damaged(Exception):
    """A stored file is not what was written; the message says which and how."""


class Description(Protocol):
    """Size and digest of another file of the cell, as its result states them."""

    @property
    def bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


def described(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """The size in bytes and the SHA-256 of each file."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }


def read_regular(path: Path, size: int | None = None) -> bytes:
    """The contents of a stored file, which is opened only where it is a regular one: a FIFO would never end.

    Args:
        path: the file; a symbolic link is followed.
        size: how many bytes it must have; any number by default.

    Raises:
        FileNotFoundError: it is not there.
        Damaged: it is no regular file, cannot be read, or has another size.
    """
    try:
        _check_regular(path, path.stat().st_mode)
        with os.fdopen(os.open(path, os.O_RDONLY | WITHOUT_WAITING), "rb") as file:
            status = os.fstat(file.fileno())  # of what was opened, should another have come in its place
            _check_regular(path, status.st_mode)
            if size is not None and status.st_size != size:
                raise Damaged(f"{path.name} has {status.st_size} bytes instead of {size}")
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read ({error.strerror or error})") from None


def read_described(folder: Path, files: Mapping[str, Description]) -> dict[str, bytes]:
    """The contents of the files by name; raises Damaged where one differs from its description."""
    contents = {}
    for name, expected in files.items():
        contents[name] = _there(folder / name, expected.bytes)
        if hashlib.sha256(contents[name]).hexdigest() != expected.sha256:
            raise Damaged(f"{name} has other contents than were written")
    return contents


def read_all(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The contents of files that nothing describes; raises Damaged where one is missing."""
    return {name: _there(folder / name) for name in names}


def _there(path: Path, size: int | None = None) -> bytes:
    try:
        return read_regular(path, size)
    except FileNotFoundError:
        raise Damaged(f"{path.name} is missing") from None


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        raise Damaged(f"{path.name} is {kinds.get(stat.S_IFMT(mode), 'a device')} instead of a file")
