"""``python -m bench speed``: how fast we are, beside the libraries that do the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.speed_data import compare
from datasets import UserError


def speed(
    data: Annotated[bool, typer.Option("--data", help="Compare the drawing of episodes with learn2learn's.")] = False,
    rounds: Annotated[int, typer.Option(min=3, help="Timed meta-batches of each engine.")] = 30,
    out: Annotated[Path | None, typer.Option(help="Also write the table to this CSV file.")] = None,
) -> None:
    """Measure speed on one thread, the engines' rounds taken in turns."""
    if not data:
        raise UserError("say what to measure: --data (the drawing of episodes)")
    timings = compare(rounds)
    table = Table("workload", "engine", "ms a meta-batch", "quartiles", "tasks a second", "times ours")
    for row in timings.itertuples():
        table.add_row(
            str(row.workload),
            str(row.engine),
            f"{row.median_ms:.2f}",
            f"{row.q1_ms:.2f} to {row.q3_ms:.2f}",
            f"{row.tasks_per_second:,.0f}",
            f"{row.times_ours:.1f}",
        )
    Console().print(table)
    if out is not None:
        timings.to_csv(out, index=False)
