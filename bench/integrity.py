"""Whether the files of a stored cell are those that were written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

Described = Mapping[str, Mapping[str, Any]]
TABLES_AND_WEIGHTS = ("episodes.parquet", "curve.parquet", "weights.safetensors")


class Damaged(Exception):
    """A stored file is not what was written; the message says which and how."""


def described(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """The size in bytes and the SHA-256 of each file."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }


def check_files(folder: Path, files: Described) -> None:
    """Raises Damaged where a file differs from its description, or, of results that have none, cannot be opened."""
    for name, expected in files.items():
        content = _content(folder / name)
        if len(content) != expected["bytes"]:
            raise Damaged(f"{name} has {len(content)} bytes instead of {expected['bytes']}")
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise Damaged(f"{name} has other contents than were written")
    if not files:
        for name in TABLES_AND_WEIGHTS:
            _open(folder / name)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path.name} is missing") from None
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read ({error.strerror})") from None


def _open(path: Path) -> None:
    """Parquet has its table of contents at its end, safetensors at its start with the sizes of all that follows."""
    _content(path)
    try:
        if path.suffix == ".parquet":
            pq.read_metadata(path)
        else:
            with safe_open(path, "numpy"):
                pass
    except (pa.ArrowException, SafetensorError, OSError) as error:
        raise Damaged(f"{path.name} cannot be read ({str(error).splitlines()[0]})") from None
