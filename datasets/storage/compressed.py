"""Single files out of a compressed tar, which is read once from its beginning to its end and never unpacked to disk."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from collections.abc import Collection
from pathlib import Path

from datasets.core.errors import BadData
from datasets.storage.reading import require_file
from datasets.storage.tree import safe_name

MAX_BYTES = 512 * 2**20
"""The bytes that such an archive may unfold to: several times CIFAR-100's."""

_READ_AT_ONCE = 2**20


def read_compressed_tar(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the contents of the files called ``names`` (the last part of a member's name), as far as there are any.

    A name that ends in ``.xz`` is of an LZMA archive, another one of a gzipped one.

    The whole archive is read, so that its checksum is seen.

    Raises:
        BadData: no whole compressed tar, one that unfolds to more than ``MAX_BYTES``, or one that holds links, devices,
            names that leave the folder, or one of the files twice.
    """
    require_file(path)
    contents: dict[str, bytes] = {}
    members: dict[str, int] = {}
    try:
        with _opened(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if stream.tell() + member.size > MAX_BYTES:
                    raise _bomb(path)
                if member.isdir():
                    continue
                name = safe_name(path, member.name, members)
                if not member.isreg():
                    raise BadData(f"{path} holds '{name}', which is a link or a device, not a file; get a new copy")
                members[name] = member.size
                if (last := name.rsplit("/", 1)[-1]) in names:
                    if last in contents:
                        raise BadData(f"{path} holds two files called {last}; get a new copy")
                    file = archive.extractfile(member)
                    contents[last] = b"" if file is None else file.read()
            while stream.read(_READ_AT_ONCE):
                if stream.tell() > MAX_BYTES:
                    raise _bomb(path)
    except (BadData, PermissionError):
        raise
    except Exception as error:  # damaged bytes make gzip and tarfile raise many kinds
        raise BadData(f"{path} is not a whole compressed tar ({error}); get a new copy") from error
    return contents


def _opened(path: Path) -> gzip.GzipFile | lzma.LZMAFile:
    return lzma.open(path) if path.name.endswith(".xz") else gzip.open(path)


def _bomb(path: Path) -> BadData:
    return BadData(f"{path} unfolds to more than {MAX_BYTES:,} bytes; it looks like a decompression bomb")
