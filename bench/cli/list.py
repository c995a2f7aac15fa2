"""``bench list``: what there is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from algorithms import ALGORITHMS
from bench.cli.common import comma_separated, wide_console
from bench.process.plugins import import_plugins
from bench.spec.shipped_grids import description, grid_names
from datasets import DATASETS


def list_(
    import_: Annotated[
        str | None, typer.Option("--import", help="Modules that register more, comma-separated.")
    ] = None,
) -> None:
    """List algorithms, datasets and grids, with a line on each and its paper."""
    import_plugins(comma_separated(import_, "--import") or ())
    console = wide_console()
    for title, rows in (
        ("algorithms", [(entry.name, entry.summary, entry.paper) for entry in ALGORITHMS]),
        ("datasets", [(entry.name, entry.summary, entry.paper) for entry in DATASETS]),
        ("grids", [(name, description(name), "") for name in grid_names()]),
    ):
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for head in ("name", "what", "paper"):
            table.add_column(head, no_wrap=head == "name")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
        console.print()
