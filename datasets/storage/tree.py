"""Files by name, read straight from a folder, a zip or a tar: nothing is ever unpacked to disk.

Not unpacking is what makes it safe: a member's name is a key, never a path that is written to. An archive with a name
that would leave the folder, a link, a device or an oversized member is refused all the same: it was probably made to do
harm.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from datasets.core.errors import BadData
from datasets.storage import archive_ends
from datasets.storage.paths import unusable_name
from datasets.storage.reading import kind_of, reading, require_file

MAX_MEMBER_BYTES = 64 * 2**20
"""The largest file that is read: several times the largest photograph of ImageNet."""

ARCHIVE_SUFFIXES = (".zip", ".tar")
COMPRESSED_TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Tree(Protocol):
    """Files under one folder or archive.

    Attributes:
        path: where it lies.
        sizes: bytes of each regular file by its name relative to ``path`` with forward slashes, in sorted order.
    """

    @property
    def path(self) -> Path: ...
    @property
    def sizes(self) -> Mapping[str, int]: ...

    def read(self, name: str) -> bytes:
        """The contents of the file called ``name``; raises BadData where it is damaged or too large."""


class _Folder:
    def __init__(self, path: Path, largest: int) -> None:
        self.path, self._largest = path, largest

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        return {name: status.st_size for name, status in walk(self.path)}

    def read(self, name: str) -> bytes:
        path = self.path / name
        require_file(path)
        with reading(path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_size(self.path, name, size, self._largest)
            return _whole(self.path, name, file.read(), size)


class _Zip:
    def __init__(self, path: Path, archive: zipfile.ZipFile, largest: int) -> None:
        self.path, self._largest = path, largest
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        archive_ends.check_zip(path, archive)
        for member in archive.infolist():
            if member.is_dir():
                continue
            name = safe_name(path, member.filename, self._members)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise BadData(
                    f"{path} holds '{name}', which is a link or a device, not a file; get a new copy of the archive"
                )
            self._members[name] = member
        self.sizes = {name: self._members[name].file_size for name in sorted(self._members)}

    def read(self, name: str) -> bytes:
        _check_size(self.path, name, self.sizes[name], self._largest)
        try:
            content = self._archive.read(self._members[name])
        except Exception as error:  # damaged bytes make zipfile and its decompressors raise many kinds
            raise BadData(f"{self.path} is damaged at '{name}' ({error}); get a new copy of the archive") from error
        return _whole(self.path, name, content, self.sizes[name])


class _Tar:
    def __init__(self, path: Path, archive: tarfile.TarFile, largest: int) -> None:
        self.path, self._largest = path, largest
        self._archive = archive
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            members = archive.getmembers()
        except Exception as error:  # a damaged header makes tarfile raise many kinds
            raise _no_archive(path, "tar", error) from error
        archive_ends.check_tar(path, archive)
        for member in members:
            if member.isdir():
                continue
            name = safe_name(path, member.name, self._members)
            if not member.isreg():
                raise BadData(
                    f"{path} holds '{name}', which is a link or a device, not a file; get a new copy of the archive"
                )
            self._members[name] = member
        self.sizes = {name: self._members[name].size for name in sorted(self._members)}

    def read(self, name: str) -> bytes:
        _check_size(self.path, name, self.sizes[name], self._largest)
        try:
            stream = self._archive.extractfile(self._members[name])
            content = b"" if stream is None else stream.read()
        except Exception as error:  # damaged bytes make tarfile raise many kinds
            raise BadData(f"{self.path} is damaged at '{name}' ({error}); get a new copy of the archive") from error
        return _whole(self.path, name, content, self.sizes[name])


def _no_archive(path: Path, kind: str, error: Exception) -> BadData:
    if isinstance(error, PermissionError):
        return BadData(f"{path} cannot be read: {error.strerror}; fix the file or its permissions")
    return BadData(f"{path} is not a whole {kind} file ({error}); get a new copy")


def _whole(path: Path, name: str, content: bytes, size: int) -> bytes:
    """``content``, refused where fewer or more bytes came than were announced."""
    if len(content) != size:
        raise BadData(f"'{name}' in {path} gave {len(content):,} of {size:,} bytes; it is damaged: get a new copy")
    return content


def _check_size(path: Path, name: str, size: int, largest: int) -> None:
    if size > largest:
        raise BadData(
            f"'{name}' in {path} holds {size:,} bytes, more than the {largest:,} that any file of it needs; "
            "it looks like a decompression bomb and is not read"
        )


def safe_name(path: Path, name: str, known: Mapping[str, object]) -> str:
    """``name`` in normal form; refuses one that leaves the folder or that stands twice."""
    parts = PurePosixPath(name).parts
    if why := unusable_name(name):
        raise BadData(f"{path} holds {name!a}, a name that {why}; rename it and pack the archive again")
    if "\\" in name or "\0" in name or ":" in name or ".." in parts or name.startswith("/") or not parts:
        raise BadData(f"{path} holds '{name}', a name that leaves the folder; the archive is not trusted")
    normal = "/".join(parts)
    if normal in known:
        raise BadData(f"{path} holds '{normal}' twice; get a new copy of the archive")
    return normal


def walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Relative name and status of every file below ``folder``, each folder sorted; hidden ones are left out.

    A symbolic link to a file counts as the file. One to a folder is refused: it can lead round in a circle, or out
    into the system.

    Raises:
        BadData: a folder that may not be read, a link to a folder or to nowhere, something that is neither file nor
            folder, or a name that is not UTF-8.
    """
    with reading():
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if why := unusable_name(entry.name):
                raise BadData(f"{folder} holds {entry.name!a}, a name that {why}; rename it")
            place = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from walk(place, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, _status_of_file(place)


def _status_of_file(place: Path) -> os.stat_result:
    try:
        status = place.stat()
    except OSError as error:
        if not place.is_symlink() or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        raise BadData(f"{place} is a symbolic link that leads nowhere; remove or fix it") from error
    if stat.S_ISDIR(status.st_mode):
        raise BadData(f"{place} is a symbolic link to a folder, which is not followed; put the folder itself there")
    if not stat.S_ISREG(status.st_mode):
        raise BadData(f"{place} is {kind_of(status)}, neither a file nor a folder; remove it")
    return status


def is_tree(path: Path) -> bool:
    """Return whether ``path`` is a folder or an archive by its name; raises BadData where that may not be seen."""
    with reading():
        return path.is_dir() or (path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES + COMPRESSED_TAR_SUFFIXES))


