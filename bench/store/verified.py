"""Cells that this process has verified: a finished cell is hashed and parsed once, however often its row is read.

A cell counts as verified while no time of its files changes. A cell that was written a moment ago does not count yet,
because a later change could have the same time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.spec.cell import Cell
from bench.store.integrity import read_regular
from bench.store.records import Record, has_episodes, record_of, table_of
from bench.store.tables import BUDGETS
from datasets import DATASETS

SETTLED_NS = 100_000_000  # since the last change of a file, after which another one has another time
FileStamps = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True)
class _Verified:
    stamp: FileStamps
    row: dict[str, Any]
    cell: Cell
    budgets: tuple[Mapping[str, Any], ...]


_VERIFIED: dict[Path, _Verified] = {}


def read_verified(folder: Path) -> Record:
    """Return what a cell's folder holds; of a cell that was verified before, without its tables.

    Raises:
        FileNotFoundError: a file was just replaced.
    """
    stamp = _stamp(folder)
    known = _VERIFIED.get(folder)
    if stamp is not None and known is not None and known.stamp == stamp and _is_registered(known.cell):
        return Record(known.row, known.cell, budgets=known.budgets)
    record = record_of(folder)
    _VERIFIED.pop(folder, None)
    cell = record.cell if record.row["status"] == "ok" else None
    if cell is not None and stamp is not None and _is_settled(stamp) and _stamp(folder) == stamp:
        _VERIFIED[folder] = _Verified(stamp, record.row, cell, record.budgets)
    return record


def table_in(folder: Path, record: Record, name: str) -> pa.Table | None:
    """Return a table of a finished cell; None where the cell has no result, or no such table.

    Raises:
        FileNotFoundError: the cell was just replaced.
        Damaged: likewise.
    """
    if record.row["status"] != "ok" or record.cell is None:
        return None
    if name == BUDGETS and not any(has_episodes(numbers) for numbers in record.budgets):
        return None
    return record.tables[name] if record.tables else table_of(name, read_regular(folder / name), record.cell)


def _stamp(folder: Path) -> FileStamps | None:
    """Return what tells the files from others of the same names: number, size and times of each.

    None where the system does not say it, as of a link to itself; the record then says what is damaged.
    """
    try:
        with os.scandir(folder) as files:
            stats = [(file.name, file.stat()) for file in files]
    except FileNotFoundError:
        raise
    except OSError:
        return None
    return tuple(sorted((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats))


def _is_settled(stamp: FileStamps) -> bool:
    return max(max(file[3:]) for file in stamp) < time.time_ns() - SETTLED_NS


def _is_registered(cell: Cell) -> bool:
    return cell.own_data is not None or cell.dataset in DATASETS
