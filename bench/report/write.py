"""A report on disk: the leaderboard as CSV and Markdown, a row per cell as CSV, and the figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.report.figures import write_figures
from bench.report.leaderboard import leaderboard
from bench.report.text import markdown
from bench.store import Store
from datasets import UserError


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        folder: where.
        board: the leaderboard.
        files: all files, the Markdown first.
    """

    folder: Path
    board: pd.DataFrame
    files: tuple[Path, ...]


def write_report(path: Path | str, folder: Path | str | None = None) -> Report:
    """Write the report of the experiment in ``path`` to ``folder`` (``<path>/report`` by default).

    Raises:
        UserError: there are no results, they cannot be compared, or the folder cannot be made.
    """
    store = Store(path)
    board = leaderboard(store)
    target = Path(folder) if folder is not None else store.root / "report"
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the report to {target}: {error.strerror}; choose another --out") from None
    text = target / "leaderboard.md"
    table, cells = target / "leaderboard.csv", target / "cells.csv"
    figures = write_figures(store, board, target)
    page = markdown(store, board)
    if figures:
        page += "\n## Figures\n\n" + "\n\n".join(f"![{figure.stem}]({figure.name})" for figure in figures) + "\n"
    text.write_text(page, encoding="utf-8")
    board.to_csv(table, index=False)
    store.rows().to_csv(cells, index=False)
    return Report(target, board, (text, table, cells, *figures))
