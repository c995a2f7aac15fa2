"""``bench merge A B``: put the cells of one experiment into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli.common import Import, counted, import_named


def merge_(
    source: Annotated[
        Path, typer.Argument(metavar="A", help="An experiment's folder, or an archive; it is only read.")
    ],
    into: Annotated[Path, typer.Argument(metavar="B", help="The experiment's folder that gets the cells.")],
    import_: Import = None,
) -> None:
    """Put the cells of A into B, where they were tested on the same episodes under the same settings."""
    from bench.share.merge import merge

    import_named(import_)
    merged = merge(source, into)
    there = f", {len(merged.kept)} there already" if merged.kept else ""
    text = f"{into}: {counted(len(merged.added), 'cell')} added{there}"
    Console().print(text, soft_wrap=True, highlight=False, markup=False)
