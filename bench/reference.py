"""A finished experiment in a few small files for ``results/reference``: tables, digests, command, environment."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bench.published import beside, sinusoid_table
from bench.report.leaderboard import leaderboard
from bench.report.text import markdown
from bench.store import Store

COLUMNS = ("cell", "status", "message", "outer_steps", "selected_outer_step", "train_seconds", "peak_mib")


def write_reference(results: Path | str, folder: Path | str, command: str) -> list[Path]:
    """Write ``leaderboard.csv``, ``leaderboard.md``, ``cells.csv``, ``published.csv`` and ``run.json`` to ``folder``.

    ``cells.csv`` has each cell's status, digests and a few numbers; ``published.csv`` what the papers report beside
    what came out, where there is anything; ``run.json`` the command, the grid and the environment. Weights and
    per-episode rows stay in the results.

    Raises:
        UserError: there are no results, or they cannot be compared.
    """
    store, target = Store(results), Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    board, rows = leaderboard(store), store.rows()
    kept = [name for name in rows.columns if name in COLUMNS or name.startswith(("digest.", "test_"))]
    tables = {"leaderboard.csv": board, "cells.csv": rows[kept], "published.csv": _published(store, board)}
    written = []
    for name, table in tables.items():
        if len(table):
            table.to_csv(target / name, index=False, float_format="%.6g")
            written.append(target / name)
    (target / "leaderboard.md").write_text(markdown(store, board), encoding="utf-8")
    run = {"command": command, "grid": store.experiment().get("grid"), "environment": _environments(store)}
    (target / "run.json").write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return [*written, target / "leaderboard.md", target / "run.json"]


def _published(store: Store, board: pd.DataFrame) -> pd.DataFrame:
    if set(board["dataset"]) == {"sinusoid"}:
        return sinusoid_table(store.episodes())
    return beside(board)


def _environments(store: Store) -> list[object]:
    """The environments of the finished cells, each once."""
    found = []
    for folder in store.folders():
        if (folder / "result.json").is_file():
            environment = json.loads((folder / "result.json").read_text(encoding="utf-8"))["environment"]
            if environment not in found:
                found.append(environment)
    return found
