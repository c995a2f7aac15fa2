"""``bench leaderboard DIR``, and the leaderboard in the terminal for other verbs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.cli import completion
from bench.cli.common import Datasets, Import, comma_separated_all, import_named, one_of, wide_console
from bench.cli.tables import print_note, print_table
from datasets import UserError
from datasets.core.registry import among

if TYPE_CHECKING:
    import pandas as pd

SORTS = {"accuracy": None, "time": "cost_train_seconds", "memory": "cost_memory_mib"}
FORMATS = ("table", "md", "csv", "json", "tex")


def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote.")],
    datasets: Datasets = None,
    sort: Annotated[
        str,
        typer.Option(
            help="Sort by accuracy (regression: error), time or memory, best first.",
            autocompletion=completion.choice(*SORTS),
        ),
    ] = "accuracy",
    format_: Annotated[
        str,
        typer.Option("--format", help="table, md, csv, json or tex.", autocompletion=completion.choice(*FORMATS)),
    ] = "table",
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Show the results at this budget of training episodes (see `evaluation.test_at`)."),
    ] = None,
    import_: Import = None,
) -> None:
    """Show the leaderboard of an experiment; a rank is the interval of ranks that the results allow."""
    from bench.analysis.budgets import at_budget
    from bench.analysis.leaderboard import board_of
    from bench.analysis.scores import comparable
    from bench.report.escaping import to_csv
    from bench.report.leaderboard import leaderboard_tables
    from bench.report.markdown import markdown
    from bench.report.renderers import to_latex
    from bench.store.store import Store

    import_named(import_)
    one_of("--format", format_, FORMATS)
    column = SORTS[one_of("--sort", sort, tuple(SORTS))]
    rows, episodes = comparable(Store(folder)) if budget is None else at_budget(Store(folder), budget)
    board = board_of(rows, episodes)
    known = list(dict.fromkeys(board["dataset"]))
    chosen = comma_separated_all(datasets, "--datasets")
    for name in chosen:
        if name not in known:
            raise UserError(f"{folder} has no dataset '{name}'{among(name, known, 'it has')}")
    board = board[board["dataset"].isin(chosen or known)]
    if column is not None and (column not in board or board[column].isna().all()):
        raise UserError(f"--sort: no {sort} was measured in {folder}; `python -m bench cost {folder}` measures it")
    if column is not None:
        place = board.groupby(["dataset", "shape"], sort=False).ngroup()
        board = board.assign(_place=place, _bound=board["bound"] != "")
        board = board.sort_values(["_place", "_bound", column], kind="stable").drop(columns=["_place", "_bound"])
    if format_ == "table":
        show_leaderboard(wide_console(), rows, board)
    elif format_ == "md":
        typer.echo(markdown(rows, board), nl=False)
    elif format_ == "csv":
        typer.echo(to_csv(board), nl=False)
    elif format_ == "tex":
        typer.echo(to_latex(table.without_details() for table in leaderboard_tables(board)), nl=False)
    else:
        typer.echo(board.to_json(orient="records", indent=1))


def show_leaderboard(console: Console, rows: pd.DataFrame, board: pd.DataFrame) -> None:
    """Print a table per dataset and shape, how to read them, then the cells without a result."""
    from bench.analysis.numerics import numerics_notes
    from bench.report.leaderboard import failure_table, leaderboard_tables
    from bench.report.summary import across_datasets_words
    from bench.report.table_model import shared_notes

    tables = [table.without_details() for table in leaderboard_tables(board)]
    for table in tables:
        print_table(console, table)
    if words := across_datasets_words(board):
        print_note(console, words)
    for note in shared_notes(tables):
        print_note(console, note, style="dim")
    for note in numerics_notes(rows):
        print_note(console, f"Note: {note}.")
    failed = failure_table(rows)
    if failed.rows:
        print_table(console, failed)
