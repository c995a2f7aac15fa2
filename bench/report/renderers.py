"""Tables as Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.report.escaping import in_latex, in_markdown, prose_in_html, prose_in_latex
from bench.report.table_model import ReportTable, TableCell, shared_notes


def to_markdown(table: ReportTable) -> list[str]:
    """Return the lines of the table in Markdown; the title and the notes are left to the caller."""
    heads = f"| {' | '.join(in_markdown(head) for head in table.heads)} |"
    rule = f"| {' | '.join('---:' if column.numeric else '---' for column in table.columns)} |"
    rows = (f"| {' | '.join(_markdown_cell(cell) for cell in row.cells)} |" for row in table.rows)
    return [heads, rule, *rows]


def _markdown_cell(cell: TableCell) -> str:
    text = in_markdown(cell.text)
    return f"**{text}**" if cell.strong and text else text


def to_latex(tables: Iterable[ReportTable]) -> str:
    """Return a ``table`` environment per table, notes below; needs the package booktabs."""
    return "\n".join(line for table in tables for line in _latex_lines(table))


def _latex_lines(table: ReportTable) -> Sequence[str]:
    label = "".join(letter if letter.isalnum() else "-" for letter in table.title)
    notes = " ".join(prose_in_latex(note) for note in (*table.explanations, *table.marks))
    below = [r"\par\smallskip", rf"\begin{{minipage}}{{\linewidth}}\footnotesize {notes}\end{{minipage}}"]
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{in_latex(table.title)}{f'. {prose_in_latex(table.subtitle)}' if table.subtitle else ''}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in table.columns)}}}",
        r"\toprule",
        " & ".join(map(in_latex, table.heads)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex_cell, row.cells)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(below if notes else []),
        r"\end{table}",
        "",
    ]


def _latex_cell(cell: TableCell) -> str:
    text = in_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.strong and text else text


def to_html(tables: Sequence[ReportTable], notes: Sequence[str] | None = None) -> str:
    """Return the tables as HTML for a notebook, with their notes below.

    Args:
        tables: the tables.
        notes: what stands below them; by default the notes of the tables.
    """
    below = shared_notes(tables) if notes is None else notes
    return page_environment().get_template("notebook.html").render(tables=tables, notes=below)


@cache
def page_environment() -> Environment:
    """Return the environment of the HTML templates, which escapes whatever it is given."""
    environment = Environment(
        loader=PackageLoader("bench.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["prose"] = prose_in_html
    return environment


def render_page(template: str, **values: Any) -> str:
    """Return an HTML page that loads nothing: a template that extends ``layout.html``, with style and script in it.

    Args:
        template: name of the template.
        values: what it is given; ``title`` and ``descriptions`` by every page. All of it is escaped.
    """
    parts = {"style": Markup(_template_file("page.css")), "script": Markup(_template_file("page.js"))}
    return page_environment().get_template(template).render(**values, **parts)


def _template_file(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
