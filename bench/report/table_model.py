"""The table model: columns, rows of cells, and notes. Text, Markdown, LaTeX, HTML and the terminal render it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Attributes:
        text: what is shown.
        key: the number by which the column is sorted; NaN stands last.
        strong: whether the cell is set in bold.
    """

    text: str
    key: float = math.nan
    strong: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        head: the column header.
        numeric: whether cells are aligned to the right, and sorted by their keys.
        detail: whether the column is shown only where there is room for it, as on the page.
        wrap: whether long text may take several lines.
        note: how to read the column, in a sentence; empty where its header is enough.
    """

    head: str
    numeric: bool = True
    detail: bool = False
    wrap: bool = False
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table; the first cell is its name.

    Attributes:
        cells: one per column.
        highlight: whether the row is emphasised as a whole, where that is possible.
    """

    cells: tuple[TableCell, ...]
    highlight: bool = False

    @property
    def name(self) -> str:
        """The text of the first cell."""
        return self.cells[0].text


@dataclass(frozen=True)
class ReportTable:
    """A table with the notes that it takes to read it.

    Attributes:
        title: what the table shows.
        columns: its columns; the first one names the rows.
        rows: its rows.
        notes: how to read such tables, a sentence each; columns have notes of their own.
        marks: notes on marks and cells of this table alone, a sentence each.
        subtitle: a sentence below the title, on what the table does not show; usually empty.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    subtitle: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"a row of '{self.title}' has {len(row.cells)} cells for {len(self.columns)} columns")

    @property
    def heads(self) -> list[str]:
        """The column headers."""
        return [column.head for column in self.columns]

    @property
    def explanations(self) -> list[str]:
        """The notes of the table and of its columns."""
        return [*self.notes, *(column.note for column in self.columns if column.note)]

    def without_details(self) -> ReportTable:
        """Return the table without the columns that are details."""
        kept = [place for place, column in enumerate(self.columns) if not column.detail]
        rows = (replace(row, cells=tuple(row.cells[place] for place in kept)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[place] for place in kept), rows=tuple(rows))


def table_of(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str | TableCell]]) -> ReportTable:
    """Return a table from rows of texts and cells."""
    cells = (tuple(cell if isinstance(cell, TableCell) else TableCell(cell) for cell in row) for row in rows)
    return ReportTable(title, tuple(columns), tuple(Row(row) for row in cells))


def number_cell(value: float | None, digits: int) -> TableCell:
    """Return a number with so many decimals, or a dash where there is none."""
    if value is None or math.isnan(value):
        return TableCell("–")
    return TableCell(f"{value:,.{digits}f}", float(value))


def range_cell(low: float, high: float, digits: int) -> TableCell:
    """Return ``low–high`` with so many decimals, sorted by ``low``, or a dash where there is none."""
    return TableCell("–") if math.isnan(low) else TableCell(f"{low:,.{digits}f}–{high:,.{digits}f}", float(low))


def shared_notes(tables: Iterable[ReportTable]) -> list[str]:
    """Return the notes and marks of all tables, each once."""
    tables = list(tables)
    explanations = (note for table in tables for note in table.explanations)
    marks = (mark for table in tables for mark in table.marks)
    return list(dict.fromkeys([*explanations, *marks]))
