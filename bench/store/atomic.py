"""Writing files so that neither a power cut nor a full disk leaves a part of one."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process.identity import is_running
from datasets import UserError

LONGEST_NAME = 255  # bytes that a file's name may have


class CannotWrite(UserError):
    """Raised when the results' folder can no longer be written: the disk is full, read-only or gone."""


def absolute(folder: Path | str) -> Path:
    """A folder that was given, whatever the working directory is later; ``~`` is the user's own.

    Raises:
        UserError: it begins with the name of a user that there is not.
    """
    try:
        return Path(folder).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{folder}: there is no such user; for a folder of that name give ./{folder}") from None


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Being kept from reading below becomes a ``UserError``."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise UserError(f"cannot read results in {folder}: {error.strerror or error}") from None


def name_of_length(name: str) -> str:
    """``name`` where it can be a file's, and its beginning and end otherwise."""
    return name if len(name.encode()) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 100]}{name[-100:]}"


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """An error of the disk below becomes a ``CannotWrite`` that says what to do."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"cannot write results to {folder}: {error.strerror or error}; what is finished is kept, and the same "
            "command continues once that is fixed"
        ) from error


def make_writable(root: Path, *folders: Path) -> None:
    """Make the folder ``root``, and ``folders`` in it, before anything is worked out that could not be kept there."""
    try:
        for folder in (root, *folders):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write results to {root}: {error.strerror}; choose another folder", "out") from None
    effective = os.access in os.supports_effective_ids
    if not all(os.access(folder, os.W_OK | os.X_OK, effective_ids=effective) for folder in (root, *folders)):
        raise UserError(f"cannot write results to {root}: no permission; choose another folder", "out")


def write_flushed(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(place: Path, content: bytes) -> None:
    """Make ``content`` what the file holds: after a power cut it holds all of it, or what it held before."""
    temporary = place.parent / temporary_name()
    try:
        write_flushed(temporary, content)
        temporary.replace(place)
        flush_folder(place.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name() -> str:
    """A name for what this process has not written to its end; see ``remove_left_by_dead``."""
    return f".tmp-~{socket.gethostname()}~{os.getpid()}~{uuid.uuid4().hex}"


def remove_left_by_dead(folder: Path) -> None:
    """Remove from ``folder`` what processes of this machine were writing when they died."""
    for left in folder.glob(".tmp-*"):
        _, host, process, *_ = *left.name.split("~"), "", ""
        if host == socket.gethostname() and process.isdecimal() and not is_running(int(process)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
