"""Whether two stores hold the same results, byte by byte; what a clock or a machine measured does not count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors.numpy import load_file

from bench.store import Store

TABLES = ("episodes.parquet", "curve.parquet")
WEIGHTS = "weights.safetensors"
MEASURED = ("seconds", "_ms", "_mib", "per_second", "jobs")
"""Ends of the names of summary numbers that a clock, a memory or the run's own options decide."""


def differences(one: Path | str, other: Path | str) -> list[str]:
    """What differs between two experiments, a line each: cells, statuses, digests, numbers, rows, weights.

    Raises:
        UserError: a folder holds no results.
    """
    folders = [{folder.name: folder for folder in Store(path).folders()} for path in (one, other)]
    found = [f"{name}: only in {one}" for name in folders[0] if name not in folders[1]]
    found += [f"{name}: only in {other}" for name in folders[1] if name not in folders[0]]
    for name in sorted(folders[0].keys() & folders[1].keys()):
        found += [f"{name}: {what}" for what in _of_cells(folders[0][name], folders[1][name])]
    return found


def _of_cells(one: Path, other: Path) -> Iterator[str]:
    results = [_read(folder, "result.json") for folder in (one, other)]
    if results[0] is None or results[1] is None:
        if _ending(one) != _ending(other):
            yield f"{_ending(one)} and {_ending(other)}"
        return
    for part in ("digests", "summary"):
        yield from _of_mappings(part, results[0][part], results[1][part])
    for name in TABLES:
        if (one / name).read_bytes() != (other / name).read_bytes():
            yield f"{name}: {_of_tables(one / name, other / name)}"
    if (one / WEIGHTS).read_bytes() != (other / WEIGHTS).read_bytes():
        yield f"{WEIGHTS}: {_of_weights(one / WEIGHTS, other / WEIGHTS)}"


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    place = folder / name
    return dict(json.loads(place.read_text(encoding="utf-8"))) if place.is_file() else None


def _ending(folder: Path) -> str:
    failure = _read(folder, "failure.json")
    return "ok" if failure is None else f"{failure['kind']} ({failure['message']})"


def _of_mappings(part: str, one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        if part == "summary" and name.endswith(MEASURED):
            continue
        values = [each.get(name, "nothing") for each in (one, other)]
        if values[0] != values[1]:
            yield f"{part} {name}: {values[0]} and {values[1]}"


def _of_tables(one: Path, other: Path) -> str:
    first, second = (pq.read_table(path).to_pandas() for path in (one, other))
    if list(first.columns) != list(second.columns):
        return f"columns {list(first.columns)} and {list(second.columns)}"
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} rows"
    for column in first.columns:
        pairs = enumerate(zip(first[column].tolist(), second[column].tolist(), strict=True))
        unequal = [(row, a, b) for row, (a, b) in pairs if str(a) != str(b)]
        if unequal:
            row, a, b = unequal[0]
            return f"{column} differs in {len(unequal)} of {len(first)} rows, first in row {row}: {a} and {b}"
    return "equal values in other bytes"


def _of_weights(one: Path, other: Path) -> str:
    first, second = load_file(one), load_file(other)
    if first.keys() != second.keys():
        return f"names {sorted(first.keys() ^ second.keys())} in one of them only"
    for name in sorted(first):
        if first[name].shape != second[name].shape:
            return f"{name} has shape {first[name].shape} and {second[name].shape}"
        if first[name].tobytes() != second[name].tobytes():
            return f"{name} differs by up to {abs(first[name] - second[name]).max():.3g}"
    return "equal values in other bytes"
