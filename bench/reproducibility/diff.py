"""Comparison of two stores: byte by byte, or within the tolerances for other machines and versions.

What a clock or a machine measured does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load

from bench.store.integrity import Damaged, read_regular
from bench.store.records import WEIGHTS, Result, checked, has_weights, read_failure
from bench.store.schema import Newer
from bench.store.store import Store
from bench.store.tables import BUDGETS, CURVE, EPISODES

MEASURED = ("seconds", "_ms", "_mib", "per_second", "jobs")
"""Ends of the names of summary numbers that a clock, a memory or the run's own options decide."""
ACCURACY_TOLERANCE = 0.02
"""The largest difference between means of accuracy over the test episodes where kernels differ, in [0, 1]."""
MSE_TOLERANCE = 0.1
"""The same for means of squared error, as a part of the larger one."""
DATA = ("episode", "step", "class_ids", "n_query")
"""Columns of the episodes that come from the data and the protocol: equal on every machine."""


def differences(left: Path | str, right: Path | str) -> list[str]:
    """Return what differs between two experiments, a line each: cells, statuses, digests, numbers, rows, weights.

    Raises:
        UserError: a folder holds no results.
    """
    folders = [{folder.name: folder for folder in Store(path).folders()} for path in (left, right)]
    lines = [f"{name}: only in {left}" for name in folders[0] if name not in folders[1]]
    lines += [f"{name}: only in {right}" for name in folders[1] if name not in folders[0]]
    for name in sorted(folders[0].keys() & folders[1].keys()):
        try:
            lines += [f"{name}: {what}" for what in cell_differences(folders[0][name], folders[1][name])]
        except (Newer, Damaged, FileNotFoundError) as error:
            lines.append(f"{name}: one of the two cannot be read: {error}")
    return lines


def cell_differences(left: Path, right: Path) -> Iterator[str]:
    """Yield what differs between two folders of one cell, byte by byte, a line each."""
    results = [_result(folder) for folder in (left, right)]
    if results[0] is None or results[1] is None:
        if _ending(left) != _ending(right):
            yield f"{_ending(left)} and {_ending(right)}"
        return
    for part in ("digests", "summary"):
        yield from _of_mappings(part, results[0][part], results[1][part])
    yield from _of_budgets(results[0]["budgets"], results[1]["budgets"])
    tables = [name for name in (EPISODES, CURVE, BUDGETS) if any((folder / name).exists() for folder in (left, right))]
    for name in tables:
        if not all((folder / name).exists() for folder in (left, right)):
            yield f"{name}: only one of them has it"
        elif read_regular(left / name) != read_regular(right / name):
            yield f"{name}: {_of_tables(left / name, right / name)}"
    if not (has_weights(left) and has_weights(right)):  # their digests are in the results
        described = [(result["files"] or {}).get(WEIGHTS) for result in results if result is not None]
        if described[0] != described[1]:
            yield f"{WEIGHTS}: other contents, of which one was left out"
    elif read_regular(left / WEIGHTS) != read_regular(right / WEIGHTS):
        yield f"{WEIGHTS}: {_of_weights(left / WEIGHTS, right / WEIGHTS)}"


def beyond_tolerance(left: Path, right: Path) -> Iterator[str]:
    """Yield what differs more between two folders of one cell than other kernels explain, a line each.

    Digests, test episodes and counts are equal everywhere. The means over the test episodes may differ by
    ``ACCURACY_TOLERANCE`` or ``MSE_TOLERANCE``; single episodes, weights, curves and which measurement was the best
    may be others.
    """
    results = [_result(folder) for folder in (left, right)]
    if results[0] is None or results[1] is None:
        yield from cell_differences(left, right)
        return
    yield from _of_mappings("digests", results[0]["digests"], results[1]["digests"])
    summaries = [results[0]["summary"], results[1]["summary"]]
    for line, name in _unequal("summary", *summaries):
        if name.startswith("test_") and all(name in summary for summary in summaries):
            values = [float(summary[name]) for summary in summaries]
            accuracy = name.startswith("test_accuracy")
            allowed = ACCURACY_TOLERANCE if accuracy else MSE_TOLERANCE * max(map(abs, values))
            if abs(values[0] - values[1]) > allowed:
                yield f"{line}, more than {allowed:.3g} apart"
        elif name != "selected_outer_step":
            yield line
    tables = [_frame(folder / EPISODES) for folder in (left, right)]
    data = [table[[name for name in DATA if name in table]] for table in tables]
    if differ := _of_frames(*data):
        yield f"{EPISODES}: {differ}"


