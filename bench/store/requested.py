"""The request of an experiment: the union of its runs' grids, and each command with its time.

``experiment.json`` holds both. A run of a part of what was asked before changes nothing of the union, and a run of more
extends it, so that "not run yet" and "repeat it" always speak of all that was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.spec.grid import Grid, parse_grid
from bench.store.store import Store
from datasets import UserError

Content = dict[str, Any]
LISTS = ("seeds", "algorithms", "datasets")  # of a grid; two that differ in one of them alone may be one grid


def record(store: Store, grid: Grid, command: str) -> None:
    """Add a run to what the experiment was asked for.

    Args:
        store: the experiment.
        grid: what the run was asked for.
        command: how it was asked.

    Raises:
        UserError: what is stored cannot be read.
    """
    request = grid.model_dump(mode="json")
    entry = {"command": command, "time": datetime.now(UTC).isoformat(timespec="seconds"), "cells": len(grid.cells())}

    def add(content: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **content,
            "grids": union(content.get("grids", []), request),
            "commands": [*content.get("commands", []), entry],
        }

    store.change_experiment(add)


def absorb(store: Store, requested: Mapping[str, Any]) -> None:
    """Add what another experiment was asked for, as its ``experiment`` gives it.

    Raises:
        UserError: what is stored cannot be read.
    """

    def add(content: Mapping[str, Any]) -> dict[str, Any]:
        grids, commands = list(content.get("grids", [])), list(content.get("commands", []))
        for grid in requested.get("grids", []):
            grids = union(grids, grid)
        commands += [one for one in requested.get("commands", []) if one not in commands]
        return {**content, "grids": grids, "commands": commands}

    store.change_experiment(add)


def union(grids: Sequence[Content], new: Content) -> list[Content]:
    """The fewest of these grids, some of them joined, that hold all of their cells; older ones come first.

    Grids that cannot be read here, such as those of a plugin that is not imported, are kept as they are.
    """
    kept = list(grids)
    if new in kept:
        return kept
    ids = _ids(new)
    for place, old in enumerate(kept):
        if _holds(_ids(old), ids):
            return kept
        joined = None if ids is None else _joined(old, new)
        if joined is not None:
            return union([*kept[:place], *kept[place + 1 :]], joined)
    return [*(old for old in kept if not _holds(ids, _ids(old))), new]


def _holds(whole: set[str] | None, part: set[str] | None) -> bool:
    return whole is not None and part is not None and part <= whole


def _joined(old: Content, new: Content) -> Content | None:
    """One grid with the cells of both and no others, where there is one that differs from them in one list alone."""
    differing = [name for name in {*old, *new} if old.get(name) != new.get(name)]
    if len(differing) != 1 or differing[0] not in LISTS:
        return None
    (name,) = differing
    whole = old | {name: [*old[name], *(value for value in new[name] if value not in old[name])]}
    parts = _ids(old), _ids(new), _ids(whole)
    if parts[0] is None or parts[1] is None or parts[2] != parts[0] | parts[1]:
        return None
    return whole


def _ids(grid: Content) -> set[str] | None:
    """The ids of the grid's cells; None where they cannot be known here."""
    try:
        return {cell.id for cell in parse_grid(grid, "experiment.json").cells()}
    except UserError:
        return None
