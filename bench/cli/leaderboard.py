"""The leaderboard in the terminal."""

from __future__ import annotations

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.report.text import EXPLANATION, failures, tables
from bench.store import Store


def show_leaderboard(console: Console, store: Store, board: pd.DataFrame) -> None:
    """One table per dataset and shape, then the cells without a result."""
    for title, heads, lines in tables(board):
        _print(console, title, heads, lines)
    console.print(EXPLANATION, style="dim")
    if failed := failures(store):
        _print(console, "without a result", ["status", "cells", "dataset", "algorithms", "why"], failed)


def _print(console: Console, title: str, heads: list[str], lines: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    numbers = title != "without a result"
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if numbers and place else "left", no_wrap=numbers)
    for line in lines:
        table.add_row(*map(escape, line))
    console.print(table)