def first_difference(left: Path, right: Path) -> str:
    """Return where test episodes of two finished cells differ first; empty where none do, or a cell is not finished."""
    if not all((folder / EPISODES).is_file() for folder in (left, right)):
        return ""
    return _of_frames(*(_frame(folder / EPISODES) for folder in (left, right)))


def _result(folder: Path) -> dict[str, Any] | None:
    """Return what the cell's ``result.json`` holds; None where there is none. Raises Newer and Damaged."""
    try:
        return checked(folder / "result.json", Result)[0]
    except FileNotFoundError:
        return None


def _frame(place: Path) -> pd.DataFrame:
    frame: pd.DataFrame = pq.ParquetFile(pa.BufferReader(read_regular(place))).read().to_pandas()
    return frame


def _ending(folder: Path) -> str:
    failure = read_failure(folder)
    return "ok" if failure is None else f"{failure.kind} ({failure.message})"


def _of_mappings(part: str, left: dict[str, Any], right: dict[str, Any]) -> Iterator[str]:
    yield from (line for line, _ in _unequal(part, left, right))


def _unequal(part: str, left: dict[str, Any], right: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what differs in words, with its name."""
    for name in sorted(left.keys() | right.keys()):
        if part == "summary" and name.endswith(MEASURED):
            continue
        values = [each.get(name, "nothing") for each in (left, right)]
        if values[0] != values[1]:
            yield f"{part} {name}: {values[0]} and {values[1]}", name


def _of_budgets(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what differs between the numbers at earlier budgets, but for what a clock decides."""
    if [each["budget"] for each in left] != [each["budget"] for each in right]:
        yield "they were tested at other budgets"
        return
    for first, second in zip(left, right, strict=True):
        yield from (f"at {first['budget']} episodes: {line}" for line, _ in _unequal("summary", first, second))


def _of_tables(left: Path, right: Path) -> str:
    return _of_frames(*(_frame(path) for path in (left, right))) or "equal values in other bytes"


def _of_frames(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """Return what differs first, by row and then by column; empty where nothing does."""
    if list(first.columns) != list(second.columns):
        return f"columns {list(first.columns)} and {list(second.columns)}"
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} rows"
    unequal = {}
    for column in first.columns:
        pairs = enumerate(zip(first[column].tolist(), second[column].tolist(), strict=True))
        unequal[column] = [(row, a, b) for row, (a, b) in pairs if str(a) != str(b)]
    differing = [(rows[0][0], column) for column, rows in unequal.items() if rows]
    if not differing:
        return ""
    row, column = min(differing, key=lambda place: place[0])
    _, a, b = unequal[column][0]
    where = f"episode {first['episode'][row]}, step {first['step'][row]}" if "episode" in first else f"row {row}"
    return f"{column} differs in {len(unequal[column])} of {len(first)} rows, first in {where}: {a} and {b}"


def _of_weights(left: Path, right: Path) -> str:
    first, second = load(read_regular(left)), load(read_regular(right))
    if first.keys() != second.keys():
        return f"names {sorted(first.keys() ^ second.keys())} in one of them only"
    for name in sorted(first):
        if first[name].shape != second[name].shape:
            return f"{name} has shape {first[name].shape} and {second[name].shape}"
        if first[name].tobytes() != second[name].tobytes():
            return f"{name} differs by up to {abs(first[name] - second[name]).max():.3g}"
    return "equal values in other bytes"
