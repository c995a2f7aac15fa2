"""A check that the cells of an archive are whole and belong together, without running anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.numerics import numerics_notes
from bench.analysis.scores import check_comparable
from bench.share.archive import unpacked
from bench.store.records import UNREADABLE, read_environment
from bench.store.settings import together
from bench.store.store import Store, read_cell
from datasets import UserError


@dataclass(frozen=True)
class Contents:
    """The contents of an archive.

    Attributes:
        rows: a row per cell, as ``Store.rows`` gives them.
        problems: what is wrong, a line each; empty where the archive can be unpacked and merged.
        environments: where the finished cells were made, a line each with how many.
        notes: what to know of the cells, such as mixed versions of the numerics.
    """

    rows: pd.DataFrame
    problems: tuple[str, ...]
    environments: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]


def validate(archive: Path | str) -> Contents:
    """Return what an archive holds, and what is wrong with it.

    Raises:
        UserError: it is no archive that can be read; see ``bench.share.archive``.
    """
    with unpacked(archive) as store:
        return contents_of(store)


def contents_of(store: Store) -> Contents:
    """Return the same of an experiment."""
    rows = store.rows()
    environments = Counter(
        _environment(read_environment(store.cells / cell)) for cell in rows.loc[rows["status"] == "ok", "cell"]
    )
    problems = tuple(_problems(store, rows))
    notes = tuple(numerics_notes(rows)) if len(rows) else ()
    return Contents(rows, problems, tuple(environments.most_common()), notes)


def _problems(store: Store, rows: pd.DataFrame) -> Iterator[str]:
    if rows.empty:
        yield "there are no cells"
        return
    try:
        store.experiment()
    except UserError as error:
        yield str(error)
    whole = True
    for row in rows.to_dict("records"):
        if row["status"] in UNREADABLE:
            whole = False
            yield f"{row['cell']}: {str(row['message']).split(';')[0]}"
        elif row["cell"] != read_cell(store.cells / row["cell"]).id:
            whole = False
            yield f"{row['cell']}: its specification is that of another cell"
    if whole:
        try:
            check_comparable(together(rows))
        except UserError as error:
            yield str(error)


def _environment(found: dict[str, Any]) -> str:
    packages = found.get("packages") or {}
    commit = str(found.get("commit") or "unknown")[:12]
    changed = ", with uncommitted changes" if found.get("uncommitted") else ""
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "numpy") if packages.get(name))
    return f"commit {commit}{changed}; {versions or 'packages unknown'}"
