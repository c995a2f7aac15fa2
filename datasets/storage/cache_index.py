"""The ``index.json`` of a cache, and the fingerprint that follows from it."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from datasets.core.episodes import SPLITS, Split
from datasets.storage.reading import require_file
from datasets.storage.source import BYTES

SCHEMA = 1
"""Of index.json; an index of another schema is rebuilt."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitIndex:
    """One split in the index: its array's file and digest, its classes with their numbers of images, and what the
    columns of a table are."""

    file: str
    sha256: str
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    columns: str = ""


@dataclass(frozen=True)
class Index:
    """The content of ``index.json``; ``Source`` and ``cache.Recipe`` describe where its fields come from."""

    schema: int
    recipe: str
    version: int
    source: str
    evidence: str
    prepared: bool
    image_shape: tuple[int, ...]
    fingerprint: str
    splits: dict[Split, SplitIndex]
    duplicates: tuple[str, ...]
    dtype: str = BYTES
    content: str = ""


_INDEX = TypeAdapter(Index)


def fingerprint_of(index: Index) -> str:
    """The dataset's fingerprint, from the digests of its splits."""
    return hashlib.sha256(repr([(split, index.splits[split].sha256) for split in SPLITS]).encode()).hexdigest()


def read_index(folder: Path) -> Index | None:
    """The index in ``folder``, or None where there is none that this code understands."""
    path = folder / "index.json"
    try:
        require_file(path)
        index = _INDEX.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("the index in %s is damaged (%s)", folder, error)
        return None
    return index if index.schema == SCHEMA and set(index.splits) == set(SPLITS) else None
