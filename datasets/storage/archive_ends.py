"""The check that an archive was read to its end: the last member that a library lists may be where damage begins.

``tarfile`` stops silently at the first header that it does not understand, and ``zipfile`` trusts the stated size of
the table of contents.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
from pathlib import Path
from typing import BinaryIO

from datasets.core.errors import BadData

BLOCK = 512
END_OF_TAR = bytes(2 * BLOCK)
READ_AT_ONCE = 2**20

_END = struct.Struct("<4s4H2LH")  # of a zip: signature, two disks, members here and in all, size, offset, comment
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")


def check_tar(path: Path, archive: tarfile.TarFile) -> None:
    """Raise BadData unless the members that were found are followed by the archive's end: two blocks of zeros, and
    nothing but zeros after them.

    Args:
        path: for messages.
        archive: with all of its members read.
    """
    n_members = len(archive.getmembers())
    with path.open("rb") as file:
        file.seek(archive.offset)
        if file.read(len(END_OF_TAR)) != END_OF_TAR:
            raise BadData(
                f"{path} is cut or damaged after {n_members} members (byte {archive.offset:,}): neither another member "
                "nor the archive's end follows; get a new copy"
            )
        while block := file.read(READ_AT_ONCE):
            if block.count(0) != len(block):
                raise BadData(
                    f"{path} holds more after its end, behind {n_members} members; it is damaged: get a new copy"
                )


def check_zip(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise BadData unless as many members were found as the end of the archive announces."""
    n_members = len(archive.infolist())
    with path.open("rb") as file:
        announced = _announced(file, len(archive.comment))
    if announced is None:
        raise BadData(f"{path} has something else in the place of a zip's end; it is cut or damaged: get a new copy")
    if announced != n_members:
        raise BadData(f"{path} lists {n_members} of {announced} members; it is damaged: get a new copy")


def _announced(file: BinaryIO, comment: int) -> int | None:
    """The number of members at the end of a zip, in 64 bits where it has them; None where no end is found."""
    end = file.seek(0, 2) - _END.size - comment
    record = _record(file, end, _END, b"PK\5\6")
    if record is None:
        return None
    locator = _record(file, end - _LOCATOR.size, _LOCATOR, b"PK\6\7")
    if locator is not None:
        large = _record(file, end - _LOCATOR.size - _END_64.size, _END_64, b"PK\6\6")
        return None if large is None else int(large[7])
    return int(record[4])


def _record(file: BinaryIO, place: int, form: struct.Struct, signature: bytes) -> tuple[int, ...] | None:
    if place < 0:
        return None
    file.seek(place)
    content = file.read(form.size)
    if len(content) != form.size or not content.startswith(signature):
        return None
    return form.unpack(content)
