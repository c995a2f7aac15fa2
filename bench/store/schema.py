"""Versions of the stored files, and the upgrades by which files of older versions are read.

A change of a file's form raises its number here and adds a function that turns the previous form into the new one; a
fixture of each version stays in ``tests/bench/store/fixtures``. Files are never rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.spec.cell import CELL_SCHEMA
from bench.spec.problems import shortened
from bench.store.integrity import Damaged, read_regular
from datasets.core.printable import printable

Content = dict[str, Any]

RESULT_SCHEMA = 4
FAILURE_SCHEMA = 1
EXPERIMENT_SCHEMA = 2
LEARNER_SCHEMA = 2
COST_SCHEMA = 1
COST_FILE = "cost.json"
DEEPEST = 64  # levels of nesting; what is written has less than ten
KNOWN: Mapping[str, int] = {
    "cell.json": CELL_SCHEMA,
    "result.json": RESULT_SCHEMA,
    "failure.json": FAILURE_SCHEMA,
    "experiment.json": EXPERIMENT_SCHEMA,
    "learner.json": LEARNER_SCHEMA,
    COST_FILE: COST_SCHEMA,
}


class Newer(Exception):
    """A file that a newer version of the benchmark wrote; the message says so.

    Attributes:
        content: what it holds, unchecked.
    """

    def __init__(self, message: str, content: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.content = content


def _with_files(result: Content) -> Content:
    """From version 2 on a result has the size and SHA-256 of each of the cell's other files."""
    return result | {"files": None}


def _with_numerics(result: Content) -> Content:
    """From version 3 on a result has the versions of the numerics that made it; those of older ones are not known."""
    return result | {"numerics": None}


def _with_budgets(result: Content) -> Content:
    """From version 4 on a result has what was selected and scored within parts of its training budget."""
    return result | {"budgets": []}


def _with_union(experiment: Content) -> Content:
    """From version 2 on an experiment has all grids that it was asked for and the commands, not the last grid alone."""
    return {"grids": [experiment["grid"]] if "grid" in experiment else [], "commands": []}


def _with_preprocessing(learner: Content) -> Content:
    """From version 2 on an export of a table, or of texts with a vocabulary, has a file with its preprocessing."""
    return learner | {"preprocessing": None}


UPGRADES: Mapping[str, tuple[Callable[[Content], Content], ...]] = {
    "result.json": (_with_files, _with_numerics, _with_budgets),
    "experiment.json": (_with_union,),
    "learner.json": (_with_preprocessing,),
}
"""By file, what turns version 1 into 2, 2 into 3, and so on."""


def read_json(path: Path) -> Content:
    """Return what a stored file holds, in the present form.

    Raises:
        Newer: a newer version wrote it.
        FileNotFoundError: it is not there.
        Damaged: it is not what was written.
    """
    try:
        content: Any = json.loads(read_regular(path))
    except (ValueError, RecursionError):
        raise Damaged(f"{path.name} is not JSON") from None
    content = _plain(path, content, DEEPEST)
    known = KNOWN[path.name]
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise Damaged(f"{path.name} has no schema version")
    if version > known:
        raise Newer(
            f"written by a newer version (schema {shortened(version)} of {path.name}, this one reads {known}); "
            "update the benchmark to read it",
            content,
        )
    if version < 1:
        raise Damaged(f"{path.name} has schema version {shortened(version)}, which was never written")
    for upgrade in UPGRADES.get(path.name, ())[version - 1 :]:
        content = upgrade(content)
    return {**content, "schema_version": known}


def _plain(path: Path, value: Any, levels: int) -> Any:
    """The same with text that can be written and printed; raises Damaged where it is nested deeper than ``levels``."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict | list) and not levels:
        raise Damaged(f"{path.name} is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {printable(name): _plain(path, part, levels - 1) for name, part in value.items()}
    return [_plain(path, part, levels - 1) for part in value] if isinstance(value, list) else value
