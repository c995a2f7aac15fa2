"""The scores at several training budgets as a table: a row per algorithm, a column per budget."""

from __future__ import annotations

import math

from bench.analysis.bounds import is_annealed
from bench.analysis.experiments import Section
from bench.report.leaderboard import BoardRow, score_cell
from bench.report.table_model import Column, ReportTable, TableCell, table_of

ANNEALED = "¶"
"""Behind the scores within a training whose schedule is that of the whole budget."""


def budget_table(section: Section) -> ReportTable:
    """Return the table of one dataset and shape; no rows where its cells were tested at one budget."""
    boards = section.budgets
    budgets = sorted(boards["budget"].unique()) if len(boards) else []
    heads = [Column("training episodes", numeric=False), *(Column(f"{budget:,}") for budget in budgets)]
    rows = {(row["budget"], str(row["algorithm"])): row for row in boards.to_dict("records")}
    lines: list[list[str | TableCell]] = []
    for name in section.contenders if budgets else ():
        cells = [_cell(rows.get((budget, name), {}), section, whole=budget == budgets[-1]) for budget in budgets]
        lines.append([name, *cells])
    table = table_of(section.title, heads, lines)
    marks = (
        f"{ANNEALED}: the learning-rate schedule is that of the whole budget, so that this is not the end of a shorter "
        "training.",
    )
    notes = ("bold: no other algorithm beats it at that budget, in paired tests on the same episodes.",)
    marked = any(ANNEALED in cell.text for row in table.rows for cell in row.cells)
    return ReportTable(table.title, table.columns, table.rows, notes, marks if marked else ())


def _cell(row: BoardRow, section: Section, *, whole: bool) -> TableCell:
    best = row.get("rank", math.nan) == 1
    if section.control:
        cell = score_cell(row, "return", 1.0, 2, lowest=-math.inf, strong=best)
    elif section.regression:
        cell = score_cell(row, "mse", 1.0, 3, strong=best)
    else:
        cell = score_cell(row, "accuracy_transductive", 100.0, 1, 1.0, strong=best)
    if not whole and not math.isnan(cell.key) and is_annealed(str(row["algorithm"])):
        return TableCell(f"{cell.text}{ANNEALED}", cell.key, cell.strong)
    return cell
