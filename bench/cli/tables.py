"""Tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from bench.report.table_model import ReportTable, TableCell


def print_table(console: Console, table: ReportTable) -> None:
    """Print a table; its notes are left to the caller.

    Headers of several words are broken, so that the leaderboard fits 80 columns.
    """
    shown = RichTable(
        title=escape(table.title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        show_edge=False,
        pad_edge=False,
    )
    for place, column in enumerate(table.columns):
        head = column.head if column.head.endswith("%") else column.head.replace(" ", "\n")
        justify, keep = ("right" if column.numeric else "left"), column.numeric and place > 0
        shown.add_column(escape(head), justify=justify, no_wrap=keep, overflow="fold")  # type: ignore[arg-type]
    for row in table.rows:
        shown.add_row(*map(_text, row.cells))
    if table.subtitle:  # in the table's own title it would be wrapped to the table's width
        shown.title = None
        console.print(f"[bold]{escape(table.title)}[/bold]", highlight=False)
        console.print(table.subtitle, highlight=False, markup=False)
    console.print(shown)
    console.print()


def _text(cell: TableCell) -> str:
    return f"[bold]{escape(cell.text)}[/bold]" if cell.strong else escape(cell.text)
