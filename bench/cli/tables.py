"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from bench.cli.common import folds

if TYPE_CHECKING:
    from bench.report.table_model import Column, ReportTable, TableCell

GAP = 2  # columns of the terminal between two of a table
LEAST_WRAPPED = 16  # columns of the terminal that a text which may take several lines has at least


def print_table(console: Console, table: ReportTable) -> None:
    """Print a table; its notes are left to the caller.

    Headers of several words are broken, so that the leaderboard fits 80 columns. A table that does not fit is printed
    in parts, each with the first column, so that no name and no number is cut.
    """
    print_note(console, table.title, style="bold")
    if table.subtitle:
        print_note(console, table.subtitle)
    heads = [_head(column) for column in table.columns]
    whole = [_width(table, heads, place) for place in range(len(heads))]
    folds = [table.columns[place].wrap or whole[place] > console.width // 2 for place in range(len(heads))]
    least = [min(width, LEAST_WRAPPED) if fold else width for width, fold in zip(whole, folds, strict=True)]
    for places in _parts(least, console.width):
        shown = RichTable(box=SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False, pad_edge=False)
        for place in places:
            justify = "right" if table.columns[place].numeric else "left"
            shown.add_column(escape(heads[place]), justify=justify, no_wrap=not folds[place], overflow="fold")  # type: ignore[arg-type]
        for row in table.rows:
            shown.add_row(*(_text(row.cells[place]) for place in places))
        console.print(shown)
        console.print()


def print_note(console: Console, text: str, style: str | None = None) -> None:
    """Print a sentence or a paragraph: folded in a terminal, as one line in a file or pipe."""
    console.print(text, style=style, soft_wrap=not folds(console), highlight=False, markup=False)


def _head(column: Column) -> str:
    return column.head if column.head.endswith("%") else column.head.replace(" ", "\n")


def _width(table: ReportTable, heads: Sequence[str], place: int) -> int:
    """Return the width of the widest line of a column."""
    texts = [*heads[place].split("\n"), *(row.cells[place].text for row in table.rows)]
    return max(map(cell_len, texts))


def _parts(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the places of the columns of each part: as many as fit beside the first.

    >>> list(_parts([8, 10, 10, 10], 32))
    [[0, 1, 2], [0, 3]]
    """
    part, used = [0], widths[0]
    for place, width in enumerate(widths[1:], start=1):
        if len(part) > 1 and used + GAP + width > room:
            yield part
            part, used = [0], widths[0]
        part.append(place)
        used += GAP + width
    yield part


def _text(cell: TableCell) -> str:
    return f"[bold]{escape(cell.text)}[/bold]" if cell.strong else escape(cell.text)