@contextmanager
def open_tree(path: Path, largest: int | None = None) -> Iterator[Tree]:
    """The folder, zip or tar at ``path`` as a tree.

    Args:
        path: where it lies.
        largest: bytes of the largest file that is read; ``MAX_MEMBER_BYTES`` by default.

    Raises:
        BadData: not such a thing, or an archive that is damaged, compressed as a whole, or holds dangerous members.
    """
    largest = MAX_MEMBER_BYTES if largest is None else largest
    with reading():
        is_folder = path.is_dir()
    if is_folder:
        yield _Folder(path, largest)
        return
    require_file(path)
    if path.name.endswith(COMPRESSED_TAR_SUFFIXES):
        raise BadData(f"{path} is a compressed tar, which cannot be read out of order; unpack it and give the folder")
    elif path.name.endswith(".zip"):
        try:
            zip_archive = zipfile.ZipFile(path)
        except Exception as error:  # a damaged directory makes zipfile raise many kinds
            raise _no_archive(path, "zip", error) from error
        with zip_archive:
            yield _Zip(path, zip_archive, largest)
    elif path.name.endswith(".tar"):
        try:
            tar_archive = tarfile.TarFile(path)
        except Exception as error:  # a damaged header makes tarfile raise many kinds
            raise _no_archive(path, "tar", error) from error
        with tar_archive:
            yield _Tar(path, tar_archive, largest)
    else:
        raise BadData(f"{path} is no folder, .zip or .tar; give one of these")
