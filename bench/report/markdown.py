"""The leaderboard as a Markdown document."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.numerics import numerics_notes
from bench.report.escaping import in_markdown, prose_in_markdown
from bench.report.leaderboard import failure_table, leaderboard_tables
from bench.report.renderers import to_markdown
from bench.report.summary import across_datasets_words
from bench.report.table_model import ReportTable, shared_notes


def markdown(
    rows: pd.DataFrame, board: pd.DataFrame, budgets: Sequence[ReportTable] = (), crossings: Sequence[str] = ()
) -> str:
    """Return the whole leaderboard, how to read it, then the cells that failed or were skipped.

    Args:
        rows: a row per cell.
        board: the leaderboard.
        budgets: tables of scores by training budget, which stand behind the leaderboard.
        crossings: sentences on where one algorithm overtakes another as the budget grows.
    """
    tables = [table.without_details() for table in leaderboard_tables(board)]
    parts = ["# Leaderboard", ""]
    for note in numerics_notes(rows):
        parts += [f"Note: {prose_in_markdown(note)}.", ""]
    for table in tables:
        subtitle = [prose_in_markdown(table.subtitle), ""] if table.subtitle else []
        parts += [f"## {in_markdown(table.title)}", "", *subtitle, *to_markdown(table), ""]
    if notes := shared_notes(tables):
        parts += ["## How to read it", "", *(f"- {prose_in_markdown(note)}" for note in notes), ""]
    shown = [table for table in budgets if table.rows]
    if shown:
        parts += ["## By training budget", ""]
        parts += [prose_in_markdown(line) + "\n" for line in shared_notes(shown)]
        for table in shown:
            parts += [f"### {in_markdown(table.title)}", "", *to_markdown(table), ""]
        parts += [*(f"- {in_markdown(sentence)}." for sentence in crossings), *[""] * bool(crossings)]
    if words := across_datasets_words(board):
        parts += ["## Across datasets", "", in_markdown(words), ""]
    failed = failure_table(rows)
    if failed.rows:
        parts += [f"## {failed.title}", "", *to_markdown(failed), ""]
    return "\n".join(parts)
