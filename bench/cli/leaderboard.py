"""``bench leaderboard DIR``, and the leaderboard in the terminal for other verbs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.common import comma_separated, one_of, wide_console
from bench.process.plugins import import_plugins
from datasets import UserError
from datasets.core.registry import suggest

if TYPE_CHECKING:
    import pandas as pd

SORTS = {"accuracy": None, "time": "train_seconds", "memory": "peak_mib"}
FORMATS = ("table", "md", "csv", "json")


def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote.")],
    dataset: Annotated[list[str] | None, typer.Option(help="Only this dataset; may be repeated.")] = None,
    sort: Annotated[
        str, typer.Option(help="accuracy (for sinusoids: error), time or memory; best first.")
    ] = "accuracy",
    format_: Annotated[str, typer.Option("--format", help="table, md, csv or json.")] = "table",
    import_: Annotated[
        str | None, typer.Option("--import", help="Modules that register more, comma-separated.")
    ] = None,
) -> None:
    """Show the leaderboard of an experiment; algorithms that cannot be separated share a rank."""
    from bench.analysis.leaderboard import board_of
    from bench.analysis.scores import comparable
    from bench.report.escaping import to_csv
    from bench.report.text import markdown
    from bench.store.store import Store

    import_plugins(comma_separated(import_, "--import") or ())
    one_of("--format", format_, FORMATS)
    column = SORTS[one_of("--sort", sort, tuple(SORTS))]
    rows, episodes = comparable(Store(folder))
    board = board_of(rows, episodes)
    known = list(dict.fromkeys(board["dataset"]))
    for name in dataset or ():
        if name not in known:
            raise UserError(f"{folder} has no dataset '{name}'{suggest(name, known)}; it has: {', '.join(known)}")
    board = board[board["dataset"].isin(dataset or known)]
    if column is not None and column in board:
        place = board.groupby(["dataset", "shape"], sort=False).ngroup()
        board = board.assign(_place=place, _bound=board["bound"] != "")
        board = board.sort_values(["_place", "_bound", column], kind="stable").drop(columns=["_place", "_bound"])
    if format_ == "table":
        show_leaderboard(wide_console(), rows, board)
    elif format_ == "md":
        typer.echo(markdown(rows, board), nl=False)
    elif format_ == "csv":
        typer.echo(to_csv(board), nl=False)
    else:
        typer.echo(board.to_json(orient="records", indent=1))


def show_leaderboard(console: Console, rows: pd.DataFrame, board: pd.DataFrame) -> None:
    """One table per dataset and shape, then the cells without a result."""
    from bench.report.text import EXPLANATION, across_words, failures, tables

    for title, heads, lines in tables(board):
        _print(console, title, heads, lines)
    if words := across_words(board):
        console.print(words, highlight=False)
    console.print(EXPLANATION, style="dim")
    if failed := failures(rows):
        _print(console, "without a result", ["status", "cells", "dataset", "algorithms", "why"], failed)


def _print(console: Console, title: str, heads: list[str], lines: list[list[str]]) -> None:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        show_edge=False,
        pad_edge=False,
    )
    numbers = title != "without a result"
    for head in heads:
        words = head in ("rank", "algorithm") or not numbers
        units = head.replace(" ", "\n") if head in ("train s", "adapt ms") else head  # narrow enough for 80 columns
        keep = numbers and head != "algorithm"
        table.add_column(units, justify="left" if words else "right", no_wrap=keep, overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    console.print(table)
    console.print()
