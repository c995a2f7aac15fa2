"""The measured costs of an experiment as a table, and what must be known to read costs anywhere."""

from __future__ import annotations

import pandas as pd

from bench.analysis.costs import DISAGREE, OTHERS, PREFIX, WAITED, cost_table
from bench.report.table_model import Column, ReportTable, TableCell, number_cell, range_cell, table_of
from bench.store.store import Store

COST_COLUMNS = (
    Column("dataset", numeric=False),
    Column("shape", numeric=False),
    Column("algorithm", numeric=False),
    *map(Column, ("step ms", "95%", "quartiles", "adapt ms", "adapt 95%", "memory MiB", "rounds")),
    Column("problem", numeric=False, wrap=True),
)
"""Of ``bench cost``."""

BUSY = "‡"
"""Behind times of a machine that was not quiet."""


def cost_report(store: Store) -> ReportTable:
    """Return the costs of an experiment, a row per setting."""
    lines: list[list[str | TableCell]] = []
    for row in cost_table(store).to_dict("records"):
        mark = BUSY if row["busy"] else ""
        step, adapt = (_marked(number_cell(row[name], 2), mark) for name in ("step_ms", "adapt_ms"))
        lines.append(
            [
                *(str(row[name]) for name in ("dataset", "shape", "algorithm")),
                *(
                    step,
                    range_cell(row["step_low_ms"], row["step_high_ms"], 2),
                    range_cell(row["step_q1_ms"], row["step_q3_ms"], 2),
                ),
                *(adapt, range_cell(row["adapt_low_ms"], row["adapt_high_ms"], 2)),
                *(number_cell(row["memory_mib"], 0), str(row["rounds"])),
                "; ".join(text for text in (row["problem"], row["busy"]) if text),
            ]
        )
    return table_of("Cost of an outer step, of adapting one task, and of memory", COST_COLUMNS, lines)


def _marked(cell: TableCell, mark: str) -> TableCell:
    return TableCell(cell.text + mark, cell.key)


def cost_notes(store: Store) -> list[str]:
    """Return where the costs of an experiment were measured, over what memory rises, and what marks mean."""
    return notes_of(cost_table(store))


def costs_of(board: pd.DataFrame) -> pd.DataFrame:
    """Return the costs of a leaderboard as ``notes_of`` reads them."""
    columns = {str(name): str(name).removeprefix(PREFIX) for name in board if str(name).startswith(PREFIX)}
    return board[list(columns)].rename(columns=columns) if "cost_rounds" in board else pd.DataFrame()


def notes_of(costs: pd.DataFrame) -> list[str]:
    """Return the same of rows of ``cost_table``, a sentence each."""
    measured = costs[costs["rounds"] > 0] if len(costs) else costs
    if measured.empty:
        return []
    low, high = measured["baseline_mib"].min(), measured["baseline_mib"].max()
    over = f"{high:,.0f} MiB" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f} MiB"
    notes = [
        f"memory MiB is the rise over a process that has imported everything and loaded the data ({over} resident)."
    ]
    columns = ["machine", "threads", "busy_elsewhere"]
    places = measured[columns].groupby(columns[:2], sort=False).mean().reset_index().to_dict("records")
    wheres = [
        f"{place['machine']}, {int(place['threads'])} thread{'s' if place['threads'] > 1 else ''}, other processes at "
        f"work on {place['busy_elsewhere']:.1f} processors"
        for place in places
    ]
    notes.append(f"Costs were measured apart from the cells, one process at a time, on: {'; '.join(wheres)}.")
    if len(places) > 1:
        notes.append("They are of several machines, so that not all of them compare.")
    if (measured["busy"] != "").any():
        notes.append(
            f"{BUSY} The machine was not quiet: rounds differ by more than {DISAGREE:.0%}, more than {WAITED:.0%} of "
            f"the time passed without a processor, or other processes kept more than {OTHERS:.0%} of the processors "
            "busy."
        )
    return notes
